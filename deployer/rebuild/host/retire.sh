# shellcheck shell=sh disable=SC2086
# The end of a roll: forward, when the old containers go, or back, when the new ones do. Each may be killed and run again.

do_retire() { # DRAIN seconds
    IFS= read -r drain || exit 1
    roll=$state/roll
    [ -d "$roll" ] || return 0
    note "$roll/drain" "$drain" && retire || fail unknown "$trouble"
}

retire() { # the old containers go, the service's own name comes back, and the rest of the project is brought up
    if [ -s "$roll/services" ]; then
        note "$roll/stage" retiring || return 1
        choose_those old || return 1
        wait_for_drain
        remove $leaving || return 1
        ahead up plan_whole
        rest_easy
    fi
    bring_up_others
    over
}

choose_those() { # old or bad: sets $leaving
    list_containers || return 1
    leaving=''
    while IFS=' ' read -r rolled _; do
        survey "$rolled" "$roll/$1.$rolled"
        leaving="$leaving $in_ids"
    done <"$roll/services"
}

rest_easy() { # the steady state, which a reboot and a hand-made `up` know how to deal with
    rm -f "$roll"/serve.*
    # Nothing depends on it but the warning, so whoever recovers does not wait for long.
    point ${recovering:+5} || {
        fact warning "$trouble; the file itself is right, and names the containers by their service again"
        trouble=''
    }
}

over() { # taken away as a whole, so that a kill leaves all of it or nothing
    mv "$roll" "$work/rolled" 2>/dev/null
    rm -rf "$work/rolled"
}

plan_whole() { compose --dry-run up --detach --no-build 2>&1; }

plan_up() { # WORDS|OF|NO|INTEREST: sets $planned, what `up` would do now, in one line; `unknown` without a dry run
    { arrived up && planned=$(cat "$work/ahead.up"); } || planned=$(plan_whole) || {
        planned=unknown
        return
    }
    planned=$(printf '%s\n' "$planned" | sed -n 's/.*DRY-RUN MODE - *//p' | grep -Ev " ($1) *$" | sed 's/  */ /g; s/ *$//; $!s/$/, /' | tr -d '\n')
}

bring_up_others() { # the services that did not roll; what fails there is not the fault of those that serve
    plan_up 'Running|Waiting|Healthy|Exited'
    [ "$planned" ] || return 0
    set --
    for beside in $(compose config --services 2>/dev/null); do
        wish "$beside" || set -- "$@" "$beside"
    done
    [ $# = 0 ] || up_beside "$@" || return 0
    [ "$planned" != unknown ] || return 0
    # One that runs once and ends is started by each `up`.
    plan_up 'Running|Waiting|Healthy|Exited|Starting|Started'
    [ -z "$planned" ] || [ "$planned" = unknown ] || fact warning "docker compose up on the host would still change something: $planned"
}

up_beside() { # SERVICES
    beside_names=$*
    composed 'attend 600' up --detach --no-deps --no-build "$@" && return 0
    result=$?
    [ "$result" != 125 ] || [ "$recovering" ] || exit 1
    fact warning "docker compose up of the services beside (${beside_names}) ended with status $result, see above; what was replaced serves. Mend them, then run docker compose up -d on the host"
    return 1
}

roll_heal() { # whichever direction is right by how far it got
    first_line "$state/roll/stage"
    if [ "$line" = retiring ]; then roll_finish; else roll_back; fi
}

roll_finish() { # forward, from wherever it stopped; false with $trouble
    roll=$state/roll trouble=''
    if [ ! -f "$roll/stage" ]; then
        over
        return 0
    fi
    first_line "$roll/stage"
    stage=$line
    if [ -s "$roll/services" ]; then
        revive_new || return 1
        if [ "$stage" != retiring ] && ! { start_batch && cut_over; }; then
            stay_as_is old
            return 1
        fi
    fi
    retire
}

stay_as_is() { # old or bad, the side that stays: neither way leads on, so what serves goes on serving, for the next deploy to replace
    reason=$trouble
    list_containers || return 1
    leaving=''
    while IFS=' ' read -r rolled _; do
        survey "$rolled" "$roll/$1.$rolled"
        while IFS=' ' read -r its_service its_id its_name _; do
            case " $out_ids " in *" $its_id "*) ;; *) continue ;; esac
            grep -qxF "${its_name%%,*}" "$roll/serve.$rolled" 2>/dev/null || leaving="$leaving $its_id"
        done <"$work/listed"
    done <"$roll/services"
    remove $leaving
    rest_easy
    over
    trouble=$reason
}

