# shellcheck shell=sh
# Facts for `deployer check`. Nothing is changed, nothing that is missing ends it, and the client judges.

about() { # NAME PATH: its owner's number and name, mode, device, and whether we may write into it
    access=no
    if [ -w "$2" ] && [ -x "$2" ]; then access=yes; fi
    fact "$1" "$(stat -L -c '%u %U %a %d' "$2" 2>/dev/null) $access"
}

bounded() { # COMMAND...: what it says, for five seconds at most
    "$@" 3>&- </dev/null 2>&1 &
    job=$!
    (
        for _ in 1 2 3 4 5; do sleep 1; done
        kill -KILL "$job"
    ) 3>&- </dev/null >/dev/null 2>&1 &
    guard=$!
    wait "$job"
    result=$?
    kill -KILL "$guard" 2>/dev/null
    return "$result"
}

do_check() {
    IFS= read -r target || exit 1
    # What it sets is not for the end of the program, which cleans up where "site" said that the state is.
    (check)
}

check() {
    fact now "$(date +%s)"
    parent=${target%/*} name=${target##*/} nonce=check
    [ "$parent" ] || parent=/
    root=$parent/.deployer/$name state=$root/state lock=$root/state/lock
    fact user "$(id -un)"
    check_tools
    check_places
    check_state
    check_live
    check_containers
}

check_tools() {
    for tool in tar find xargs stat sha256sum dd mv ln df date mkdir rm rmdir cp chmod touch head tail tr wc sort id readlink cat sleep gzip; do
        command -v "$tool" >/dev/null 2>&1 || fact missing "$tool"
    done
    if [ -r /proc/uptime ]; then fact proc yes; fi
    fact shell "$(readlink /proc/$$/exe)"
    fact tar "$(tar --version 2>&1 | head -n 1)"
    if command -v zstd >/dev/null 2>&1; then fact codec zstd; fi
    if counts_bytes; then fact awk yes; fi
    exchanging_tool
    fact exchange "$exchange"
}

check_places() {
    real=$(cd "$parent" 2>/dev/null && pwd -P) && fact parent_path "$real"
    if [ -d "$parent/" ]; then
        about parent "$parent"
    elif [ -e "$parent" ] || [ -L "$parent" ]; then
        fact parent_is file
    fi
    find_live
    if [ "$kind" = directory ] && mounted; then kind=mount; fi
    if [ "$kind" = none ] && [ -e "$target" ]; then kind='file'; fi
    fact kind "$kind"
    case $kind in
    link) fact link "$(readlink "$target")" ;;
    directory) about target "$target" ;;
    esac
    [ ! -e "$parent/.deployer" ] || about deployer "$parent/.deployer"
    [ ! -e "$root" ] || about root "$root"
    [ ! -e "$state" ] || about state "$state"
    blocks=$(df -Pk "$parent" 2>/dev/null | tail -n 1)
    fact blocks "$blocks"
    if read_only "/${blocks##*% /}"; then fact read_only yes; fi
    fact inodes "$(df -Pi "$parent" 2>/dev/null | tail -n 1)"
}

read_only() { # MOUNT POINT: BusyBox tells root that it may write there
    found=1
    while IFS=' ' read -r _ point _ options _; do
        case $point,$options in
        "$1",ro | "$1",ro,*) found=0 ;;
        "$1",*) found=1 ;;
        esac
    done 2>/dev/null </proc/mounts
    return "$found"
}

check_state() {
    [ -d "$state" ] || return 0
    first_line "$state/app"
    fact app "$line"
    [ ! -f "$state/version" ] || { first_line "$state/version" && fact version "${line:-unknown}"; }
    identify
    lock_facts
    for record in "$state"/records/*; do
        [ ! -e "$record/failed" ] || fact failed "${record##*/}"
    done
}

check_live() {
    [ "$kind" = link ] || return 0
    fact live "$live"
    directory=$root/releases/$live
    [ -d "$directory" ] || return 0
    fact present yes
    record_facts "$live" live_
    if sealed "$live"; then fact sealed yes; fi
    shown=''
    for file in "$directory"/*.* "$directory"/*; do
        # Many a server answers with index.html for whatever it does not have.
        if [ -f "$file" ] && [ -s "$file" ]; then
            shown=$file
            [ "${file##*/}" = index.html ] || break
        fi
    done
    [ "$shown" ] || return 0
    fact file "${shown##*/}"
    fact file_hash "$(sha256sum <"$shown")"
}

check_containers() { # that docker runs, with what they mount, one JSON object a line
    command -v docker >/dev/null 2>&1 || return 0
    containers=$(bounded docker ps -q --no-trunc) || {
        fact docker failed
        raw_fact docker_said "$containers"
        return 0
    }
    fact docker answered
    [ "$containers" ] || return 0
    # shellcheck disable=SC2086
    raw_fact containers "$(bounded docker inspect --format '{"name":{{json .Name}},"mounts":{{json .Mounts}}}' $containers)"
}
