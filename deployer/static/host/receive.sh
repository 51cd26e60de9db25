# shellcheck shell=sh
# Receiving contents and building the new release out of links.

checker='' copier='' ahead=''
differs='what arrived is not what was sent (SHA-256 differs): a file changed while it was read, or the disk is failing'

receive() { # CODEC
    codec=$1
    shift
    # GNU tar warns of each file from the next second, and newer ones refuse to link through "old" without -P.
    case $(tar --version 2>/dev/null) in *'GNU tar'*) set -- -P --warning=no-timestamp ;; esac
    rm -f "$work/complete"
    unpack "$codec" | (cd "$work" && exec tar -xo "$@" -f -)
    result=$?
    [ "$result" = 0 ] && [ -f "$work/complete" ] ||
        cannot 'unpack the upload on the host (tar said why, or the connection was cut)'
    uptime
    renewed=$up
}

unpack() { # CODEC
    case $1 in
    zstd) frames | zstd -dcq ;;
    *) frames | gzip -dc ;;
    esac
}

do_copy() { ahead=yes; } # "facts" may begin a copy of the live release, made of links, for the client to change

begin_copy() {
    [ "$held" ] && [ "$ahead" ] && [ -z "$copier" ] || return 0
    # Absolute names: once the lock is broken, they lead nowhere.
    copy_live 2>/dev/null 3>&- </dev/null &
    copier=$!
}

copy_live() { # where linking is refused, the contents are copied, with their times
    cp -rPl "$root/releases/$live" "$work/new" || {
        rm -rf "$work/new"
        cp -rPp "$root/releases/$live" "$work/new"
    } || return
    # Most of what the release needs on the disk; nobody waits for it.
    flush "$work/new" &
}

copied() { # the end of the copying
    wait "$copier"
    result=$?
    copier=''
    return "$result"
}

do_discard() { # the copy is of no use
    [ "$copier" ] || return 0
    working copied
    working rm -rf "$work/new"
}

do_remove() { # from the copy: what changed or is gone
    read_names
    working copied && working remove_names "$work/new" || cannot 'begin with a copy of the live release on the host'
}

read_names() { # from standard input, before there is work: no watcher may renew the lease of a client that is silent
    rm -f "$work/complete"
    unpack gzip >"$work/names"
    [ -f "$work/complete" ] || cannot 'take in a list of names (the connection was cut, or the host said why)'
    uptime
    renewed=$up
}

remove_names() { (cd "$1" && exec xargs -0 rm -rf) <"$work/names"; } # in that DIRECTORY

do_contents() { # a batch: sums, what is sent (new/PATH, b/KEY), links to what the host has and copies (kMODE/KEY)
    IFS= read -r codec && IFS= read -r stamp || exit 1
    link_old
    receive "$codec"
    [ ! -d "$work/k644" ] || working copy_known || cannot 'copy on the host what it has already'
    [ -z "$checker" ] || working checked || fail failed "$differs"
    [ -s "$work/sums" ] || return 0
    mv "$work/sums" "$work/checking" || cannot 'write to the lock directory on the host'
    # While the next batch travels.
    check_sums 3>&- </dev/null &
    checker=$!
}

link_old() { # what is live, for what is made out of it
    [ ! -L "$work/old" ] || return 0
    find_live
    case $kind in link) old=$root/releases/$live ;; *) old=$target/. ;; esac
    renew_arrived && ln -s "$old" "$work/old" || cannot 'write to the lock directory on the host'
}

check_sums() { # of the contents that have come; what is wrong is said on standard error, after a second look
    cd "$work" || return
    if sha256sum -c checking >/dev/null 2>&1; then
        flush .
        return
    fi
    sha256sum -c checking 2>/dev/null | while IFS= read -r verdict; do
        case $verdict in *': OK') ;; *) printf '%s\n' "${verdict#new/}" >&2 ;; esac
    done
    return 1
}

checked() { # the end of the check that goes on, if one does
    wait "$checker"
    result=$?
    checker=''
    return "$result"
}

copy_known() { # linked names become files of their own, so that a moved file gets the release's time and mode
    for mode in 644 755; do
        [ -d "$work/k$mode" ] && [ ! -d "$work/c$mode" ] || continue
        cp -R "$work/k$mode" "$work/c$mode" && find "$work/c$mode" -type f -exec chmod "$mode" {} + &&
            find "$work/c$mode" -type f -exec touch -t "$stamp" {} + || return 1
    done
}

do_tree() { # a tar of new/ (directories, links into b/, c*/ and old/) and record/
    IFS= read -r codec && IFS= read -r release && IFS= read -r count || exit 1
    receive "$codec"
    [ -z "$checker" ] || working checked || fail failed "$differs"
    journal contents done ''
    working seal_new && keep_signatures || cannot 'write the record of the new release on the host'
    [ "$((found))" = "$count" ] || fail failed "the new release has $((found)) entries instead of $count; nothing was switched"
    built=$release
    mv "$work/record" "$state/records/$release" && mv "$work/new" "$root/releases/$release" ||
        cannot "move the new release into $root/releases on the host"
    journal tree done "$release"
}

seal_new() { # and see to it that a power cut after the switch finds all of it on the disk
    flush "$work/new" 3>&- </dev/null &
    flusher=$!
    # Beside it: names may hold line breaks, so the listing's lines say nothing.
    (cd "$work/new" && find . -print0 | tr -dc '\000' | wc -c) >"$work/count" 3>&- </dev/null &
    counter=$!
    fingerprint "$work/new" >"$work/record/seal" && wait "$counter" && IFS= read -r found <"$work/count" && wait "$flusher"
}

flush() { { sync -f "$1" || sync; } 2>/dev/null || :; }
