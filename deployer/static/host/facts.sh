# shellcheck shell=sh
# What a run must know before it decides.

listing() { # DIRECTORY: its entries, in a form that changes with every write into it
    # The inode catches files that were replaced with the old time; nanoseconds are zero in what we unpacked and hardly
    # ever in what others wrote. GNU find prints all that in half the time that stat takes (measured).
    if find "$1" -prune -printf '' 2>/dev/null; then
        (cd "$1" && find . -type d -printf '%p\n' -o -printf '%p|%s|%T@|%m|%i\n')
    else
        (cd "$1" && find . -type d && find . ! -type d -exec stat -c '%n|%s|%y|%f|%i' {} +)
    fi
}

fingerprint() { listing "$1" | sha256sum; }

sealed() { # RELEASE: true when nobody wrote into it since it was built
    first_line "$state/records/$1/seal"
    [ "$line" ] && [ "$line" = "$(fingerprint "$root/releases/$1")" ]
}

inventory() { # DIRECTORY: hashes and times of the files in it that can be linked; odd names are left out
    [ -d "$1" ] || return 0
    own="-user $(id -u)"
    [ "$(id -u)" != 0 ] || own=''
    # shellcheck disable=SC2086
    hashes=$(cd "$1" && find . -xdev -type f $own ! -path "*$newline*" ! -path '*\\*' -exec sha256sum {} +)
    # shellcheck disable=SC2086
    stats=$(cd "$1" && find . -xdev -type f $own ! -path "*$newline*" ! -path '*\\*' -exec stat -c '%a %s %Y %n' {} +)
    newest=$(cd "$1" && find . -type f -exec stat -c '%Y' {} + | sort -n | tail -n 1)
    raw_fact hashes "$hashes"
    raw_fact stats "$stats"
    fact newest_time "${newest:-0}"
}

do_facts() { # what a run must know; the wanted digest spares the manifest when nothing differs
    IFS= read -r wanted || exit 1
    find_live
    fact now "$(date +%s)"
    fact kind "$kind"
    fact live "$live"
    # shellcheck disable=SC2046
    set -- $(df -Pk "$parent" | tail -n 1)
    fact free_kilobytes "$4"
    if command -v zstd >/dev/null 2>&1; then fact codec zstd; else fact codec gzip; fi
    youngest=''
    for directory in "$root"/releases/*T*Z-*; do
        [ ! -d "$directory" ] || youngest=${directory##*/}
    done
    fact newest "$youngest"
    unchanged=''
    case $kind in
    link) live_facts ;;
    directory)
        exchanging_tool
        fact exchange "$exchange"
        working inventory "$target"
        ;;
    esac
    fact unchanged "$unchanged"
    [ "$unchanged" ] || arrived_facts
}

live_facts() {
    record_facts "$live" live_
    digest=''
    while IFS=' ' read -r key value; do
        [ "$key" != digest ] || digest=$value
    done 2>/dev/null <"$state/records/$live/facts"
    same=''
    [ -z "$digest" ] || [ "$digest" != "$wanted" ] || same=yes
    # Beside the fingerprint, which does not change by it.
    [ "$same" ] || [ ! -f "$state/records/$live/list.gz" ] || begin_copy
    if ! working sealed "$live"; then
        fact seal broken
        do_discard
        send_retained
        working inventory "$root/releases/$live"
        return
    fi
    fact seal whole
    if [ "$same" ]; then
        unchanged=yes
    elif [ -f "$state/records/$live/list.gz" ]; then
        [ -z "$copier" ] || fact copying yes
        [ ! -f "$state/records/$live/signatures" ] || fact signatures "$(stat -c %s "$state/records/$live/signatures")"
        send_retained
        send_file manifest "$state/records/$live/list.gz"
    else
        send_retained
        working inventory "$root/releases/$live"
    fi
}

send_retained() { [ ! -f "$state/records/$live/retained" ] || send_file retained "$state/records/$live/retained"; }

do_inventory() { # of one release, for when its manifest cannot be read
    IFS= read -r release || exit 1
    working inventory "$root/releases/$release"
}

do_conclude() { # WHEN: the end of a deploy that had nothing to do; "unchanged" only when facts found that
    IFS= read -r when || exit 1
    [ "$when" = always ] || [ "${unchanged:-}" = yes ] || return 0
    find_live
    previous=$live
    [ ! -d "$state/arrived" ] || put_away "$state/arrived"
    journal done unchanged "$live"
    unlock
}
