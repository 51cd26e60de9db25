# shellcheck shell=sh disable=SC2086
# (Lists of identifiers are meant to be split.)
#
# The containers of the project as a roll sees them, and what is done to them.

pulsed=0 listed_at=-100

pulse() { # in every loop that waits: once a second the lease is renewed, and the client told, or found to be gone
    uptime
    [ "$up" != "$pulsed" ] || return 0
    pulsed=$up
    renew
    [ "$recovering" ] || printf '%s +\n' "$mark" >&3 || exit 1
}

nap() { # [UNTIL, as read_clock gives it]: a fifth of a second, or less when it is that late before
    nap=0.2
    if [ "${1:-}" ]; then
        read_clock
        left=$(($1 - clock))
        [ "$left" -gt 0 ] || return 0
        [ "$left" -ge 20 ] || nap=0.$((left / 10))$((left % 10))
    fi
    sleep $nap 2>/dev/null || sleep 1
    pulse
}

read_clock() { # sets $clock: hundredths of a second since the host has started
    IFS=' .' read -r clock fraction _ </proc/uptime
    clock=$clock$fraction
}

hundredths() { # SECONDS, maybe with a fraction: sets $hundredths
    case $1 in
    *.*)
        fraction=${1#*.}00
        fraction=${fraction%"${fraction#??}"}
        hundredths=${1%%.*}$fraction
        ;;
    *) hundredths=${1}00 ;;
    esac
    # A number that begins with a zero would be taken for an octal one.
    while case $hundredths in 0?*) true ;; *) false ;; esac do hundredths=${hundredths#0}; done
}

at_length() { # COMMAND... that may last: the lease is kept, also by whoever recovers
    if [ "$recovering" ]; then "$@"; else working "$@"; fi
}

note() { # FILE TEXT, which is written whole or not at all; false with $trouble
    if printf '%s\n' "$2" >"$work/noted" && mv -f "$work/noted" "$1"; then return 0; fi
    trouble="cannot write to $state on the host; see the disk space and the permissions there"
    return 1
}

list_containers() { # of the project: SERVICE ID NAME STATE, a line each, in $work/listed; false with $trouble
    if listed_ahead; then return 0; fi
    uptime
    listed_at=$up
    say_containers >"$work/listed" 2>"$work/said" && return 0
    listed_at=-100
    trouble="Docker does not list its containers: $(head -n 1 "$work/said")"
    return 1
}

say_containers() {
    quiet_docker ps --all --no-trunc --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.oneoff=False \
        --format '{{.Label "com.docker.compose.service"}} {{.ID}} {{.Names}} {{.State}}'
}

list_lately() { # the same, unless it was done within a second
    uptime
    [ $((up - listed_at)) -le 1 ] || list_containers
}

list_ahead() { # for whoever lists them next, within a second
    uptime
    listed_at=$up
    ahead listed say_containers
}

listed_ahead() {
    arrived listed || return 1
    uptime
    [ $((up - listed_at)) -le 1 ] && sed '/^\.*$/d' "$work/ahead.listed" >"$work/listed"
}

survey() { # SERVICE FILE, whose lines begin with identifiers: what is listed, divided into those in it and those out of it
    total=0 in_ids='' in_running='' in_idle='' out_ids='' out_running='' out_idle='' out_count=0
    known=' '
    while IFS=' ' read -r its_id _; do known="$known$its_id "; done <"$2"
    while IFS=' ' read -r its_service its_id its_name its_state; do
        [ "$its_service" = "$1" ] && [ "$its_state" != removing ] || continue
        total=$((total + 1)) its_name=${its_name%%,*}
        case $known in
        *" $its_id "*)
            in_ids="$in_ids $its_id"
            if [ "$its_state" = running ]; then in_running="$in_running $its_name"; else in_idle="$in_idle $its_id"; fi
            ;;
        *)
            out_ids="$out_ids $its_id" out_count=$((out_count + 1))
            if [ "$its_state" = running ]; then out_running="$out_running $its_name"; else out_idle="$out_idle $its_id"; fi
            ;;
        esac
    done <"$work/listed"
}

scale_up() { # to the lines SERVICE TOTAL in $work/scales, beside what there is, which stays as it is; false with $trouble
    [ -s "$work/scales" ] || return 0
    if [ ! -f "$roll/template" ]; then
        # Nobody may find them by the service's name before they are ready.
        run_up --no-start && list_containers && hide_new || return 1
    fi
    run_up --detach && list_containers
}

run_up() { # --detach or --no-start, with $work/scales
    set -- up "$1" --no-deps --no-recreate --no-build
    scaled=''
    while IFS=' ' read -r its_service total; do
        scaled="$scaled $its_service"
        set -- "$@" --scale "$its_service=$total"
    done <"$work/scales"
    composed 'attend 600' "$@" $scaled && return 0
    result=$?
    # The client is gone: that is for the end of this program to see to.
    [ "$result" != 125 ] || [ "$recovering" ] || exit 1
    trouble="Docker Compose could not start the containers of$scaled (docker compose up ended with status $result, see above)"
    [ "$result" != 124 ] || trouble="Docker Compose could not start the containers of$scaled within 600 s"
    return 1
}

start_again() { # IDS: of those that ran and were stopped, such as by a reboot without a restart policy
    [ ! "$*" ] || at_length quiet_docker start "$@" >/dev/null 2>"$work/said" && return 0
    trouble="Docker cannot start a container again: $(head -n 1 "$work/said")"
    return 1
}

remove() { # IDS: each gets its own stop signal and its own time to end (docker stop), then goes; false with $trouble
    [ "$*" ] || return 0
    renew
    listed_at=-100
    # Docker goes on with it when this program is killed, and whoever undoes the roll must know that they are about to end.
    # Whole or not at all: of half an identifier Docker would make another container. A full disk must not stop the undoing.
    [ ! -d "$roll" ] || note "$roll/stopping" "$(printf '%s\n' "$@")" || trouble=''
    at_length quiet_docker stop "$@" >/dev/null 2>&1
    renew
    quiet_docker rm "$@" >/dev/null 2>&1 && return 0
    for its_id; do
        quiet_docker inspect --format . "$its_id" >/dev/null 2>&1 || continue
        at_length quiet_docker rm --force "$its_id" >/dev/null 2>"$work/said" && continue
        quiet_docker inspect --format . "$its_id" >/dev/null 2>&1 || continue
        trouble="Docker does not remove the container $its_id: $(head -n 1 "$work/said")"
        return 1
    done
}

last_words() { # ID: sets $words: the end of its log, in one line
    words=$(quiet_docker logs --tail 5 "$1" 2>&1 | tr -d '\000-\010\013-\037' | cut -c 1-200 | tail -n 5 | sed '$!s/$/ | /' | tr -d '\n')
    if [ "$words" ]; then words=". Its last lines: $words"; else words='. It has written nothing'; fi
}
