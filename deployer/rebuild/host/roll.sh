# shellcheck shell=sh disable=SC2086
# Replacing the containers of Compose services: new ones beside the old, then the cut-over, then the old ones go.
#
# $state/roll tells whoever comes after a kill how far it got; each file is written, by rename, before what it tells of:
#     services          NAME PORT BATCH SETTLE PATIENCE WANTED PATH HOST of each service that is being replaced
#     old.SERVICE       ID NAME STATE of the containers that it had
#     measure.SERVICE   how a container without a health check is known to be ready: status, answer or settle
#     serve.SERVICE     the names that visitors are to be sent to; without it, the service's own
#     hidden.ID         the names that a container has to get back (see names.sh)
#     stage             begun (what is new may go), undoing (what is in bad.SERVICE goes), retiring (what is old goes)
#     cut, taken        new containers may serve by now; they certainly do
#     pointed           when visitors were sent elsewhere last: requests to the former containers may still be under way

trouble='' drain=0 roll=''

do_start() { # body: DRAIN, how many services, then eight lines each: NAME PORT BATCH SETTLE PATH HOST PATIENCE WANTED
    frames >"$work/start" || exit 1
    roll=$state/roll trouble=''
    [ -d "$roll" ] || mkdir -m 700 "$roll" || cannot "make $roll on the host"
    { IFS= read -r drain && IFS= read -r number && read_services; } <"$work/start" >"$work/asked" ||
        fail failed 'the request to start containers was cut short'
    begin_roll && start_batch || fail failed "$trouble"
    list_ahead
}

read_services() { # $number of them, from standard input, to $work/asked
    while [ "$number" -gt 0 ]; do
        IFS= read -r rolled && IFS= read -r its_port && IFS= read -r batch && IFS= read -r settle && IFS= read -r its_path &&
            IFS= read -r its_host && IFS= read -r patience && IFS= read -r wanted || return 1
        [ "$batch" -gt 0 ] || batch=$wanted
        printf '%s %s %s %s %s %s %s %s\n' "$rolled" "$its_port" "$batch" "$settle" "$patience" "$wanted" "${its_path:-/}" "$its_host"
        number=$((number - 1))
    done
}

begin_roll() { # everything is noted before anything is done
    list_containers || return 1
    while IFS=' ' read -r rolled parameters; do
        if needs_replacing "$rolled"; then printf '%s %s\n' "$rolled" "$parameters"; else fact unchanged "$rolled"; fi
    done <"$work/asked" >"$work/services"
    mv -f "$work/services" "$roll/services" || cannot "write to $state on the host"
    note_old && note "$roll/drain" "$drain" && note "$roll/stage" begun && point_to_old
}

note_old() {
    while IFS=' ' read -r rolled its_port _ _ _ _ its_path its_host; do
        text=''
        while IFS=' ' read -r its_service its_id its_name its_state; do
            [ "$its_service" != "$rolled" ] || text="$text$its_id ${its_name%%,*} $its_state$newline"
        done <"$work/listed"
        note "$roll/old.$rolled" "${text%"$newline"}" || return 1
        survey "$rolled" "$roll/old.$rolled"
        calibrate "$rolled" "$its_port" "$its_path" "$its_host" $in_ids
        [ "$measure" != settle ] || fact unasked "$rolled"
        note "$roll/measure.$rolled" "$measure" || return 1
    done <"$roll/services"
}

serve() { # SERVICE NAMES; all is left as it is when there is nobody to send visitors to
    whom=$1
    shift
    [ "$*" ] || return 0
    note "$roll/serve.$whom" "$(printf '%s\n' "$@")"
}

point() { # [SECONDS]: visitors are sent where the files say; false with $trouble
    [ -f "$roll/template" ] || return 0
    renew
    proxy_why='it does not answer'
    if proxy_point && proxy_acknowledge "$@"; then return 0; fi
    trouble="Traefik has not taken over where visitors are to be sent: $proxy_why"
    return 1
}

point_to_old() { # a container that starts joins the service's name at once, so that must not be what visitors are sent to
    [ -s "$roll/services" ] && [ -f "$roll/template" ] || return 0
    while IFS=' ' read -r rolled _; do
        survey "$rolled" "$roll/old.$rolled"
        serve "$rolled" $in_running || return 1
    done <"$roll/services"
    point
}

start_batch() { # as many new containers as go at once, and all new ones ready; false with $trouble
    renew
    list_lately || return 1
    while IFS=' ' read -r rolled _ batch _ _ wanted _; do
        survey "$rolled" "$roll/old.$rolled"
        [ "$out_count" -lt "$wanted" ] || continue
        [ $((out_count + batch)) -le "$wanted" ] || batch=$((wanted - out_count))
        printf '%s %s\n' "$rolled" $((total + batch))
    done <"$roll/services" >"$work/scales"
    scale_up && await_new
}

await_new() {
    everyone=''
    while IFS=' ' read -r rolled _; do
        survey "$rolled" "$roll/old.$rolled"
        everyone="$everyone $out_ids"
    done <"$roll/services"
    await $everyone
}

do_cut() {
    roll=$state/roll
    [ -s "$roll/services" ] || return 0
    cut_over || fail failed "$trouble"
}

cut_over() { # batch by batch, from any point where all new containers are ready; the last old ones stay
    note "$roll/cut" yes || return 1
    while renew; do
        list_containers && hand_over && point && note_pointed && note "$roll/taken" yes || return 1
        [ ! "$last" ] || return 0
        wait_for_drain
        remove $leaving && start_batch || return 1
    done
}

hand_over() { # visitors to the new ones, and to as many old ones as there have to be; sets $leaving (ids) and $last
    leaving='' last=yes
    while IFS=' ' read -r rolled _ _ _ _ wanted _; do
        survey "$rolled" "$roll/old.$rolled"
        show $out_ids || return 1
        serving=$out_running
        if [ "$out_count" -lt "$wanted" ]; then
            last=''
            stay_or_leave "$rolled"
        fi
        serve "$rolled" $serving || return 1
    done <"$roll/services"
}

stay_or_leave() { # SERVICE: of the old ones, those go that are too many; the others stay in $serving
    surplus=$((total - wanted))
    while IFS=' ' read -r its_id its_name _; do
        case " $in_ids " in *" $its_id "*) ;; *) continue ;; esac
        if [ "$surplus" -gt 0 ]; then
            leaving="$leaving $its_id" surplus=$((surplus - 1))
        else
            case " $in_running " in *" $its_name "*) serving="$serving $its_name" ;; esac
        fi
    done <"$roll/old.$1"
}

note_pointed() {
    read_clock
    note "$roll/pointed" "$boot $clock"
}

wait_for_drain() { # requests that were sent to the former containers end by themselves
    # By Docker's names, visitors come until the container is gone: waiting would not help.
    [ -f "$roll/template" ] && [ -f "$roll/pointed" ] || return 0
    first_line "$roll/drain"
    hundredths "${line:-0}"
    IFS=' ' read -r pointed_boot pointed <"$roll/pointed"
    [ "$pointed_boot" = "$boot" ] || return 0
    while read_clock && [ "$clock" -lt $((pointed + hundredths)) ]; do nap $((pointed + hundredths)); done
}
