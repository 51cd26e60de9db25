# shellcheck shell=sh
# Traefik's file provider: one file of the directory that it watches is ours, and Traefik itself says what it has read of it.
#
# A template is text of which some lines begin with a tab, a letter and a tab:
#     s SERVICE PREFIX SUFFIX    a line for each server of a Compose service: PREFIX NAME SUFFIX
#     n PREFIX SUFFIX            a line that only this one writing of the file has: PREFIX STAMP SUFFIX
#     t NAME                     not written: what follows are the servers of the Traefik service NAME, as its API is asked
#     u SERVICE PREFIX SUFFIX    not written: the address of each server of a Compose service
#     v URL                      not written: the address of a server that stays as it is
#     h HASH                     not written: SHA-256 of what the file said when the template was made, or "absent"

tab='	' stamp='' stamps=0 swept='' proxy_why='' beside_what=''

do_proxy() { # FILE (a name in the directory), API URL, ENTRY POINT, SECONDS to wait for Traefik, then the template
    IFS= read -r proxy_file && IFS= read -r proxy_api && IFS= read -r proxy_entry && IFS= read -r proxy_seconds || exit 1
    frames >"$work/template" || exit 1
    [ -d "$state/roll" ] || mkdir -m 700 "$state/roll" || cannot "make $state/roll on the host"
    mv -f "$work/template" "$state/roll/template" || cannot "write to $state on the host"
    put "$state/proxy" "$(sed -n "s/^${tab}h$tab//p" "$state/roll/template")"
    put "$state/roll/proxy" "$proxy_directory/$proxy_file$newline${proxy_api%/}$newline${proxy_entry%/}$newline$proxy_seconds"
}

