# shellcheck shell=sh disable=SC2034,SC2154,SC2015
# Docker and Compose on the host: which file and project the live containers come from, what they are, and their images.
#
# A rendered Compose file holds secrets (environment, build arguments, commands). It stays in this shell: its hash and a
# digest of it without all those go to the client, nothing goes into files.

compose_file='' compose_files='' compose_directory='' compose_environment='' compose_home=/ composer='' project='' native=''
compose_wanted='' compose_error='' compose_version='' compose_containers='' rendered='' unset_variables='' others=''
projects='' projects_said='' projects_fresh='' project_runs='' rendered_of='' rendered_project=''
# https://docs.docker.com/compose/install/linux/ and what distributions make of it.
plugins='/usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker /usr/libexec/docker'

# --- Docker itself ---------------------------------------------------------------------------------------------------

quiet_docker() { docker "$@" </dev/null 3>&-; }

docker_facts() { # sets $engine: ok, none, down or denied; and $projects
    engine=none docker_said=''
    if command -v docker >/dev/null 2>&1; then
        engine=ok
        list_projects || find_engine_fault
    fi
    fact docker "$engine"
}

list_projects() { # every container of Compose, in $projects; false with $docker_said when the engine does not answer
    projects='' projects_said='' projects_fresh=yes
    if arrived projects; then docker_said=$(cat "$work/ahead.projects"); else docker_said=$(say_projects); fi || return 1
    projects_said=$docker_said
    projects=$(printf '%s\n' "$projects_said" | sed 's/^[^|]*|//' | sort | uniq -c | sort -rn)
}

say_projects() { # ID, two letters of its status, and what Compose has noted of each container
    quiet_docker ps --all --no-trunc --filter label=com.docker.compose.project --format \
        '{{.ID}}|{{printf "%.2s" .Status}}|{{.Label "com.docker.compose.project"}}|{{.Label "com.docker.compose.oneoff"}}|{{.Label "com.docker.compose.project.working_dir"}}|{{.Label "com.docker.compose.project.environment_file"}}|{{.Label "com.docker.compose.project.config_files"}}' \
        2>&1
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
    native_without='' native_with=''
    for name_of in LC_ALL TZ; do
        value_of=$(tr '\0' '\n' <"/proc/$$/environ" 2>/dev/null | sed -n "s/^$name_of=//p")
        case $value_of in
        '' | *[!A-Za-z0-9/._:+@,-]*) native_without="$native_without -u $name_of" ;;
        *) native_with="$native_with $name_of=$value_of" ;;
        esac
    done
    # Options come before assignments.
    native="env$native_without$native_with"
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
    # What is known to run is asked once; what does not run yet may do so by now.
    [ "$projects_fresh" ] || [ "$project_runs" ] || list_projects || projects=''
    projects_fresh=''
    # What runs decides; stopped containers are asked only where nothing does.
    take_project Up
    [ "$project" ] || take_project ''
    project_runs=$project
    # Nothing runs: what `docker compose` in the checkout would take, override files included.
    [ "$project" ] || compose_files=$compose_file
    case $ours_is in
    "$path/compose.yaml" | "$path/compose.yml" | "$path/docker-compose.yml" | "$path/docker-compose.yaml")
        [ "$project" ] || [ "$compose_wanted" ] || compose_files=''
        ;;
    esac
}

take_project() { # STATUS: from the largest project of $projects whose containers have it, out of our file
    while IFS='|' read -r status their_project oneoff directory environment files; do
        case $status in *"$1") ;; *) continue ;; esac
        [ "$their_project" ] && [ "$oneoff" != True ] || continue
        first_file=$(real "$(labelled "${files%%,*}")")
        # A file that the checkout has under another name by now is the same project still.
        [ "$first_file" = "$ours_is" ] || { [ ! -e "$first_file" ] && [ "${first_file%/*}" = "${ours_is%/*}" ]; } || continue
        if [ "$project" ]; then
            [ "$project" = "$their_project" ] || others=$their_project
            continue
        fi
        project=$their_project compose_directory=$directory compose_home=$directory compose_files=$compose_file
        keep_files "$files"
        [ ! -f "${environment%%,*}" ] || compose_environment=$environment
    done <<PROJECTS
$projects
PROJECTS
}

labelled() { # FILE of a label, as a path: Compose 1 noted it as it was given, from wherever it was called
    case $1 in
    /*) printf '%s\n' "$1" ;;
    *) if [ -f "$directory/$1" ]; then printf '%s/%s\n' "$directory" "$1"; else printf '%s/%s\n' "$directory" "${1##*/}"; fi ;;
    esac
}

keep_files() { # FILES as Compose's label has them: those behind the first one that are still there
    case $1 in *,*) ;; *) return 0 ;; esac
    rest=${1#*,},
    while [ "$rest" ]; do
        more=${rest%%,*} rest=${rest#*,}
        more=$(labelled "$more")
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

find_sources() { # sets $sources: what the rendered file is made of; nothing where that may be more than these files
    sources=''
    set -- "$compose_home/.env"
    [ -z "$compose_directory" ] || set -- "$@" "$compose_directory/.env"
    [ "$compose_files" ] || set -- "$@" "$compose_home"/compose.*y*ml "$compose_home"/docker-compose.*y*ml
    rest=$compose_files,$compose_environment,
    while [ "$rest" ]; do
        [ -z "${rest%%,*}" ] || set -- "$@" "${rest%%,*}" "$(dirname "${rest%%,*}")/.env"
        rest=${rest#*,}
    done
    ! grep -Eq 'include|extends|_file|COMPOSE_' "$@" 2>/dev/null && ! env | grep -q '^COMPOSE_' || return 0
    sources="$compose_home $compose_files $compose_directory $compose_environment $project $(sha256sum "$@" 2>/dev/null)"
}

render() { # sets $rendered (it holds secrets: never printed), $rendered_hash and, by Compose's own rules, $project
    compose_error=''
    find_sources
    if [ "$rendered" ] && [ "$sources" ] && [ "$sources" = "$rendered_of" ]; then
        project=${project:-$rendered_project}
        return 0
    fi
    rendered='' rendered_hash='' unset_variables=''
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
        compose_error="the Compose file $compose_file is invalid: ${compose_said% }"
        return 1
    fi
    rendered_hash=$(printf '%s' "$rendered" | sha256sum)
    rendered_hash=${rendered_hash%% *}
    unset_variables=$(printf '%s\n' "$compose_said" |
        sed -n 's/.*[Tt]he [\\"]*\([A-Za-z_][A-Za-z_0-9]*\)[\\"]* variable is not set.*/\1/p' | sort -u | tr '\n' ' ')
    [ "$project" ] || project=$(printf '%s\n' "$rendered" | sed -n '1,/^}/s/^  "name": "\([^"]*\)".*/\1/p' | head -n 1)
    rendered_of=$sources rendered_project=$project
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
