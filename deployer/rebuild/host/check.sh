# shellcheck shell=sh disable=SC2154,SC2034
# Facts for `deployer check`: everything that a deploy needs, without lock. Nothing is changed, and the client judges.

do_check() { # APP PATH COMPOSE_FILE TRAEFIK_DIRECTORY TRAEFIK_API, how many words to look for, and these
    # What it sets is not for the end of the program, which cleans up where "site" said that the state is.
    (
        fail() { # in a part of it: the other parts have their say all the same
            fact trouble "$2"
            exit 1
        }
        check
    )
}

check() {
    IFS= read -r app && IFS= read -r path && IFS= read -r compose_wanted && IFS= read -r traefik_directory &&
        IFS= read -r traefik_api && IFS= read -r count || exit 1
    words=''
    while [ "$count" -gt 0 ]; do
        IFS= read -r line || exit 1
        words=$words$line$newline count=$((count - 1))
    done
    nonce=check work=/dev/null/nothing
    case $path in /*) ;; *) path=${HOME:-}/$path ;; esac
    if [ -d "$path/" ]; then real=$(cd "$path" 2>/dev/null && pwd -P) && path=$real || fact path_closed yes; fi
    parent=${path%/*} name=${path##*/}
    [ "$parent" ] || parent=/
    # Through links, as "site" does it.
    [ -d "$path/" ] || parent=$(cd "$parent" 2>/dev/null && pwd -P) || parent=${path%/*}
    path=${parent%/}/$name
    fact path "$path"
    [ ! -e "$path" ] || [ -d "$path" ] || fact path_is file
    find_root
    system_facts git find xargs stat sha256sum dd mv ln df date sed sort awk grep tr head tail cat cut uniq wc id mkdir rm rmdir chmod readlink sleep
    fact git "$(git --version 2>/dev/null)"
    parent_facts
    state_facts
    find_live
    fact live "$live"
    [ -z "$live" ] || record_facts "$live" live_
    [ ! -d "$path" ] || about checkout_directory "$path"
    ! command -v git >/dev/null 2>&1 || (check_checkout)
    (check_words)
    (check_containers)
    (proxy_facts)
}

check_checkout() {
    checkout_facts
    [ "$checkout" = yes ] && [ "$head" ] || return 0
    # Any commit of the remote's stands for the wanted one, which nobody has fetched yet.
    commit=$(in_tree for-each-ref --count=1 --format='%(objectname)' refs/remotes)
    [ "$commit" ] || return 0
    target=${branch:+refs/heads/$branch} before=$head known=''
    find_own_commits
    [ -z "$own" ] || {
        fact own_count "$(printf '%s\n' "$own" | grep -c .)"
        # shellcheck disable=SC2086
        listed "$(in_tree show --no-patch --no-color --format='%h %s' $own --)"
        fact own "$list"
    }
}

check_words() { # "program WORD" or "target WORD": whether a command of the configuration can begin
    cd "$path" 2>/dev/null || cd /
    makefile=''
    for file in GNUmakefile makefile Makefile; do # make's own order
        [ "$makefile" ] || [ ! -f "$file" ] || makefile=$file
    done
    fact makefile "$makefile"
    printf '%s' "$words" | while IFS=' ' read -r sought word; do
        case $sought in
        # A shell of its own: this one has functions of many names.
        program) sh -c 'command -v "$1"' sh "$word" >/dev/null 2>&1 || fact absent "$word" ;;
        target) [ ! "$makefile" ] || [ -e "$word" ] || has_target "$word" || fact no_target "$word" ;;
        esac
    done
}

has_target() { # NAME: in the Makefile's own lines; true as well where only make can tell
    awk -v wanted="$1" '
        /^ *(-|s)?include[ \t]/ || /^ *% *:/ || /^[^\t#=]*\$[^=]*:/ || /^[^#]*\$[({](eval|call)/ { found = 1 }
        /^[^\t#=]*:/ && !/^[^=:]*::?:?=/ {
            line = $0
            sub(/:.*/, "", line)
            count = split(line, names, /[ \t]+/)
            for (i = 1; i <= count; i++) if (names[i] == wanted) found = 1
        }
        END { exit !found }' "$makefile"
}

check_containers() { # Docker, the Compose project, the images that kept releases have lost, what is mounted from the proxy's directory
    if command -v docker >/dev/null 2>&1; then
        # An engine that hangs would keep all that follows from being said.
        said=$(bounded docker version --format '{{.Server.Version}}')
        case $? in
        0) fact docker_version "${said##*"$newline"}" ;;
        137)
            find_compose_file || fact compose_error "$compose_error"
            fact compose_file "$compose_file"
            fact docker down
            fact docker_said "it said nothing for 5 s"
            return
            ;;
        esac
    fi
    engine=''
    (find_proxy_mounts)
    compose_facts
    [ "$engine" = ok ] || return 0
    present=$newline$(cat "$state"/records/*/images 2>/dev/null | cut -d ' ' -f 2 | sort -u |
        xargs docker image inspect --format '{{.Id}}' 2>/dev/null 3>&-)$newline
    for record in "$state"/records/*; do
        [ -f "$record/images" ] && [ -e "$record/served" ] || continue
        while IFS=' ' read -r service image _; do
            case $present in *"$newline$image$newline"*) ;; *) fact lost "${record##*/} $service" ;; esac
        done <"$record/images"
    done
}

find_proxy_mounts() {
    [ "$traefik_directory" ] || return 0
    case $traefik_directory in /*) ;; *) traefik_directory=${HOME:-}/$traefik_directory ;; esac
    proxy_directory=$(cd "$traefik_directory" 2>/dev/null && pwd -P) && proxy_mounts
}
