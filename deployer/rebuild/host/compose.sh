# shellcheck shell=sh disable=SC2154,SC2015
# Docker and Compose on the host: which file and project the live containers come from, what they are, and their images.
#
# A rendered Compose file holds secrets (environment, build arguments, commands). It stays in this shell: its hash and a
# digest of it without all those go to the client, nothing goes into files.

compose_file='' compose_files='' compose_directory='' compose_environment='' compose_home=/ composer='' project='' native=''
compose_wanted='' compose_error='' compose_version='' compose_containers='' rendered='' unset_variables='' others=''
# https://docs.docker.com/compose/install/linux/ and what distributions make of it.
plugins='/usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker /usr/libexec/docker'

# --- Docker itself ---------------------------------------------------------------------------------------------------

quiet_docker() { docker "$@" </dev/null 3>&-; }

docker_facts() { # sets $engine: ok, none, down or denied
    engine=none docker_said=''
    if command -v docker >/dev/null 2>&1; then
        engine=ok
        if docker_said=$(quiet_docker version --format '{{.Server.Version}}' 2>&1); then
            fact docker_version "${docker_said##*"$newline"}"
        else
            find_engine_fault
        fi
    fi
    fact docker "$engine"
}

find_engine_fault() { # sets $engine to why it does not answer, judged by its socket and not by words
    engine=down
    socket=$(quiet_docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) || socket=${DOCKER_HOST:-}
    fact docker_host "$socket"
    fact docker_said "${docker_said##*"$newline"}"
    case $socket in
    unix:///*)
        socket=${socket#unix://}
        if [ -S "$socket" ] && [ ! -w "$socket" ]; then engine=denied; fi
        if [ -d "${socket%/*}" ] && [ ! -x "${socket%/*}" ]; then engine=denied; fi
        ;;
    esac
}

find_composer() { # sets $composer (words that start Compose) and $compose_version; false when there is none
    composer='' compose_version=''
    # The plugin's own file answers in half the time that it takes through docker (45 and 90 ms, measured).
    for folder in "${DOCKER_CONFIG:-${HOME:-/root}/.docker}" $plugins; do
        folder=$folder/cli-plugins
        case $folder in *[!A-Za-z0-9/._-]*) continue ;; esac
        if [ -x "$folder/docker-compose" ] && works "$folder/docker-compose"; then return 0; fi
    done
    works 'docker compose' || works docker-compose
}

works() { # WORDS: they start Compose
    # shellcheck disable=SC2086
    compose_version=$($1 version --short 2>/dev/null </dev/null 3>&-) || return 1
    [ "$compose_version" ] && composer=$1
}

find_native() { # sets $native: words that run a command with the login's LC_ALL and TZ, which this program has replaced
    [ -z "$native" ] || return 0
    native='env'
    for name_of in LC_ALL TZ; do
        value_of=$(tr '\0' '\n' <"/proc/$$/environ" 2>/dev/null | sed -n "s/^$name_of=//p")
        case $value_of in
        '' | *[!A-Za-z0-9/._:+@,-]*) native="$native -u $name_of" ;;
        *) native="$native $name_of=$value_of" ;;
        esac
    done
}

# --- the Compose file and its project -----------------------------------------------------------------------------------

find_compose_file() { # sets $compose_file from $compose_wanted or a usual name; false with $compose_error
    compose_file='' compose_error=''
    if [ "$compose_wanted" ]; then
        case $compose_wanted in /*) compose_file=$compose_wanted ;; *) compose_file=$path/$compose_wanted ;; esac
        [ -f "$compose_file" ] && return 0
        compose_error="the Compose file $compose_file does not exist on the host: correct rebuild.compose_file"
        compose_file=''
        return 1
    fi
    # Compose's own order; the checkout's root wins, as it does for Compose.
    for folder in . docker compose deploy deployment; do
        for usual in compose.yaml compose.yml docker-compose.yml docker-compose.yaml; do
            [ -f "$path/$folder/$usual" ] || continue
            if [ "$folder" = . ]; then compose_file=$path/$usual && return 0; fi
            if [ "$compose_file" ]; then
                compose_error="there are several Compose files, such as $compose_file and $path/$folder/$usual: name one as rebuild.compose_file"
                compose_file=''
                return 1
            fi
            compose_file=$path/$folder/$usual
            break
        done
    done
}

real() { # FILE: its path without links
    (cd "${1%/*}/" 2>/dev/null && printf '%s/%s\n' "$(pwd -P)" "${1##*/}")
}

