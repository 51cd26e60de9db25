# shellcheck shell=sh
# Long commands: their output is sent while they run, and they end with their client, their shell and their time.

logged='' # the file that keeps their output, too, for when the client does not live to do so
attended=0
docker_root='' # where Docker keeps its data, if that is on this machine
least_room='' ample_room=102400 # kilobytes

relay() { # FILE: standard input, line by line, to the client, until the file is there
    while IFS= read -r line || [ "$line" ]; do
        if [ -e "$1" ] || [ ! -d "$work" ]; then
            # Of what the command left running; it must not end because nobody reads it any more.
            exec cat >/dev/null
        fi
        printf '%s > %s\n' "$mark" "$line" >&3
        [ -z "$logged" ] || printf '%s\n' "$line" >>"$logged"
    done
}

grouped() { # COMMAND...: in a process group of its own, which is noted for whoever has to end it
    # shellcheck disable=SC2016
    if command -v setsid >/dev/null 2>&1; then
        set -- setsid sh -c 'IFS= read -r line </proc/$$/stat; printf "%s %s\n" $$ "${line##*) }" >"$0"; exec "$@"' "$work/group" "$@"
    fi
    # What git and the build make is for the login's own people, as it would be by hand.
    umask "$native_umask"
    "$@"
    printf '%s\n' $? >"$work/ended.new"
    umask 022
    mv "$work/ended.new" "$work/ended"
}

stop_group() { # FILE: the group noted in it, if it runs still
    [ -s "$1" ] || return 0
    IFS=' ' read -r group line <"$1"
    rm -f "$1"
    # shellcheck disable=SC2086
    set -- $line
    began=${20:-}
    process "$group"
    # A leader of this number that began at another time is somebody else's: the group is gone. Without a leader it is
    # ours, because a number is not given again while a group has it.
    [ -z "$start" ] || [ "$start" = "$began" ] || return 0
    kill -s TERM -- "-$group" 2>/dev/null || return 0
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
        kill -s 0 -- "-$group" 2>/dev/null || return 0
        sleep 0.2 2>/dev/null || sleep 1
    done
    kill -s KILL -- "-$group" 2>/dev/null
}

tick() { # false when the client is gone: only by writing does a program learn that nobody listens any more
    [ "$recovering" ] || printf '%s +\n' "$mark" >&3
}

running() { # true until what attend has started is over
    [ ! -e "$work/ended" ] || return 1
    kill -s 0 "$relaying" 2>/dev/null && return
    # A full disk does not let the end be noted.
    [ -s "$work/group" ] || return 1
    IFS=' ' read -r group _ <"$work/group"
    kill -s 0 "$group" 2>/dev/null
}

note_room() { # on the disk with Docker's data, the least while a command runs: what fails may free it again
    [ -d "$docker_root" ] || return 0
    # shellcheck disable=SC2046
    set -- $(df -Pk "$docker_root" 2>/dev/null | tail -n 1)
    [ "${4:-$least_room}" -ge "$least_room" ] || least_room=$4
}

attend() { # SECONDS COMMAND...: its status; 124 when it ran out of time, 125 when the client is gone
    rm -f "$work/ended" "$work/group"
    uptime
    ends=$((up + $1)) ticked=$up result='' pause=0.02 leader='' attended=$((attended + 1)) young=$((up + 5))
    least_room=$ample_room
    shift
    # The output may outlive the command, when that leaves something running: only the command is waited for.
    (grouped "$@") </dev/null 2>&1 3>&- | relay "$work/heard.$attended" &
    relaying=$!
    outlive &
    warden=$!
    while running; do
        sleep $pause 2>/dev/null || sleep 1
        uptime
        [ "$up" != "$ticked" ] || continue
        ticked=$up
        [ "$up" -lt "$young" ] || pause=0.1
        note_room
        if ! tick; then result=125 && break; fi
        [ ! -s "$work/group" ] || IFS=' ' read -r leader _ <"$work/group"
        # A deposed owner ends what it has started, and then itself.
        [ -d "$work" ] || [ ! "$leader" ] || kill -s TERM -- "-$leader" 2>/dev/null
        renew
        if [ "$up" -ge "$ends" ]; then result=124 && break; fi
    done
    if [ "$result" ]; then
        stop_group "$work/group"
    else
        first_line "$work/ended"
        result=${line:-1}
    fi
    for pause in 0.005 0.005 0.01 0.03 0.1 0.1 0.1 0.1; do
        kill -s 0 "$relaying" 2>/dev/null || break
        sleep $pause 2>/dev/null || break
    done
    kill -KILL "$warden" 2>/dev/null
    true >"$work/heard.$attended"
    rm -f "$work/group"
    return "$result"
}

outlive() { # whatever kills this shell: what it has started ends, too
    exec 3>&- </dev/null >/dev/null 2>&1
    while sleep 1; do
        process $$
        [ "$start" = "$born" ] || break
    done
    stop_group "$work/group"
}

do_command() { # WHAT SECONDS, then the command's text: it runs in the checkout
    IFS= read -r what && IFS= read -r within || exit 1
    frames >"$work/command" || exit 1
    forget_plans
    [ "$what" != build ] || before_build "$within"
    in_checkout "$within" sh "$work/command"
    succeeded "$what" "$within"
}

before_build() { # SECONDS
    # Of the commit that was fetched, whose Compose file may be another one.
    remember_images
    [ -z "$compose_error" ] || fail failed "$compose_error"
    save_compose
    [ "$compose_file" ] || keep_command build "$1"
}

keep_command() { # NAME SECONDS: the command is run again by whoever undoes this
    { printf '%s\n' "$2" && cat "$work/command"; } >"$work/$1" && mv -f "$work/$1" "$state/undo/$1" ||
        cannot "write to $state on the host"
}

again() { # NAME: true when there is nothing to run again
    [ -f "$state/undo/$1" ] || return 0
    IFS= read -r within <"$state/undo/$1"
    sed 1d "$state/undo/$1" >"$work/command"
    in_checkout "$within" sh "$work/command"
}

in_checkout() { # SECONDS COMMAND...: its status as attend gives it
    cd "$path" || fail failed "$(id -un) cannot enter $path on the host"
    within=$1
    shift
    # Time zone and locale are the login's own, not this program's: what Compose makes of its file may hold them.
    find_native
    # So are git's manners, which the fetching has changed.
    # shellcheck disable=SC2086
    attend "$within" env $native_without -u GIT_TERMINAL_PROMPT -u SSH_ASKPASS_REQUIRE -u GIT_PAGER -u GIT_EDITOR -u GIT_SEQUENCE_EDITOR \
        -u GIT_MERGE_AUTOEDIT -u GIT_HTTP_LOW_SPEED_LIMIT -u GIT_HTTP_LOW_SPEED_TIME -u GIT_OPTIONAL_LOCKS $native_with "$@"
    result=$?
    cd /
    return "$result"
}

succeeded() { # WHAT SECONDS: or the deploy ends here; $result is the command's status
    case $result in
    0) ;;
    124) fail failed "$1 ran for longer than $2 s on the host, and was ended" ;;
    125) exit 1 ;;
    *)
        note_room
        crowded=''
        [ "$least_room" = "$ample_room" ] ||
            crowded="; the disk with Docker's data ($docker_root) had only $((least_room / 1024)) MB free meanwhile: docker builder prune and docker image prune free some, and keep what runs"
        fail failed "$1 failed on the host with status $result$crowded"
        ;;
    esac
}
