# shellcheck shell=sh disable=SC2154,SC2015
# What runs of the Compose project, and what Compose would run: the facts of Docker before and during a deploy.

find_compose() { # everything that `compose` needs; false when there is no Compose file, Docker or Compose to go by
    find_compose_file
    [ "$compose_file" ] || return 1
    [ "$composer" ] || find_composer || return 1
    find_project
}

warn_of_differences() { # where Compose would run another reference than what runs: `make up` may export what we do not have
    told=''
    while IFS=' ' read -r its_service its_reference _; do
        its_former=$(printf '%s\n' "$compose_containers" | awk -v service="$its_service" '$1 == service && $5 == "running" { print $7; exit }')
        case $its_reference in
        *: | '') ;;
        "$its_former") continue ;;
        *) [ "$its_former" ] || continue ;;
        esac
        told="$told, $its_service ($its_reference${its_former:+ instead of $its_former})"
    done <<REFERENCES
$(printf '%s\n' "$rendered" | references)
REFERENCES
    [ -z "$told" ] || [ -z "$unset_variables" ] ||
        fact warning "the Compose file needs ${unset_variables% }, not set where deployer runs docker compose, which would run other images: ${told#, }; write it into .env beside the Compose file, or use a fixed tag there"
}

compose_facts() { # needs $compose_wanted: the configured file, or nothing
    live_image_facts
    find_compose_file || fact compose_error "$compose_error"
    fact compose_file "$compose_file"
    # A checkout without a Compose file needs no Docker.
    [ "$compose_file" ] || return 0
    http_tool=''
    for tool in curl wget python3 perl; do
        [ "$http_tool" ] || ! command -v "$tool" >/dev/null 2>&1 || http_tool=$tool
    done
    fact http_tool "$http_tool"
    docker_facts
    [ "$engine" = ok ] || return 0
    meet_composer || return 0
    fact compose "$compose_version"
    find_project
    rendered_facts
    container_facts
}

compose_ahead() { # what compose_facts asks first
    find_compose_file && [ "$compose_file" ] && command -v docker >/dev/null 2>&1 || return 0
    ahead projects say_projects
    [ "$composer" ] || ahead composer tell_composer
}

tell_composer() { find_composer && printf '%s\n' "$composer" "$compose_version"; }

meet_composer() { # sets what find_composer does
    [ ! "$composer" ] || return 0
    if arrived composer; then
        { IFS= read -r composer && IFS= read -r compose_version; } <"$work/ahead.composer"
    else
        find_composer
    fi
}

rendered_facts() { # and finds the containers, for which the project has to be known
    [ -z "$project" ] || ahead seen see_listed
    if render; then
        find_containers
        raw_fact rendered "$(printf '%s\n' "$rendered" | outline)"
        fact rendered_hash "$rendered_hash"
        for variable in $unset_variables; do fact unset "$variable"; done
        warn_of_differences
        warn_of_makers
    else
        find_containers
        raw_fact rendered ''
        fact compose_error "$compose_error"
    fi
    fact project "$project"
    [ -z "$others" ] ||
        fact warning "containers of two Compose projects, $project and $others, come from $compose_file: deployer minds $project only; docker compose -p $others down removes the others"
}

containers_seen='' containers_seen_at=-100

find_containers() { # sets $compose_containers: lines of SERVICE NAME ID IMAGE_ID STATE HEALTH REFERENCE PLACE MAKER CODE FOLDER
    # Two checkouts with folders of one name, such as docker/, are one project for Compose: the other's services are not ours.
    if arrived seen; then containers_seen=$(cat "$work/ahead.seen"); else containers_seen=$(see_containers); fi
    uptime
    containers_seen_at=$up
    choose_containers
}