find_project() { # sets $project and how Compose is called, as the live containers of $compose_file were made
    project='' compose_files='' compose_directory='' compose_environment='' compose_home=$path others=''
    ours_is=$(real "$compose_file")
    listed=$(quiet_docker ps --all --no-trunc --filter label=com.docker.compose.project --format \
        '{{printf "%.2s" .Status}}|{{.Label "com.docker.compose.project"}}|{{.Label "com.docker.compose.oneoff"}}|{{.Label "com.docker.compose.project.working_dir"}}|{{.Label "com.docker.compose.project.environment_file"}}|{{.Label "com.docker.compose.project.config_files"}}' \
        2>/dev/null | sort | uniq -c | sort -rn) || listed=''
    # What runs decides; stopped containers are asked only where nothing does.
    take_project Up
    [ "$project" ] || take_project ''
    # Nothing runs: what `docker compose` in the checkout would take, override files included.
    [ "$project" ] || compose_files=$compose_file
    case $ours_is in
    "$path/compose.yaml" | "$path/compose.yml" | "$path/docker-compose.yml" | "$path/docker-compose.yaml")
        [ "$project" ] || [ "$compose_wanted" ] || compose_files=''
        ;;
    esac
}

take_project() { # STATUS: from the largest project of $listed whose containers have it, out of our file
    while IFS='|' read -r status their_project oneoff directory environment files; do
        case $status in *"$1") ;; *) continue ;; esac
        [ "$their_project" ] && [ "$oneoff" != True ] || continue
        first_file=${files%%,*}
        case $first_file in /*) ;; *) first_file=$directory/$first_file ;; esac
        first_file=$(real "$first_file")
        # A file that the checkout has under another name by now is the same project still.
        [ "$first_file" = "$ours_is" ] || { [ ! -e "$first_file" ] && [ "${first_file%/*}" = "${ours_is%/*}" ]; } || continue
        if [ "$project" ]; then
            [ "$project" = "$their_project" ] || others=$their_project
            continue
        fi
        project=$their_project compose_directory=$directory compose_home=$directory compose_files=$compose_file
        keep_files "$files"
        [ ! -f "${environment%%,*}" ] || compose_environment=$environment
    done <<LISTED
$listed
LISTED
}

keep_files() { # FILES as Compose's label has them: those behind the first one that are still there
    case $1 in *,*) ;; *) return 0 ;; esac
    rest=${1#*,},
    while [ "$rest" ]; do
        more=${rest%%,*} rest=${rest#*,}
        case $more in /*) ;; *) more=$directory/$more ;; esac
        [ ! -f "$more" ] || compose_files=$compose_files,$more
    done
}

composed() { # HOW ARGS...: Compose with these arguments; HOW is what runs it: `command`, or `attend SECONDS`
    how=$1
    shift
    rest=$compose_environment
    while [ "$rest" ]; do
        set -- --env-file "${rest##*,}" "$@"
        case $rest in *,*) rest=${rest%,*} ;; *) rest='' ;; esac
    done
    [ -z "$compose_directory" ] || set -- --project-directory "$compose_directory" "$@"
    [ -z "$project" ] || set -- -p "$project" "$@"
    rest=$compose_files
    while [ "$rest" ]; do
        set -- -f "${rest##*,}" "$@"
        case $rest in *,*) rest=${rest%,*} ;; *) rest='' ;; esac
    done
    cd "$compose_home" || fail failed "$(id -un) cannot enter $compose_home on the host"
    find_native
    # shellcheck disable=SC2086
    $how $native $composer "$@"
    composed=$?
    cd /
    return "$composed"
}

compose() { composed command "$@" </dev/null 3>&-; }

render() { # sets $rendered (it holds secrets: never printed), $rendered_hash and, by Compose's own rules, $project
    compose_error='' rendered='' rendered_hash='' unset_variables=''
    # Both outputs of one call: first what Compose warns of, then the file from a line "{" to a line "}".
    if compose_said=$(compose config --format json 2>&1); then
        rendered=$(printf '%s\n' "$compose_said" | sed -n '/^{$/,/^}/p' | sed '$s/^}.*/}/')
    fi
    compose_said=$(printf '%s\n' "$compose_said" | sed '/^{$/,/^}/d')
    case $rendered$compose_version in
    1.*)
        compose_error="docker-compose $compose_version on the host is too old to replace services without downtime: install Compose 2 (apt-get install docker-compose-plugin, or docker-compose-v2)"
        return 1
        ;;
    esac
    if [ -z "$rendered" ]; then
        compose_said=$(printf '%s\n' "$compose_said" | sed '/level=warning/d' | tail -n 3 | tr '\n' ' ')
        compose_error="the Compose file $compose_file is invalid: $compose_said"
        return 1
    fi
    rendered_hash=$(printf '%s' "$rendered" | sha256sum)
    rendered_hash=${rendered_hash%% *}
    unset_variables=$(printf '%s\n' "$compose_said" |
        sed -n 's/.*[Tt]he [\\"]*\([A-Za-z_][A-Za-z_0-9]*\)[\\"]* variable is not set.*/\1/p' | sort -u | tr '\n' ' ')
    [ "$project" ] || project=$(printf '%s\n' "$rendered" | sed -n '1,/^}/s/^  "name": "\([^"]*\)".*/\1/p' | head -n 1)
}

