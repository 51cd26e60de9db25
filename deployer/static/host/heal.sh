# shellcheck shell=sh
# Healing: what a killed deploy left. It runs with the lock held.

heal_adoption() { # a kill between the steps of taking over a plain directory
    for left in "$parent/.$name".deployer-*; do
        [ -e "$left" ] || [ -L "$left" ] || continue
        case $left in
        *.old)
            # The two renames of a host without an exchanging tool: put the site back, or keep it as a release.
            if [ ! -e "$target" ] && [ ! -L "$target" ]; then mv "$left" "$target"; else keep_adopted "$left"; fi
            ;;
        *) if [ -L "$left" ]; then rm -f "$left"; else keep_adopted "$left"; fi ;;
        esac
    done
}

heal() { # with the lock held; says what it found in the fact "healed"
    rm -rf "$state"/broken.* "$state"/gone.*
    for left in "$state"/app.* "$state"/version.* "$state"/claim.*; do
        [ -e "$left" ] || continue
        if [ -s "$left/owner" ]; then stale "$left"; else abandoned "$left"; fi && rm -rf "$left"
    done
    find_live
    pending_release='' pending_previous=''
    if [ -f "$state/pending" ]; then
        IFS=' ' read -r pending_release pending_previous <"$state/pending"
    fi
    adopted=$pending_previous
    heal_adoption
    find_live
    if [ "$pending_release" ]; then
        previous=$pending_previous
        if [ "$live" = "$pending_release" ]; then
            true >"$state/records/$live/served"
            journal switch recovered "$live"
            fact healed "an interrupted deploy had switched to $live; it stays live"
        else
            journal switch abandoned "$pending_release"
            fact healed "an interrupted deploy of $pending_release was undone"
        fi
        rm -f "$state/pending"
        previous=''
    fi
    for record in "$state"/records/*; do
        [ -d "$record" ] || continue
        release=${record##*/}
        [ "$release" = "$live" ] || { [ -e "$record/served" ] && [ -d "$root/releases/$release" ]; } || remove_release "$release"
    done
    for directory in "$root"/releases/*T*Z-*.*; do
        [ ! -d "$directory" ] || [ -d "$state/records/${directory##*/}" ] || [ "${directory##*/}" = "$live" ] || put_away "$directory"
    done
}

remove_release() { # NAME: the record goes last, so that a kill in between is found again
    [ "$1" ] || return 1
    [ ! -d "$root/releases/$1" ] || put_away "$root/releases/$1" || return 1
    rm -rf "$state/logs/$1" "$state/records/$1"
}

put_away() { # DIRECTORY: out of sight at once; what is in it is removed when nobody waits any more
    rmdir "$1" 2>/dev/null || mv "$1" "$state/gone.$nonce.${1##*/}" 2>/dev/null || rm -rf "$1"
}

do_lock() {
    IFS= read -r wait && IFS= read -r members || exit 1
    make_state
    sweeping=yes
    take_lock "$wait"
    working heal
    journal lock taken '' "$members"
}
