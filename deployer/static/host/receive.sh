# shellcheck shell=sh
# Receiving contents and building the new release out of links.

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
    [ -d "$work" ] || fail deposed "the lock was taken away: another deploy, or unlock, broke it"
    [ -f "$work/complete" ] || [ "$result" != 0 ] || fail failed 'the upload was cut'
    if [ "$result" != 0 ]; then
        # shellcheck disable=SC2046
        set -- $(df -Pk "$parent" | tail -n 1)
        [ "$4" -gt 1024 ] || fail failed "the disk of $parent on the host is full"
        fail failed "the host could not unpack the upload (tar said why above, or the connection was cut)"
    fi
    uptime
    renewed=$up
}

do_contents() { # a tar of b/HASH (sent), c644/ and c755/ (links to what the host has, to be copied), sums
    IFS= read -r codec && IFS= read -r stamp || exit 1
    find_live
    case $kind in link) old=$root/releases/$live ;; *) old=$target/. ;; esac
    [ "$kind" = none ] || ln -s "$old" "$work/old" || fail deposed 'the lock was taken away'
    receive "$codec"
    working copy_known || fail failed 'the host could not copy files that it already has: see its disk space'
    [ ! -f "$work/sums" ] || working check_sums ||
        fail failed 'what arrived is not what was sent (SHA-256 differs): a file changed while it was read, or the disk is failing'
    journal contents done ''
}

copy_known() { # linked names become files of their own, so that a moved file gets the release's time and mode
    for mode in 644 755; do
        [ -d "$work/k$mode" ] || continue
        cp -R "$work/k$mode" "$work/c$mode" && find "$work/c$mode" -type f -exec chmod "$mode" {} + &&
            find "$work/c$mode" -type f -exec touch -t "$stamp" {} + || return 1
    done
}

check_sums() { (cd "$work" && sha256sum -c sums >/dev/null); }

do_tree() { # a tar of new/ (directories, links into b/, c*/ and old/) and record/
    IFS= read -r codec && IFS= read -r release && IFS= read -r count || exit 1
    receive "$codec"
    found=$(cd "$work/new" && find . -print0 | tr -dc '\000' | wc -c)
    [ "$((found))" = "$count" ] || fail failed "the new release has $((found)) entries instead of $count; nothing was switched"
    working seal_new || fail failed 'cannot write the record of the new release on the host: see its disk space'
    built=$release
    mv "$work/record" "$state/records/$release" && mv "$work/new" "$root/releases/$release" ||
        fail deposed 'the lock was taken away'
    journal tree done "$release"
}

seal_new() { fingerprint "$work/new" >"$work/record/seal"; }