outline() { # standard input: a rendered file; standard output: what a roll needs of it, as JSON, and nothing else
    # Compose writes one key or value a line, indented by two blanks a level; anything else is left out.
    awk '
    BEGIN {
        split("image container_name ports volumes networks network_mode stop_grace_period stop_signal scale devices " \
            "mac_address restart pid ipc volumes_from", names, " ")
        for (i in names) plain[names[i]] = 1
    }
    function key(line) { sub(/^ *"/, "", line); sub(/".*/, "", line); return line }
    { indent = match($0, /[^ ]/) - 1; opens = ($0 ~ /^ *"[^"]*": [{[]$/) }
    indent == 0 && /^[{}]$/ { keep(); next }
    indent < 2 { next }
    indent == 2 && /^ *"/ {
        top = key($0)
        wanted = (top == "name" || top == "networks" || top == "volumes" || top == "services")
    }
    !wanted { next }
    indent <= 4 { keep(); next }
    indent == 6 && /^ *"/ {
        part = key($0)
        if (top != "services") inside = (part == "name" || part == "external" || part == "driver")
        else inside = (part in plain || part == "deploy" || part == "healthcheck")
        if (top == "services" && part == "build") { kept[++count] = "      \"build\": true,"; next }
    }
    !inside { next }
    indent == 6 || (part != "deploy" && part != "healthcheck") { keep(); next }
    part == "deploy" { if (indent == 8 && /^ *"(mode|replicas)": /) keep(); next }
    /^ +"NONE"$/ && none { kept[++count] = "        \"disable\": true,"; next }
    { none = /^ *"test": \[$/ }
    indent == 8 && /^ *"(disable|interval|timeout|retries|start_period|start_interval)": / { keep() }
    function keep() { kept[++count] = $0 }
    END {
        for (i = 1; i <= count; i++) {
            # What followed may have been left out.
            if (i < count && kept[i + 1] ~ /^ *[]}]/) sub(/,$/, "", kept[i])
            print kept[i]
        }
    }'
}

references() { # standard input: a rendered file; standard output: SERVICE REFERENCE [build] of every service
    awk -v project="$project" '
    function key(line) { sub(/^ *"/, "", line); sub(/".*/, "", line); return line }
    function value(line) { sub(/^ *"[^"]*": "/, "", line); sub(/",?$/, "", line); return line }
    function tell() {
        if (service != "" && (image != "" || builds != "")) print service, (image != "" ? image : project "-" service), builds
        service = image = builds = ""
    }
    /^  "/ { tell(); inside = /^  "services": / }
    !inside { next }
    /^    "/ { tell(); service = key($0) }
    /^      "image": "/ { image = value($0) }
    /^      "build": / { builds = "build" }
    END { tell() }'
}

# --- what do_facts tells ---------------------------------------------------------------------------------------------------

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
    find_composer || return 0
    fact compose "$compose_version"
    find_project
    rendered_facts
    container_facts
}

rendered_facts() { # and finds the containers, for which the project has to be known
    if render; then
        find_containers
        raw_fact rendered "$(printf '%s\n' "$rendered" | outline)"
        fact rendered_hash "$rendered_hash"
        for variable in $unset_variables; do fact unset "$variable"; done
        warn_of_differences
    else
        find_containers
        raw_fact rendered ''
        fact compose_error "$compose_error"
    fi
    fact project "$project"
    [ -z "$others" ] ||
        fact warning "containers of two Compose projects, $project and $others, come from $compose_file: deployer minds $project only; docker compose -p $others down removes the others"
}

