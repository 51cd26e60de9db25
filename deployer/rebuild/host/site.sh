# shellcheck shell=sh
# Where things are: the checkout at $path, and beside it the state that this app's deploys keep.

do_site() {
    IFS= read -r app && IFS= read -r path && IFS= read -r nonce && IFS= read -r label || exit 1
    case $path in
    /*) ;;
    *) path=${HOME:?}/$path ;;
    esac
    parent=${path%/*} name=${path##*/}
    [ "$parent" ] || parent=/
    missing=''
    for tool in git find xargs stat sha256sum dd mv ln df date sed sort; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    [ -z "$missing" ] || fail failed "the host has no$missing: install git, coreutils, findutils and sed"
    [ -r /proc/uptime ] || fail failed "the host has no /proc file system, which the lock needs"
    [ -d "$parent/" ] || fail failed "$parent does not exist on the host: create it with mkdir -p '$parent'"
    [ ! -e "$path" ] || [ -d "$path" ] || fail failed "$path is a file on the host, not a directory: give the path of a checkout"
    # One name for it, whatever links lead there: relative mounts, the Compose project and other deploys see that one, too.
    [ ! -d "$path" ] || path=$(cd "$path" && pwd -P) || fail failed "$(id -un) cannot enter $path on the host"
    [ -d "$path" ] || path=$(cd "$parent" && pwd -P)/$name
    path=/${path##/}
    case $path in //*) path=${path#/} ;; esac
    parent=${path%/*} name=${path##*/}
    root=$parent/.deployer/$name state=$root/state lock=$root/state/lock work=$root/state/lock/$nonce
    [ "$parent" ] || parent=/
    known_state "$path"
}

make_state() {
    make_directories
    [ -d "$state/undo" ] || mkdir -m 700 "$state/undo" 2>/dev/null || [ -d "$state/undo" ] || cannot "write to $state on the host"
}

find_live() { # sets $live: the identifier of the live release, or empty
    first_line "$state/live"
    live=$line
}

put() { # FILE TEXT: written whole or not at all, and by the lock's owner only
    printf '%s\n' "$2" >"$work/put" && mv -f "$work/put" "$1" || cannot "write to $state on the host"
}
