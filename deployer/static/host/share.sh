# shellcheck shell=sh
# Shared paths: places of the server's own, to which every release has a link.

do_share() { # PATH, for which the release has a link already
    IFS= read -r path || exit 1
    place=$root/shared/$path
    if [ ! -e "$place" ] && [ ! -L "$place" ]; then
        find_live
        case $kind in link) given=$root/releases/$live/$path ;; *) given=$target/$path ;; esac
        [ ! -e "$given" ] || [ -L "$given" ] || own_all "$given" ||
            fail failed "$given on the host has files that are not $(id -un)'s: sudo mkdir -p '${place%/*}' && sudo cp -a '$given' '$place', then run again"
        working begin_shared || cannot "make $place on the host"
    fi
    fact shared "$path"
}

own_all() { # DIRECTORY: true when everything in it is ours, or we are root
    [ "$(id -u)" = 0 ] || [ -z "$(find "$1" ! -user "$(id -u)" -print 2>/dev/null | head -n 1)" ]
}

begin_shared() { # $place with what the live site has there; made aside, so that it appears whole
    [ -d "$root/shared" ] || mkdir -m 711 "$root/shared" || return
    mkdir -p "${place%/*}" && rm -rf "$work/shared" || return
    if [ -L "$given" ]; then
        ln -s "$(readlink -f "$given")" "$work/shared"
    elif [ -e "$given" ]; then
        cp -al "$given" "$work/shared" 2>/dev/null || {
            rm -rf "$work/shared"
            cp -a "$given" "$work/shared"
        }
    else
        mkdir "$work/shared"
    fi && mv "$work/shared" "$place" || return
    [ -L "$given" ] || [ ! -d "$given" ] || printf '%s\n' "$path" >>"$work/shares"
}

share_late() { # after the switch: what came into the old places since they were copied
    [ -f "$work/shares" ] || return 0
    while IFS= read -r path; do
        # What is there already is left alone, which cp complains about.
        cp -al "$root/releases/$previous/$path/." "$root/shared/$path/" 2>/dev/null
    done <"$work/shares"
    return 0
}