find_containers() { # sets $compose_containers: lines of SERVICE NAME ID IMAGE_ID STATE HEALTH REFERENCE PLACE FOLDER
    # Two checkouts with folders of one name, such as docker/, are one project for Compose: the other's services are not ours.
    its_services=$(printf '%s\n' "$rendered" | references | cut -d ' ' -f 1 | tr '\n' ' ')
    compose_containers=''
    # ".ID", not ".Id": with that one Docker would go by its raw answer, in which a container without a health check has no Health.
    # shellcheck disable=SC2046
    set -- $(quiet_docker ps --all --quiet --no-trunc --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.oneoff=False 2>/dev/null)
    [ $# = 0 ] || compose_containers=$(quiet_docker inspect --format \
        '{{index .Config.Labels "com.docker.compose.service"}} {{.Name}} {{.ID}} {{.Image}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.Config.Image}} {{.HostnamePath}} {{index .Config.Labels "com.docker.compose.project.working_dir"}}' \
        "$@" 2>/dev/null | sed 's, /, ,' | sort |
        awk -v services=" $its_services" -v folder=" ${compose_directory:-/}" '
        index(services, " " $1 " ") || substr($0, length($0) - length(folder) + 1) == folder')
}

container_facts() { # of what find_containers has found
    images='' place=''
    while IFS=' ' read -r its_service its_name its_id its_image its_state its_health its_reference its_place _; do
        [ "$its_service" ] || continue
        fact container "$its_service $its_name $its_id $its_image $its_state $its_health"
        place=$its_place
        [ "$its_state" = running ] || continue
        case $images in *"$newline$its_service "*) ;; *) images="$images$newline$its_service $its_image $its_reference" ;; esac
    done <<CONTAINERS
$compose_containers
CONTAINERS
    sizes=$(image_sizes "$images")
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
    fact docker_root "$place"
}

# --- images: remembered, recorded, brought back, forgotten --------------------------------------------------------------

# Files of images have lines of two kinds: SERVICE IMAGE_ID REFERENCE in a record; IMAGE_ID REFERENCE in $state/undo/images,
# where the id - stands for a reference that did not exist.

list_references() { # SERVICE REFERENCE of what Compose would run, or, where it does not say, of what runs
    if [ "$rendered" ]; then
        printf '%s\n' "$rendered" | references
    else
        printf '%s\n' "$compose_containers" | awk '$5 == "running" && $7 !~ /^sha256:/ && !seen[$1]++ { print $1, $7 }'
    fi
}

image_of() { # REFERENCE or id: its image id, or nothing
    quiet_docker image inspect --format '{{.Id}}' "$1" 2>/dev/null
}

kept_tag() { # SERVICE RELEASE: the reference by which a kept release holds its image
    # Compose allows names that Docker does not allow in references: those go by a digest.
    case $1 in
    *[!a-z0-9-]* | -* | *-)
        its_digest=$(printf '%s' "$1" | sha256sum)
        printf 'deployer/%s/s-%.16s:%s\n' "$app" "$its_digest" "$2"
        ;;
    *) printf 'deployer/%s/%s:%s\n' "$app" "$1" "$2" ;;
    esac
}

remember() { # lines of IMAGE_ID REFERENCE on standard input are added to what undo brings back; the first one of a reference counts
    { cat "$state/undo/images" 2>/dev/null || true; cat; } | awk '$2 != "" && !seen[$2]++' >"$work/undo-images" &&
        mv -f "$work/undo-images" "$state/undo/images" || cannot "write to $state on the host"
}

remember_images() { # before the build: what every reference stands for
    find_compose || return 0
    render || true
    find_containers
    {
        # A live container's image comes first, whatever its reference stands for by now: that is what serves.
        printf '%s\n' "$compose_containers" | awk '$5 == "running" && $7 !~ /^sha256:|@/ { print $4, $7 }'
        list_references | while IFS=' ' read -r _ its_reference _; do
            case $its_reference in *@*) continue ;; esac
            its_image=$(image_of "$its_reference") || its_image='-'
            printf '%s %s\n' "$its_image" "$its_reference"
        done
    } | remember
}

restore_images() { # undo: references stand for what they stood for, and the failed release's own tags are gone
    [ -f "$state/undo/images" ] || return 0
    [ ! -s "$state/undo/images" ] || quiet_docker version 2>/dev/null || return 1
    while IFS=' ' read -r its_image its_reference; do
        if [ "$its_image" = - ]; then
            quiet_docker image rm "$its_reference" 2>/dev/null
        else
            [ "$(image_of "$its_reference")" = "$its_image" ] || quiet_docker tag "$its_image" "$its_reference" 2>/dev/null
        fi
    done <"$state/undo/images"
    rm -f "$state/undo/images"
}

do_images() { # RELEASE, after the build: its record, its tags, and facts
    IFS= read -r release || exit 1
    note_images "$release"
}

