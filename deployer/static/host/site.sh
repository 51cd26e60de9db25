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
    [ ! -d "$root" ] || [ -x "$root" ] || foreign "$root"
    [ ! -d "$state" ] || { [ -x "$state" ] && [ -r "$state" ]; } || foreign "$state"
    identify
    recorded=''
    [ ! -f "$state/app" ] || { first_line "$state/app" && recorded=$line; }
    [ -z "$recorded" ] || [ "$recorded" = "$app" ] ||
        fail invalid "$target belongs to the app \"$recorded\" on this host, not to \"$app\": choose another target or app name"
    [ ! -f "$state/version" ] || { first_line "$state/version" && [ "$line" = 1 ]; } ||
        fail failed "the state in $state was written by a newer deployer (version $line): use that one"
}

sticky() { case $(stat -c %a "$1") in [1357]???) ;; *) false ;; esac }

foreign() { # DIRECTORY of another user
    fail failed "$1 on the host belongs to $(stat -c %U "$1"), not to $(id -un): log in as that user, or sudo chown -R $(id -un) '$root'"
}

writable() { # DIRECTORY, or the reason why not
    [ ! -w "$1" ] || return 0
    [ "$(id -u)" = 0 ] || [ "$(stat -c %u "$1")" = "$(id -u)" ] || return 1
    reason=$(mkdir "$1/.deployer-$nonce" 2>&1) && rmdir "$1/.deployer-$nonce" && return
    fail failed "$(id -un) cannot write to $1 on the host (${reason##*: }): mount it writable, or take chattr's +i away (lsattr -d '$1')"
}

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
    if [ -d "$root" ]; then
        writable "$root" || foreign "$root"
        [ ! -d "$state" ] || writable "$state" || foreign "$state"
    elif [ -d "$parent/.deployer" ]; then
        writable "$parent/.deployer" ||
            fail failed "$parent/.deployer on the host belongs to $(stat -c %U "$parent/.deployer"), and $(id -un) has no directory in it yet: sudo install -d -m 711 -o $(id -un) '$root'"
    fi
    for directory in "$parent/.deployer" "$root" "$root/releases"; do
        [ -d "$directory" ] || mkdir -m 711 "$directory" 2>/dev/null || [ -d "$directory" ] ||
            cannot "make $directory on the host"
    done
    for directory in "$state" "$state/records" "$state/logs"; do
        [ -d "$directory" ] || mkdir -m 700 "$directory" 2>/dev/null || [ -d "$directory" ] ||
            cannot "make $directory on the host"
    done
    # shellcheck disable=SC2046
    set -- $(stat -L -c %d "$parent" "$state")
    [ "$1" = "$2" ] || fail failed "$state is on another file system than $parent, so no switch could be atomic"
    [ "$recorded" ] || {
        printf '%s\n' "$app" >"$state/app.$beginner" && mv -f "$state/app.$beginner" "$state/app" &&
            printf '1\n' >"$state/version.$beginner" && mv -f "$state/version.$beginner" "$state/version"
    } || cannot "write to $state on the host"
}
