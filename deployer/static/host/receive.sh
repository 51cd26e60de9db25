# shellcheck shell=sh
# Receiving contents and building the new release out of links.

checker=''
differs='what arrived is not what was sent (SHA-256 differs): a file changed while it was read, or the disk is failing'

receive() { # CODEC
    codec=$1
    shift
    # GNU tar warns of each file from the next second, and newer ones refuse to link through "old" without -P.
    case $(tar --version 2>/dev/null) in *'GNU tar'*) set -- -P --warning=no-timestamp ;; esac
    rm -f "$work/complete"
    case $codec in
    zstd) frames | zstd -dcq | (cd "$work" && exec tar -xo "$@" -f -) ;;
    *) frames | gzip -dc | (cd "$work" && exec tar -xo "$@" -f -) ;;
    esac
    result=$?
    [ "$result" = 0 ] && [ -f "$work/complete" ] ||
        cannot 'unpack the upload on the host (tar said why, or the connection was cut)'
    uptime
    renewed=$up
}

do_contents() { # a batch: sums, what is sent (new/PATH, b/KEY), links to what the host has and copies (kMODE/KEY)
    IFS= read -r codec && IFS= read -r stamp || exit 1
    if [ ! -L "$work/old" ]; then
        find_live
        case $kind in link) old=$root/releases/$live ;; *) old=$target/. ;; esac
        ln -s "$old" "$work/old" || cannot 'write to the lock directory on the host'
    fi
    receive "$codec"
    [ ! -d "$work/k644" ] || working copy_known || cannot 'copy on the host what it has already'
    [ -z "$checker" ] || working checked || fail failed "$differs"
    [ -s "$work/sums" ] || return 0
    mv "$work/sums" "$work/checking" || cannot 'write to the lock directory on the host'
    # While the next batch travels.
    (cd "$work" && sha256sum -c checking >/dev/null && flush .) 3>&- </dev/null &
    checker=$!
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
    found=$(cd "$work/new" && find . -print0 | tr -dc '\000' | wc -c)
    [ "$((found))" = "$count" ] || fail failed "the new release has $((found)) entries instead of $count; nothing was switched"
    working seal_new || cannot 'write the record of the new release on the host'
    built=$release
    mv "$work/record" "$state/records/$release" && mv "$work/new" "$root/releases/$release" ||
        cannot "move the new release into $root/releases on the host"
    journal tree done "$release"
}

seal_new() { # and see to it that a power cut after the switch finds all of it on the disk
    flush "$work/new" 3>&- </dev/null &
    flusher=$!
    fingerprint "$work/new" >"$work/record/seal" && wait "$flusher"
}

flush() { { sync -f "$1" || sync; } 2>/dev/null || :; }