note_images() { # RELEASE
    true >"$work/images" || cannot "write to $state on the host"
    rendered_hash=''
    if find_compose; then
        render || case $compose_version in 1.*) ;; *) fail failed "$compose_error" ;; esac
        find_containers
        raw_fact rendered "$(printf '%s\n' "$rendered" | outline)"
        fact rendered_hash "$rendered_hash"
        tag_images "$1"
    elif [ "$compose_error" ]; then
        fail failed "$compose_error"
    fi
    mv -f "$work/images" "$state/records/$1/images" || cannot "write to $state on the host"
    { sed '/^hash /d' "$state/records/$1/facts" && printf 'hash %s\n' "$rendered_hash"; } >"$work/facts" &&
        mv -f "$work/facts" "$state/records/$1/facts" || cannot "write to $state on the host"
}

tag_images() { # RELEASE
    while IFS=' ' read -r its_service its_reference _; do
        [ "$its_service" ] || continue
        # What is not there yet, `up` pulls.
        its_image=$(image_of "$its_reference") || continue
        printf '%s %s %s\n' "$its_service" "$its_image" "$its_reference" >>"$work/images" || cannot "write to $state on the host"
        its_tag=$(kept_tag "$its_service" "$1")
        printf -- '- %s\n' "$its_tag" | remember
        renew
        quiet_docker tag "$its_image" "$its_tag" || fail failed "docker tag $its_image $its_tag failed on the host"
        changed=' changed'
        case $newline$compose_containers in *"$newline$its_service "*" $its_image running "*) changed='' ;; esac
        fact image "$its_service $its_image $its_reference$changed"
    done <<REFERENCES
$(list_references)
REFERENCES
}

live_image_facts() { # what the live release was recorded to run
    [ "$live" ] || return 0
    while IFS= read -r line; do
        fact live_image "$line"
    done 2>/dev/null <"$state/records/$live/images"
}

do_use_images() { # RELEASE: a kept one; facts say which services have lost their image
    IFS= read -r kept || exit 1
    use_images "$kept" || return 0
}

use_images() { # RELEASE: references stand for the images of a kept release; nothing changes when one is missing
    lost=''
    while IFS=' ' read -r its_service its_image its_reference; do
        [ "$(image_of "$its_image")" ] && continue
        lost=yes
        fact missing "$its_service"
    done 2>/dev/null <"$state/records/$1/images" || fact missing -
    [ -z "$lost" ] && [ -f "$state/records/$1/images" ] || return 1
    while IFS=' ' read -r _ its_image its_reference; do
        # What is named by its contents cannot be moved.
        case $its_reference in *@*) continue ;; esac
        its_former=$(image_of "$its_reference") || its_former='-'
        [ "$its_former" != "$its_image" ] || continue
        printf '%s %s\n' "$its_former" "$its_reference" | remember
        renew
        quiet_docker tag "$its_image" "$its_reference" || fail failed "docker tag $its_image $its_reference failed on the host"
    done <"$state/records/$1/images"
}

forget_images() { # RELEASE: our tags of it, and with them the images that nothing else holds
    for its_tag in $(quiet_docker image ls --filter "reference=deployer/$app/*:$1" --format '{{.Repository}}:{{.Tag}}' 2>/dev/null); do
        quiet_docker image rm "$its_tag" 2>/dev/null
    done
    return 0
}

needs_replacing() { # SERVICE: true when `up` would make its containers anew, or there are none
    # A dry run of up decides as up does: by the configuration's hash, the image and the networks.
    if planned=$(compose --dry-run up --detach --no-deps --no-build "$1" 2>&1); then
        case $planned in
        *' Recreate'*) return 0 ;;
        *' Running'*) return 1 ;;
        esac
    fi
    differs "$1"
}

differs() { # SERVICE: the same without a dry run: by the hash and the image id that Compose notes on its containers
    wanted_hash=$(compose config --hash "$1" 2>/dev/null) || return 0
    wanted_image=$(render && printf '%s\n' "$rendered" | references | awk -v service="$1" '$1 == service { print $2 }')
    wanted_image=$(image_of "$wanted_image")
    its_marks=$(quiet_docker ps --quiet --no-trunc --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1" 2>/dev/null)
    [ "$its_marks" ] || return 0
    # shellcheck disable=SC2086
    its_marks=$(quiet_docker inspect --format '{{index .Config.Labels "com.docker.compose.config-hash"}} {{.Image}}' $its_marks 2>/dev/null | sort -u)
    [ "$its_marks" != "${wanted_hash##* } $wanted_image" ]
}
