# shellcheck shell=sh
# The state on the host that every strategy keeps in the same way, and looking into it.

foreign() { # DIRECTORY of another user
    fail failed "$1 on the host belongs to $(stat -c %U "$1"), not to $(id -un): log in as that user, or sudo chown -R $(id -un) '$root'"
}

writable() { # DIRECTORY, or the reason why not
    [ ! -w "$1" ] || return 0
    [ "$(id -u)" = 0 ] || [ "$(stat -c %u "$1")" = "$(id -u)" ] || return 1
    reason=$(mkdir "$1/.deployer-$nonce" 2>&1) && rmdir "$1/.deployer-$nonce" && return
    fail failed "$(id -un) cannot write to $1 on the host (${reason##*: }): mount it writable, or take chattr's +i away (lsattr -d '$1')"
}

known_state() { # PLACE: sets $recorded; its state is ours to read, this app's, and of a deployer not newer than this
    [ ! -d "$root" ] || [ -x "$root" ] || foreign "$root"
    [ ! -d "$state" ] || { [ -x "$state" ] && [ -r "$state" ]; } || foreign "$state"
    identify
    recorded=''
    [ ! -f "$state/app" ] || { first_line "$state/app" && recorded=$line; }
    [ -z "$recorded" ] || [ "$recorded" = "$app" ] ||
        fail invalid "$1 belongs to the app \"$recorded\" on this host, not to \"$app\": choose another target or app name"
    [ ! -f "$state/version" ] || { first_line "$state/version" && [ "$line" = 1 ]; } ||
        fail failed "the state in $state was written by a newer deployer (version $line): use that one"
}

make_directories() { # MORE DIRECTORIES below $root that everybody may pass through
    if [ -d "$root" ]; then
        writable "$root" || foreign "$root"
        [ ! -d "$state" ] || writable "$state" || foreign "$state"
    elif [ -d "$parent/.deployer" ]; then
        writable "$parent/.deployer" ||
            fail failed "$parent/.deployer on the host belongs to $(stat -c %U "$parent/.deployer"), and $(id -un) has no directory in it yet: sudo install -d -m 711 -o $(id -un) '$root'"
    fi
    for directory in "$parent/.deployer" "$root" "$@"; do
        [ -d "$directory" ] || mkdir -m 711 "$directory" 2>/dev/null || [ -d "$directory" ] ||
            cannot "make $directory on the host"
    done
    for directory in "$state" "$state/records" "$state/logs"; do
        [ -d "$directory" ] || mkdir -m 700 "$directory" 2>/dev/null || [ -d "$directory" ] ||
            cannot "make $directory on the host"
    done
    # shellcheck disable=SC2046
    set -- $(stat -L -c %d "$parent" "$state")
    [ "$1" = "$2" ] || fail failed "$state is on another file system than $parent, so no switch could be atomic"
    [ "$recorded" ] || {
        printf '%s\n' "$app" >"$state/app.$beginner" && mv -f "$state/app.$beginner" "$state/app" &&
            printf '1\n' >"$state/version.$beginner" && mv -f "$state/version.$beginner" "$state/version"
    } || cannot "write to $state on the host"
}

record_facts() { # RELEASE: its record's "name value" lines as facts, prefixed
    while IFS=' ' read -r key value; do
        fact "$2$key" "$value"
    done 2>/dev/null <"$state/records/$1/facts"
}

lock_facts() { # whose the lock is, and the switch that nobody has confirmed
    for entry in "$lock"/*; do
        [ -d "$entry" ] || continue
        if stale "$entry"; then fact lock_stale "$why"; fi
        fact lock "$owner"
        fact lock_entry "${entry##*/}"
    done
    if [ -f "$state/pending" ]; then
        first_line "$state/pending"
        fact pending "$line"
    fi
}

do_show_log() {
    IFS= read -r release || exit 1
    [ ! -f "$state/logs/$release" ] || send_file log "$state/logs/$release"
}

do_break() { # ENTRY: unlock
    IFS= read -r entry || exit 1
    why=unlock
    depose "$lock/$entry" || fail failed 'that lock is gone already'
    left=$state/broken.$entry
    # What its owner has started must not go on beside the next deploy.
    ! command -v stop_group >/dev/null 2>&1 || stop_group "$left/group"
    rm -rf "$left"
}

do_log() { # the deploy's output, in frames; a disk that is full by now is no reason to go back
    IFS= read -r release || exit 1
    frames | {
        cat >>"$state/logs/$release" && exit
        cat >/dev/null
        exit 1
    } 2>/dev/null || fact warning "the output of this deploy could not be kept in $state/logs on the host"
}

prune() { # KEEP: the newest, the live one and the one before it stay
    find_live
    count=0 newest_first=''
    for record in "$state"/records/*; do
        newest_first="${record##*/} $newest_first"
    done
    for kept in $newest_first; do
        count=$((count + 1))
        [ "$count" -le "$1" ] || [ "$kept" = "$live" ] || [ "$kept" = "$previous" ] || {
            remove_release "$kept" && fact pruned "$kept"
        }
    done
    [ "$(stat -c %s "$state/journal")" -lt 1048576 ] || {
        tail -n 2000 "$state/journal" >"$work/journal" && mv -f "$work/journal" "$state/journal"
    }
}
