# shellcheck shell=sh
# Where things are.

do_site() {
    IFS= read -r app && IFS= read -r target && IFS= read -r nonce && IFS= read -r label || exit 1
    parent=${target%/*} name=${target##*/}
    [ "$parent" ] || parent=/
    root=$parent/.deployer/$name state=$root/state lock=$root/state/lock work=$root/state/lock/$nonce
    missing=''
    for tool in tar find xargs stat sha256sum dd cp mv ln df date; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    [ -z "$missing" ] || fail failed "the host has no$missing: install coreutils, findutils and tar, or BusyBox"
    [ -r /proc/uptime ] || fail failed "the host has no /proc file system, which the lock needs"
    [ -d "$parent/" ] || fail failed "$parent does not exist on the host: create it with sudo mkdir -p '$parent' && sudo chown $(id -un) '$parent'"
    if [ -e "$target" ] && [ ! -d "$target" ]; then
        fail failed "$target is a file on the host, not a directory: move it away or choose another target"
    fi
    if [ -d "$target" ] && [ ! -L "$target" ] && mounted; then
        fail failed "$target is a mount point on the host, which cannot be renamed: choose a target in it, such as $target/current"
    fi
    if [ -L "$target" ] && case $(readlink "$target") in ".deployer/$name/releases/"*) false ;; esac then
        fail failed "$target is a link that deployer did not make (to $(readlink "$target")): remove it or choose another target"
    fi
    known_state "$target"
}

sticky() { case $(stat -c %a "$1") in [1357]???) ;; *) false ;; esac }

mounted() { # true when $target is a mount point; a bind mount has its parent's device
    mountpoint -q "$target" 2>/dev/null || [ "$(stat -c %d "$target")" != "$(stat -L -c %d "$parent")" ]
}

find_live() { # sets $kind (link, directory, none) and $live (a release name, or empty)
    live=''
    if [ -L "$target" ]; then
        kind=link live=$(readlink "$target")
        live=${live##*/}
    elif [ -d "$target" ]; then
        kind=directory
    else
        kind=none
    fi
}

make_state() {
    writable "$parent" || fail failed "$(id -un) cannot write to $parent on the host: sudo chown $(id -un) '$parent'"
    if [ -d "$target" ] && [ ! -L "$target" ] && [ "$(id -u)" != 0 ] && sticky "$parent" &&
        case " $(stat -c %u "$parent") $(stat -c %u "$target") " in *" $(id -u) "*) false ;; esac then
        fail failed "$target on the host belongs to $(stat -c %U "$target"), in a directory with the sticky bit, so $(id -un) cannot replace it: sudo chown -R $(id -un) '$target'"
    fi
    make_directories "$root/releases"
}
