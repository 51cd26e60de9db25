# shellcheck shell=sh disable=SC2154
# Facts for `deployer check` that every strategy needs. Nothing is changed, nothing that is missing ends it, and the client
# judges.

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

find_root() { # of $parent and $name: sets where the state is
    root=$parent/.deployer/$name state=$root/state lock=$root/state/lock
}

system_facts() { # TOOLS...: which of them are missing, whose login this is, and what runs this
    fact now "$(date +%s)"
    fact user "$(id -un)"
    for tool in "$@"; do
        command -v "$tool" >/dev/null 2>&1 || fact missing "$tool"
    done
    if [ -r /proc/uptime ]; then fact proc yes; fi
    fact shell "$(readlink /proc/$$/exe)"
}

parent_facts() { # the directory above, and what room there is
    real=$(cd "$parent" 2>/dev/null && pwd -P) && fact parent_path "$real"
    if [ -d "$parent/" ]; then
        about parent "$parent"
    elif [ -e "$parent" ] || [ -L "$parent" ]; then
        fact parent_is file
    fi
    [ ! -e "$parent/.deployer" ] || about deployer "$parent/.deployer"
    [ ! -e "$root" ] || about root "$root"
    [ ! -e "$state" ] || about state "$state"
    blocks=$(df -Pk "$parent" 2>/dev/null | tail -n 1)
    fact blocks "$blocks"
    if read_only "/${blocks##*% /}"; then fact read_only yes; fi
    fact inodes "$(df -Pi "$parent" 2>/dev/null | tail -n 1)"
}

state_facts() { # whose state it is, the lock, and the releases that failed
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
