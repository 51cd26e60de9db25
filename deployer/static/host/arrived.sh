# shellcheck shell=sh
# Contents that arrived before an upload broke off: they stay for the next run, which links those that are whole.

arrived_facts() { # what is there, hashed anew: nothing else says what it is. Who holds the lock takes it along.
    place=$state/arrived
    if [ "$held" ]; then
        place=$work/arrived
        [ -d "$place" ] || mv "$state/arrived" "$place" 2>/dev/null
    fi
    [ ! -d "$place" ] || working list_arrived
}

list_arrived() {
    # shellcheck disable=SC2046
    set -- $(du -sk "$place" 2>/dev/null)
    fact arrived_kilobytes "${1:-0}"
    for mode in 644 755; do
        raw_fact "arrived$mode" "$(hash_arrived 2>/dev/null)"
    done
}

hash_arrived() { (cd "$place" && find . -type f -links 1 -perm "$mode" -exec sha256sum {} +); } # a second name could be live

do_forget() { # of these contents, those that this deploy does not want
    read_names
    working remove_names "$work/arrived" || cannot 'remove what an earlier upload has left'
}

renew_arrived() { # before any of them gets a second name: the release's time
    [ ! -d "$work/arrived" ] || working find "$work/arrived" -type f -links 1 -exec touch -t "$stamp" {} +
}

keep_arrived() { # at the end of a deploy that was cut off; not where the host itself gave up, for want of room, say
    [ "$failure" = 'input ended' ] || [ -f "$work/cut" ] || return 0
    [ ! -L "$work/old" ] || { keep_new "$work/arrived/$nonce" && bound_arrived; } || rm -rf "$work/arrived/$nonce"
    [ -d "$state/arrived" ] || [ ! -d "$work/arrived" ] || mv "$work/arrived" "$state/arrived"
}

keep_new() { # DIRECTORY to keep it in: what has come, without its links to what is live or came earlier
    mkdir -p "$1" || return
    [ ! -d "$work/new" ] || mv "$work/new" "$1/new" || return
    [ ! -d "$work/b" ] || mv "$work/b" "$1/b" || return
    find "$1" ! -type d \( ! -type f -o ! -links 1 \) -exec rm -f {} + || return
    find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
    return 0
}

bound_arrived() { # the next run is told of all: a line that breaks early must not break on that
    (cd "$work/arrived" && find . -type f | tail -n +50001 | tr '\n' '\000' | xargs -0 rm -f)
}