proxy_load() { # false without [traefik]; sets what do_proxy was told
    [ -f "$state/roll/proxy" ] && [ -f "$state/roll/template" ] || return 1
    {
        IFS= read -r proxy_file
        IFS= read -r proxy_api
        IFS= read -r proxy_entry
        IFS= read -r proxy_seconds
    } <"$state/roll/proxy"
    proxy_directory=${proxy_file%/*}
    [ "$swept" ] || {
        # What a killed deploy, or one that was deposed between two steps, had not put in its place.
        rm -f "$proxy_directory/.deployer-$app".* "${proxy_directory%/*}/.deployer-$app".*
        swept=yes
    }
}

served_by() { # SERVICE: the names that stand for it, one a line; never none
    grep . "$state/roll/serve.$1" 2>/dev/null || printf '%s\n' "$1"
}

for_each_server() { # "SERVICE PREFIX SUFFIX", parted by tabs
    middle=${1#*"$tab"}
    served_by "${1%%"$tab"*}" | while IFS= read -r server; do
        printf '%s%s%s\n' "${middle%%"$tab"*}" "$server" "${middle#*"$tab"}" || exit 1
    done
}

proxy_text() { # our file as it has to be now; with $stamp in it, if there is one
    while IFS= read -r line || [ "$line" ]; do
        case $line in
        "${tab}s$tab"*) for_each_server "${line#"${tab}s$tab"}" || return 1 ;;
        "${tab}n$tab"*)
            line=${line#"${tab}n$tab"}
            [ ! "$stamp" ] || printf '%s%s%s\n' "${line%%"$tab"*}" "$stamp" "${line#*"$tab"}" || return 1
            ;;
        "$tab"*) ;;
        *) printf '%s\n' "$line" || return 1 ;;
        esac
    done <"$state/roll/template"
}

hash_file() { # FILE: sets $file_hash; "absent" when there is none
    file_hash=absent
    [ ! -e "$1" ] || { file_hash=$(sha256sum <"$1") && file_hash=${file_hash%% *}; }
}

point_of() { # PATH: the mount point that it is below
    point=$(df -P "$1" 2>/dev/null | tail -n 1)
    point=${point##*% }
}

find_beside() { # FOLDER: sets $beside, from where a file of ours gets there by rename; nothing where that is our own state
    beside='' beside_what=$1
    point_of "$1"
    there=$point
    point_of "$work"
    [ "$point" != "$there" ] || return 0
    # Beside the directory, if that can be: Traefik reads everything anew at each event in the directory itself, and is deaf
    # for 2 seconds after it.
    beside=${1%/*}
    point_of "${beside:=/}"
    [ "$point" = "$there" ] && [ -w "$beside" ] || beside=$1
}

put_in_place() { # NEW, of ours, FILE: by rename, which a deposed owner cannot do any more; sets $proxy_why when it fails
    proxy_folder=${2%/*} proxy_new=$1
    [ "$proxy_folder" = "$beside_what" ] || find_beside "$proxy_folder"
    if [ "$beside" ]; then
        proxy_new=$beside/.deployer-$app.$nonce
        cp "$1" "$proxy_new" 2>/dev/null || {
            rm -f "$proxy_new"
            proxy_why="cannot write to $beside on the host"
            return 1
        }
    fi
    if [ -e "$2" ]; then
        # shellcheck disable=SC2046
        set -- "$1" "$2" $(stat -c '%a %u:%g' "$2")
        chmod "$3" "$proxy_new"
        chown "$4" "$proxy_new" 2>/dev/null
    else
        chmod 644 "$proxy_new"
    fi
    ours
    mv -f "$proxy_new" "$2" 2>/dev/null && return 0
    rm -f "$proxy_new"
    proxy_why="cannot write $2 on the host"
    return 1
}

proxy_point() { # our file gets the names in $state/roll/serve.SERVICE; false when it cannot be written ($proxy_why)
    proxy_load || return 0
    stamps=$((stamps + 1))
    stamp=$nonce-$stamps
    proxy_write
}

proxy_write() {
    hash_file "$proxy_file"
    first_line "$state/proxy"
    case " $line " in
    *" $file_hash "*) ;;
    *) [ ! -e "$proxy_file" ] || keep_edited ;;
    esac
    proxy_before=$file_hash
    proxy_text >"$work/proxy" || {
        proxy_why="cannot write to $state on the host"
        return 1
    }
    hash_file "$work/proxy"
    # Both, before the file is there: a kill in between must not look like somebody's edit.
    put "$state/proxy" "$proxy_before $file_hash"
    put_in_place "$work/proxy" "$proxy_file"
}

keep_edited() { # somebody wrote into our file during this deploy
    proxy_kept=$state/proxy-edited-$(date -u +%Y%m%dT%H%M%SZ)
    cp "$proxy_file" "$proxy_kept" 2>/dev/null
    fact warning "$proxy_file on the host was edited by hand during this deploy, and is written anew: the edited text is kept in $proxy_kept"
}

proxy_steady() { # undo: the Compose services' own names again; may be called at any time
    rm -f "$state"/roll/serve.*
    proxy_point
}

# --- what Traefik has read -------------------------------------------------------------------------------------------

proxy_acknowledge() { # [SECONDS]: true when Traefik serves what proxy_point wrote last; else $proxy_why says why not
    proxy_load || return 0
    [ "$stamp" ] || proxy_point || return 1
    web_tool
    [ "$web_client" ] || {
        proxy_why='the host has no curl, wget, python3 or perl to ask Traefik with'
        return 1
    }
    uptime
    proxy_limit=$((up + ${1:-$proxy_seconds})) proxy_asked=0
    until proxy_seen; do
        [ "$up" -lt "$proxy_limit" ] || return 1
        # Traefik follows at once, unless it has read something else within the last two seconds.
        [ "$proxy_asked" -lt 10 ] && pause=0.02 || pause=0.1
        sleep $pause 2>/dev/null || sleep 1
        ours
        { [ ! "$held" ] || true >"$work/lease"; } 2>/dev/null
        uptime
        # The client gives a host up that says nothing for long. One that is gone is noticed by the next step.
        [ "$up" = "$renewed" ] || tick || true
        renewed=$up proxy_asked=$((proxy_asked + 1))
    done
    set -- "$state"/roll/serve.*
    [ ! -e "$1" ] || return 0
    # At rest the file has no stamp; nothing that is served changes by that, so nobody has to wait for it.
    stamp=''
    proxy_write
}

proxy_seen() { # through the entry point only where the API cannot be asked
    if [ "$proxy_api" ]; then
        proxy_told && return 0
        case $web_status in 200 | 404) return 1 ;; esac
    fi
    [ "$proxy_entry" ] && proxy_entered
}

proxy_told() { # by the API: first the stamp, which only this writing of the file has, then the servers
    web_get 3 "$proxy_api/api/http/services/deployer-$app-$stamp@file"
    case $web_status in
    200) ;;
    000) proxy_why="Traefik's API does not answer at $proxy_api on the host" && return 1 ;;
    401 | 403) proxy_why="Traefik's API at $proxy_api on the host wants a password (status $web_status)" && return 1 ;;
    404)
        proxy_why="Traefik has not read $proxy_file: see its log, for one malformed file in $proxy_directory freezes them all"
        return 1
        ;;
    *) proxy_why="Traefik's API at $proxy_api on the host answers with status $web_status" && return 1 ;;
    esac
    proxy_wanted | while IFS=' ' read -r wanted_name wanted_urls; do
        web_get 3 "$proxy_api/api/http/services/$wanted_name@file"
        [ "$web_status" = 200 ] && [ "$(addresses)" = "$wanted_urls" ] || exit 1
    done || {
        proxy_why="Traefik has read $proxy_file, but serves what another file in $proxy_directory defines under the same name"
        return 1
    }
}

proxy_wanted() { # "NAME URL URL..." for each Traefik service of the template
    name_seen=''
    while IFS= read -r line; do
        case $line in
        "${tab}t$tab"*)
            [ ! "$name_seen" ] || echo
            name_seen=yes
            printf '%s' "${line#"${tab}t$tab"}"
            ;;
        "${tab}u$tab"*) for_each_server "${line#"${tab}u$tab"}" | tr '\n' ' ' | sed 's/ $//; s/^/ /' ;;
        "${tab}v$tab"*) printf ' %s' "${line#"${tab}v$tab"}" ;;
        esac
    done <"$state/roll/template"
    [ ! "$name_seen" ] || echo
}

addresses() { # the servers' URLs in $web_answer, parted by spaces
    printf '%s' "$web_answer" | tr -d '\n' | sed -n 's/.*"servers": *\[\({[^}]*}\( *, *{[^}]*}\)*\)\].*/\1/p' |
        grep -o '"url": *"[^"]*"' | sed 's/^"url": *"//; s/"$//; s/\\u0026/\&/g' | tr '\n' ' ' | sed 's/ $//'
}

proxy_entered() { # a path that only this writing of the file has is answered by Traefik itself
    # Another query each time: what stands in front must not answer out of its store.
    web_get 3 "$proxy_entry/.deployer-$stamp?$proxy_asked"
    [ "$web_status" != 418 ] || return 0
    proxy_why="Traefik, asked at $proxy_entry on the host, has not read $proxy_file (status $web_status): see its log, for one malformed file in $proxy_directory freezes them all"
    return 1
}
