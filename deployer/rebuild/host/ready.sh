# shellcheck shell=sh disable=SC2086
# When a new container is ready: by its health check, or by an answer over HTTP from the host; then a time to prove itself.

slowest=0 web_client=''

ask_status() { # ADDRESS PORT PATH HOST: sets $answered to the status of an answer, or to nothing. No redirect is followed.
    [ "$web_client" ] || web_tool
    set -- "http://$1:$2$3" "$4"
    [ "$2" ] || set -- "$1" localhost
    case $web_client in
    curl) answered=$(curl -q -gs -o /dev/null -m 2 --noproxy '*' -A deployer -H "Host: $2" -w '%{http_code}' "$1" 2>/dev/null 3>&- </dev/null) ;;
    wget) answered=$(ask_wget "$1" "$2" 3>&- </dev/null) ;;
    python3) answered=$(python3 -c "$ask_python" "$1" "$2" 2>/dev/null 3>&- </dev/null) ;;
    perl) answered=$(perl -MIO::Socket::INET -e "$ask_perl" "$1" "$2" 2>/dev/null 3>&- </dev/null) ;;
    *) answered='' ;;
    esac
    case $answered in [1-5][0-9][0-9]) ;; *) answered='' ;; esac
}

ask_python='import sys, http.client as h, urllib.parse as p; u = p.urlsplit(sys.argv[1]); c = h.HTTPConnection(u.hostname, u.port, timeout=2); c.request("GET", u.path + ("?" + u.query if u.query else ""), headers={"Host": sys.argv[2], "User-Agent": "deployer"}); print(c.getresponse().status)'
# shellcheck disable=SC2016
ask_perl='my ($a, $p) = $ARGV[0] =~ m{^http://([^/]+)(/.*)}; alarm 3; my $s = IO::Socket::INET->new(PeerAddr => $a, Timeout => 2) or exit 1; print $s "GET $p HTTP/1.0\r\nHost: $ARGV[1]\r\nUser-Agent: deployer\r\n\r\n"; my $l = <$s>; print $1 if $l =~ m{^HTTP/\S+ (\d+)};'

ask_wget() { # URL HOST: the first status that it tells of; BusyBox knows fewer options, and follows redirects
    unset http_proxy HTTP_PROXY
    url=$1 host=$2
    if wget --version >/dev/null 2>&1; then set -- --no-config --no-proxy --max-redirect=0 -t 1; else set --; fi
    wget "$@" -S -T 2 -O /dev/null -U deployer --header "Host: $host" "$url" 2>&1 |
        sed -n 's/.*HTTP\/[0-9.]* \([1-5][0-9][0-9]\).*/\1/p' | head -n 1
}

inspect_each() { # IDS: ID NAME SERVICE STATE RESTARTS EXIT_CODE HEALTH ADDRESS, a line each, in $work/inspected
    # ".Id" and "index": Docker then goes by its raw answer, in which a container without a health check has no Health.
    quiet_docker inspect --format \
        '{{.Id}} {{.Name}} {{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{.RestartCount}} {{.State.ExitCode}} {{with index .State "Health"}}{{.Status}}{{else}}none{{end}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' \
        "$@" >"$work/inspected" 2>/dev/null
}

calibrate() { # SERVICE PORT PATH HOST IDS, which serve now: sets $measure, by which new ones without a health check are ready
    # Whether a container can be asked from here, and what a good answer is, nobody knows better than those that serve.
    measure=settle its_service=$1 its_port=$2 its_path=$3 its_host=$4
    shift 4
    [ "$*" ] || return 0
    inspect_each "$@"
    while IFS=' ' read -r _ _ _ its_state _ _ _ address; do
        address=${address%% *}
        [ "$its_state" = running ] && [ "$address" ] || continue
        ask_status "$address" "$its_port" "$its_path" "$its_host"
        case $answered in
        '') ;;
        5??) measure=answer ;;
        *) measure=status && return 0 ;;
        esac
    done <"$work/inspected"
}

