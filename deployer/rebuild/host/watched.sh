# shellcheck shell=sh
# The directory that Traefik watches, as it is: for a run, for `check`; and how Traefik, or anything else, is asked by HTTP.

web_tool() { # sets $web_client to what can ask for a URL here, or to nothing
    for web_client in curl wget python3 perl ''; do
        [ ! "$web_client" ] || ! command -v "$web_client" >/dev/null 2>&1 || return 0
    done
}

web_get() { # SECONDS URL: sets $web_status (000: no answer) and $web_answer
    # Of what is in the environment, a proxy would only be in the way to this host itself.
    case $web_client in
    curl) web_answer=$(curl -gsk -m "$1" --noproxy '*' -w '\n%{http_code}' "$2" 2>/dev/null 3>&- </dev/null) ;;
    wget) web_answer=$(web_wget "$1" "$2" 3>&- </dev/null) ;;
    python3) web_answer=$(python3 -c "$web_python" "$1" "$2" 2>/dev/null 3>&- </dev/null) ;;
    perl) web_answer=$(perl -MHTTP::Tiny -e "$web_perl" "$1" "$2" 2>/dev/null 3>&- </dev/null) ;;
    *) web_answer='' ;;
    esac
    web_status=${web_answer##*"$newline"} web_answer=${web_answer%"$newline"*}
    case $web_status in [1-5][0-9][0-9]) ;; *) web_status=000 ;; esac
}

web_python='import ssl, sys
from urllib.request import HTTPSHandler, ProxyHandler, build_opener
from urllib.error import HTTPError
opener = build_opener(ProxyHandler({}), HTTPSHandler(context=ssl._create_unverified_context()))
try: r = opener.open(sys.argv[2], timeout=float(sys.argv[1]))
except HTTPError as e: r = e
print(r.read().decode("utf-8", "replace")); print(r.getcode(), end="")'
web_perl="my \$r = HTTP::Tiny->new(timeout => \$ARGV[0], proxy => undef, http_proxy => undef, https_proxy => undef)->get(\$ARGV[1]);
print \$r->{content}, qq(\\n), \$r->{status} == 599 ? '000' : \$r->{status};"

web_wget() { # SECONDS URL: as curl prints it. BusyBox knows few options, and names the status of a failure only.
    seconds=$1 url=$2
    case $(wget --help 2>&1) in
    *--no-check-certificate*--tries* | *--tries*--no-check-certificate*)
        set -- wget -nv -T "$seconds" -t 1 --no-proxy --no-check-certificate
        ;;
    *'-T SEC'*) set -- wget -q -T "$seconds" ;;
    # Without it in its help, the option makes some builds of BusyBox crash.
    *) if timeout 1 true 2>/dev/null; then set -- timeout "$seconds" wget -q; else set -- wget -q; fi ;;
    esac
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
    if said=$("$@" -O - "$url" 2>/dev/null); then
        printf '%s\n200' "$said"
    else
        said=$("$@" -O /dev/null "$url" 2>&1)
        printf '\n%s' "$(printf '%s\n' "$said" | sed -n 's/.*\(HTTP\/[0-9.]*\|ERROR\) \([1-5][0-9][0-9]\).*/\2/p' | tail -n 1)"
    fi
}

find_proxy_directory() { # sets $proxy_directory and $proxy_state: ok, absent, unreadable or unwritable; false without $traefik_directory
    [ "$traefik_directory" ] || return 1
    case $traefik_directory in
    /*) proxy_directory=$traefik_directory ;;
    *) proxy_directory=${HOME:?}/$traefik_directory ;;
    esac
    proxy_directory=${proxy_directory%/} proxy_state=ok
    if [ ! -d "$proxy_directory/" ]; then
        proxy_state=absent
    elif ! proxy_directory=$(cd "$proxy_directory" 2>/dev/null && pwd -P) || [ ! -r "$proxy_directory" ]; then
        proxy_state=unreadable
    elif [ ! -w "$proxy_directory" ]; then
        proxy_state=unwritable
    fi
}

proxy_facts() { # of $traefik_directory and $traefik_api; nothing without the first
    find_proxy_directory || return 0
    if [ "$proxy_state" = unreadable ]; then fact proxy_directory "$traefik_directory"; else fact proxy_directory "$proxy_directory"; fi
    fact proxy_state "$proxy_state"
    case $proxy_state in ok | unwritable) proxy_files ;; esac
    proxy_answers
}

proxy_files() { # of $proxy_directory and what is below it, in Traefik's order
    room=1048576
    found=$(cd "$proxy_directory" && find . ! -type d \( -name '*.yml' -o -name '*.yaml' -o -name '*.toml' \) ! -path "*$newline*" 2>/dev/null | sort | head -n 500)
    while IFS= read -r file; do
        [ "$file" ] || continue
        file=${file#./}
        fact proxy_file "$file"
        # One byte more, for the shell takes line breaks at the end away.
        if [ -r "$proxy_directory/$file" ] && [ -f "$proxy_directory/$file" ]; then
            content=$(head -c "$room" "$proxy_directory/$file" && echo .)
            content=${content%.}
            room=$((room - ${#content}))
            if [ "$room" -gt 0 ]; then raw_fact proxy_text "$content"; else fact proxy_unread "$file"; fi
        else
            fact proxy_unread "$file"
        fi
    done <<PROXY
$found
PROXY
}

proxy_answers() { # whether Traefik's API can be asked
    [ "$traefik_api" ] || return 0
    web_tool
    [ "$web_client" ] || {
        fact proxy_api tool
        return 0
    }
    web_get 3 "${traefik_api%/}/api/version"
    case $web_status in
    200) fact proxy_api ok && fact proxy_version "$(printf '%s' "$web_answer" | sed -n 's/.*"[Vv]ersion": *"\([^"]*\)".*/\1/p')" ;;
    000) fact proxy_api down ;;
    *) fact proxy_api "$web_status" ;;
    esac
}

mounted_alone() { # files of $proxy_directory that are mounted by themselves: "CONTAINER FILE", one a line
    command -v docker >/dev/null 2>&1 && [ -d "${proxy_directory:-}" ] || return 0
    containers=$(docker ps -q 2>/dev/null 3>&- </dev/null) && [ "$containers" ] || return 0
    # shellcheck disable=SC2086
    docker inspect --format '{{range .Mounts}}{{if eq .Type "bind"}}{{$.Name}} {{.Source}}{{println}}{{end}}{{end}}' $containers 2>/dev/null 3>&- </dev/null |
        while IFS=' ' read -r container source; do
            case $source in "$proxy_directory"/*) [ ! -f "$source" ] || printf '%s %s\n' "${container#/}" "$source" ;; esac
        done
}

proxy_mounts() { # what is renamed there, its container does not see
    mounted_alone | while IFS= read -r line; do fact proxy_mount "$line"; done
}

do_traefik() { # DIRECTORY, API URL: everything about the directory, for whoever only looks
    IFS= read -r traefik_directory && IFS= read -r traefik_api || exit 1
    proxy_facts
    proxy_mounts
}