revive_new() { # after a reboot without a restart policy, or a kill between create and start
    list_containers || return 1
    while IFS=' ' read -r rolled _; do
        survey "$rolled" "$roll/old.$rolled"
        if [ "$stage" = retiring ]; then start_again $out_idle; else remove $out_idle; fi || return 1
    done <"$roll/services"
    list_containers || return 1
    [ "$stage" = retiring ] || return 0
    # The new release was accepted and the old one is half gone: whatever becomes of it, another deploy must be able to follow.
    await_new || fact warning "$trouble"
    trouble=''
}

roll_back() { # the old containers serve, the new ones are gone; false with $trouble, and then everything stays that serves
    roll=$state/roll trouble=''
    if [ ! -f "$roll/stage" ] || [ ! -s "$roll/services" ]; then
        over
        return 0
    fi
    first_line "$roll/stage"
    case $line in
    retiring)
        roll_finish
        return
        ;;
    undoing) ;;
    *) condemn || return 1 ;;
    esac
    bring_back && point_to_good || return 1
    choose_those bad || return 1
    [ ! -e "$roll/cut" ] || wait_for_drain
    remove $leaving || return 1
    rest_easy
    over
}

condemn() { # what is new now goes; what is started from here on is as the old ones were
    list_containers || return 1
    while IFS=' ' read -r rolled _; do
        survey "$rolled" "$roll/old.$rolled"
        note "$roll/bad.$rolled" "$(printf '%s\n' $out_ids)" || return 1
    done <"$roll/services"
    note "$roll/stage" undoing
}

bring_back() { # the old ones that ran run again; for those that are gone, new ones of the same version
    see_stops_through
    list_containers || return 1
    started=''
    true >"$work/scales"
    while IFS=' ' read -r rolled _; do
        survey "$rolled" "$roll/bad.$rolled"
        count_old "$rolled"
        start_again $again && remove $unfinished || return 1
        started="$started$again"
        for its_id in $unfinished; do out_count=$((out_count - 1)) total=$((total - 1)); done
        [ "$out_count" -ge "$had" ] || printf '%s %s\n' "$rolled" $((total + had - out_count)) >>"$work/scales"
    done <"$roll/services"
    scale_up && list_containers && await_good
}

see_stops_through() { # that a killed program had asked for: what they end can be started again only behind them
    [ -s "$roll/stopping" ] || return 0
    at_length quiet_docker stop $(cat "$roll/stopping") >/dev/null 2>&1
    rm -f "$roll/stopping"
}

count_old() { # SERVICE, after survey: sets $had (how many it had) and, of those that stand still, $again and $unfinished
    had=0 ran=' ' stood=' '
    while IFS=' ' read -r its_id _ its_state; do
        [ "$its_id" ] || continue
        had=$((had + 1))
        if [ "$its_state" = running ]; then ran="$ran$its_id "; else stood="$stood$its_id "; fi
    done <"$roll/old.$1"
    again='' unfinished=''
    for its_id in $out_idle; do
        case $ran,$stood in
        *" $its_id "*,*) again="$again $its_id" ;;
        *,*" $its_id "*) ;;
        *) unfinished="$unfinished $its_id" ;;
        esac
    done
}

await_good() { # those that were started for it
    everyone='' revived=''
    while IFS=' ' read -r rolled _; do
        survey "$rolled" "$roll/bad.$rolled"
        count_old "$rolled"
        for its_id in $out_ids; do
            case $ran,$stood in
            *,*" $its_id "*) ;;
            *" $its_id "*,*) everyone="$everyone $its_id" ;;
            *) everyone="$everyone $its_id" revived="$revived $its_id" ;;
            esac
        done
    done <"$roll/services"
    if [ "$revived$started" ] && ! await $everyone; then
        # They serve all the same when the new ones never did.
        [ ! -e "$roll/cut" ] || { stay_as_is bad && return 1; }
        fact warning "$trouble"
        trouble=''
    fi
    show $revived
}

point_to_good() {
    # Before the cut, nobody was ever sent elsewhere.
    [ -e "$roll/cut" ] || return 0
    list_containers || return 1
    while IFS=' ' read -r rolled _; do
        survey "$rolled" "$roll/bad.$rolled"
        serve "$rolled" $out_running || return 1
    done <"$roll/services"
    if point; then
        note_pointed
        return
    fi
    # Traefik that never took the new names knows the old ones only. Otherwise it may send visitors to the new ones still.
    [ ! -e "$roll/taken" ]
}