choose_containers() { # out of $containers_seen
    its_services=$(printf '%s\n' "$rendered" | references | cut -d ' ' -f 1 | tr '\n' ' ')
    compose_containers=$(printf '%s\n' "$containers_seen" | awk -v services=" $its_services" -v folder=" ${compose_directory:-/}" '
        NF > 1 && (index(services, " " $1 " ") || substr($0, length($0) - length(folder) + 1) == folder)')
}

see_listed() { # what there was a moment ago, and in lines that begin with /size the images' sizes
    # shellcheck disable=SC2046
    set -- $(printf '%s\n' "$projects_said" | awk -F '|' -v project="$project" '$3 == project && $4 != "True" { print $1 }')
    [ $# != 0 ] || return 0
    containers_seen=$(inspect_all "$@")
    printf '%s\n' "$containers_seen"
    # shellcheck disable=SC2046
    quiet_docker image inspect --format '/size {{.Id}} {{.Size}}' $(printf '%s\n' "$containers_seen" | cut -d ' ' -f 4 | sort -u)
    # An image that is gone has no size.
    return 0
}

see_containers() {
    # shellcheck disable=SC2046
    set -- $(quiet_docker ps --all --quiet --no-trunc --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.oneoff=False 2>/dev/null)
    [ $# = 0 ] || inspect_all "$@"
}

inspect_all() { # IDS
    # ".ID", not ".Id": with that one Docker would go by its raw answer, in which a container without a health check has no Health.
    quiet_docker inspect --format \
        '{{index .Config.Labels "com.docker.compose.service"}} {{.Name}} {{.ID}} {{.Image}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.Config.Image}} {{.HostnamePath}} {{or (index .Config.Labels "com.docker.compose.version") "-"}} {{.State.ExitCode}} {{index .Config.Labels "com.docker.compose.project.working_dir"}}' \
        "$@" 2>/dev/null | sed 's, /, ,' | sort
}

warn_of_makers() { # Compose 2 does not know the configuration of what Compose 1 has made, and makes it anew
    case $compose_version in 1.*) return 0 ;; esac
    aged=$(printf '%s\n' "$compose_containers" | awk '$9 ~ /^1\./ && !seen[$1]++ { printf "%s%s", comma, $1; comma = ", " }')
    [ -z "$aged" ] ||
        fact warning "containers of $aged were made by docker-compose 1: docker compose $compose_version makes them anew when it brings them up next, databases too"
}

container_facts() { # of what find_containers has found
    images='' place=''
    while IFS=' ' read -r its_service its_name its_id its_image its_state its_health its_reference its_place _ its_code _; do
        [ "$its_service" ] || continue
        fact container "$its_service $its_name $its_id $its_image $its_state $its_health $its_code"
        place=$its_place
        [ "$its_state" = running ] || continue
        case $images in *"$newline$its_service "*) ;; *) images="$images$newline$its_service $its_image $its_reference" ;; esac
    done <<CONTAINERS
$compose_containers
CONTAINERS
    sizes=$(printf '%s\n' "$containers_seen" | sed -n 's,^/size ,,p')
    [ "$sizes" ] || sizes=$(image_sizes "$images")
    while IFS=' ' read -r its_service its_image its_reference; do
        [ ! "$its_service" ] || fact image "$its_service $its_image $its_reference $(size_of "$its_image")"
    done <<IMAGES
$images
IMAGES
    space_facts
}

image_sizes() { # lines of SERVICE IMAGE_ID ...: lines of IMAGE_ID BYTES
    # shellcheck disable=SC2046
    set -- $(printf '%s\n' "$1" | while IFS=' ' read -r _ its_image _; do [ ! "$its_image" ] || printf '%s\n' "$its_image"; done | sort -u)
    [ $# = 0 ] || quiet_docker image inspect --format '{{.Id}} {{.Size}}' "$@" 2>/dev/null
}

size_of() { # IMAGE_ID: its bytes, out of $sizes; 0 when Docker has lost it
    case $newline$sizes in
    *"$newline$1 "*)
        size=${sizes#*"$1 "}
        printf '%s' "${size%%"$newline"*}"
        ;;
    *) printf 0 ;;
    esac
}

space_facts() { # the free space where Docker keeps its data; nothing when that is on another machine
    case $place in
    # A container's own file tells where, four times as fast as docker info (20 and 80 ms, measured).
    */containers/*) place=${place%/containers/*} ;;
    *) place=$(quiet_docker info --format '{{.DockerRootDir}}' 2>/dev/null) ;;
    esac
    # shellcheck disable=SC2046
    [ ! -d "$place" ] || set -- $(df -Pk "$place" 2>/dev/null | tail -n 1)
    [ -z "${4:-}" ] || fact docker_free_kilobytes "$4"
    docker_root=$place
    fact docker_root "$docker_root"
}
