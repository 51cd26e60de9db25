# shellcheck shell=sh disable=SC2086
# Without a proxy of ours, others find the containers by the service's name in Docker's DNS. A new container has that name
# as soon as it starts; so it is taken away before the start, and given when the container is ready.

hide_new() { # the ones just created, of the listed services; false with $trouble
    while IFS=' ' read -r its_service its_id its_name its_state; do
        [ "$its_state" = created ] && [ -f "$roll/services" ] && wish "$its_service" || continue
        [ -f "$roll/hidden.$its_id" ] || hide "$its_id" || return 1
    done <"$work/listed"
}

# shellcheck disable=SC2016
hide() { # ID: which names it has to get, where, is noted first
    quiet_docker inspect --format '{{range $network, $its := .NetworkSettings.Networks}}{{$network}}{{range $its.Aliases}} {{.}}{{end}}{{println}}{{end}}' \
        "$1" 2>"$work/said" >"$work/networks"
    note "$roll/hidden.$1" "$(cat "$work/networks")" || return 1
    while IFS=' ' read -r network aliases; do
        case $network in host | none | bridge) continue ;; esac
        [ "$aliases" ] || continue
        quiet_docker network disconnect "$network" "$1" 2>"$work/said" && quiet_docker network connect "$network" "$1" 2>"$work/said" && continue
        trouble="Docker cannot connect a new container to the network $network without the service's name: $(head -n 1 "$work/said")"
        return 1
    done <"$work/networks"
}

show() { # IDS: they get the names that they were made with; false with $trouble
    for its_id; do
        [ -f "$roll/hidden.$its_id" ] || continue
        while IFS=' ' read -r network aliases; do
            case $network in host | none | bridge) continue ;; esac
            [ ! "$aliases" ] || show_in "$network" $aliases || return 1
        done <"$roll/hidden.$its_id"
        rm -f "$roll/hidden.$its_id"
    done
}

show_in() { # NETWORK ALIASES...
    network=$1
    shift
    for alias; do
        shift
        # Docker adds the short identifier by itself.
        case $its_id in "$alias"*) ;; *) set -- "$@" --alias "$alias" ;; esac
    done
    renew
    quiet_docker network disconnect "$network" "$its_id" 2>/dev/null
    quiet_docker network connect "$@" "$network" "$its_id" 2>"$work/said" && return 0
    trouble="Docker cannot give a new container the service's name in the network $network: $(head -n 1 "$work/said")"
    return 1
}