await() { # IDS: all of them ready, and still so after the settle time; false with $trouble
    trouble='' arrived=' ' slowest=0
    read_clock
    since=$clock
    until look_at_all "$@"; do
        [ ! "$trouble" ] || return 1
        read_clock
        # What starts fast is not kept waiting; what starts slowly is not asked all the time.
        if [ $((clock - since)) -lt 500 ]; then nap $((clock + 5)); else nap; fi
    done
    read_clock
    hundredths "$slowest"
    settled=$((clock + hundredths))
    while read_clock && [ "$clock" -lt "$settled" ]; do
        nap "$settled"
        look_at_all "$@" || {
            [ "$trouble" ] || trouble="a new container was not ready any more within the $slowest s after it had been"
            return 1
        }
    done
}

look_at_all() { # IDS: true when all are ready; $trouble when that will not be
    [ "$*" ] || return 0
    inspect_each "$@"
    seen=0 lacking=''
    while IFS=' ' read -r its_id its_name its_service its_state restarts code health address; do
        seen=$((seen + 1))
        look_at "${address%% *}" || lacking=yes
        [ ! "$trouble" ] || return 1
    done <"$work/inspected"
    if [ "$seen" -lt $# ]; then
        trouble="a new container was removed by somebody else while it started: another deploy, or docker compose, is at work there"
        return 1
    fi
    [ ! "$lacking" ]
}

look_at() { # ADDRESS of the container whose variables look_at_all has set
    wish "$its_service" || return 1
    case $its_state,$restarts,$recovering in
    running,0,* | running,*,yes) ;;
    created,0,* | restarting,*,yes) late "its state is $its_state" && return 1 ;;
    *)
        last_words "$its_id"
        trouble="the new container ${its_name#/} of the service $its_service does not stay up (state $its_state, exit code $code, restarts: $restarts)$words"
        return 1
        ;;
    esac
    case $health in
    healthy) return 0 ;;
    none) ;;
    unhealthy)
        last_words "$its_id"
        trouble="the new container ${its_name#/} of the service $its_service is unhealthy: its health check said: $(check_said)$words"
        return 1
        ;;
    *) late 'its health check has not passed' check_said && return 1 ;;
    esac
    case $arrived in *" $its_id "*) return 0 ;; esac
    if [ "$measure" != settle ]; then
        ask_status "$1" "$its_port" "$its_path" "$its_host"
        case $measure,$answered in
        *, | status,5??) late "http://$1:$its_port$its_path answers with ${answered:-nothing}" && return 1 ;;
        esac
    fi
    arrived="$arrived$its_id "
}

check_said() { # the last output of a health check
    quiet_docker inspect --format '{{with index .State "Health"}}{{range .Log}}{{println .Output}}{{end}}{{end}}' "$its_id" 2>/dev/null |
        tr -d '\000-\010\013-\037' | sed '/^ *$/d' | tail -n 1 | cut -c 1-200
}

late() { # WHY [COMMAND that says more]: $trouble when the time for it is over
    read_clock
    hundredths "$patience"
    [ $((clock - since)) -ge "$hundredths" ] || return 0
    last_words "$its_id"
    trouble="the new container ${its_name#/} of the service $its_service was not ready within $patience s: $1${2:+ ($($2))}$words"
}

wish() { # SERVICE: sets what $roll/services says of it; false when it does not roll
    while IFS=' ' read -r listed its_port batch settle patience wanted its_path its_host; do
        [ "$listed" = "$1" ] || continue
        first_line "$roll/measure.$1"
        measure=${line:-settle}
        hundredths "$settle"
        wished=$hundredths
        hundredths "$slowest"
        [ "$wished" -le "$hundredths" ] || slowest=$settle
        return 0
    done <"$roll/services"
    return 1
}
