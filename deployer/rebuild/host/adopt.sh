# shellcheck shell=sh
# Services leave the files where a person wrote them, for the one that is ours. All is put back when Traefik does not follow.

do_adopt() { # COUNT, then for each file NAME HASH SIZE; the new texts. `proxy` has told what our own file will be.
    IFS= read -r count || exit 1
    mkdir "$work/adopt" || cannot "write to $state on the host"
    number=0 offset=1
    while [ "$number" -lt "$count" ]; do
        IFS= read -r adopted && IFS= read -r seen && IFS= read -r size || exit 1
        printf '%s\n' "$proxy_directory/$adopted" "$seen" "$offset" "$size" >"$work/adopt/$number"
        number=$((number + 1)) offset=$((offset + size))
    done
    frames >"$work/adopt/texts" || exit 1
    proxy_load || fail failed 'the host was not told what to make of its own file'
    first_line "$state/proxy"
    expect_unchanged "$proxy_file" "$line"
    [ ! -e "$proxy_file" ] || cp "$proxy_file" "$work/adopt/own" || cannot "write to $state on the host"
    adopt_each adopt_look
    # From here on there are two definitions of each service, then one: never none.
    adopt_followed || adopt_undo "$proxy_why"
    adopt_each adopt_write || adopt_undo "$proxy_why"
    adopt_followed || adopt_undo "$proxy_why"
    journal adopt 'done' ''
    rm -rf "$state/roll"
    unlock
}

adopt_followed() { proxy_point && proxy_acknowledge; }

adopt_each() { # COMMAND: with $original, $seen, $offset and $size of each file
    number=0 result=0
    while [ "$result" = 0 ] && [ -f "$work/adopt/$number" ]; do
        {
            IFS= read -r original
            IFS= read -r seen
            IFS= read -r offset
            IFS= read -r size
        } <"$work/adopt/$number"
        "$1" || result=1
        number=$((number + 1))
    done
    return "$result"
}

expect_unchanged() { # FILE HASH
    hash_file "$1"
    [ "$file_hash" = "$2" ] || fail failed "$1 on the host was changed meanwhile; nothing is changed: run the command again"
}

adopt_look() {
    expect_unchanged "$original" "$seen"
    alone=$(mounted_alone | grep -F " $original")
    [ -z "$alone" ] || fail failed "$original on the host is mounted by itself into the container ${alone%% *}, which would not see the change: mount its directory, and run the command again"
    cp -p "$original" "$work/adopt/$number.before" || cannot "write to $state on the host"
}

adopt_write() {
    tail -c "+$offset" "$work/adopt/texts" | head -c "$size" >"$work/adopt/new" || cannot "write to $state on the host"
    put_in_place "$work/adopt/new" "$(readlink -f "$original")"
}

adopt_restore() {
    hash_file "$original"
    [ "$file_hash" = "$seen" ] || put_in_place "$work/adopt/$number.before" "$(readlink -f "$original")"
}

adopt_undo() { # WHY: first the services are in their old files again, then they leave ours
    problem=$1
    adopt_each adopt_restore || fail unknown "$problem; and the files in $proxy_directory could not be brought back ($proxy_why): see what is there"
    if [ -e "$work/adopt/own" ]; then
        put_in_place "$work/adopt/own" "$proxy_file"
    else
        rm -f "$proxy_file"
    fi || fail unknown "$problem; and the files in $proxy_directory could not be brought back ($proxy_why): see what is there"
    rm -rf "$state/roll"
    fail failed "$problem; all files are as they were"
}
