# shellcheck shell=sh
# The switch, the way back, and the end of a good deploy.

exchanging_tool() { # sets $exchange: how this host can swap two names in one step
    exchange=''
    if mv --exchange --version >/dev/null 2>&1; then
        exchange=mv
    elif command -v exch >/dev/null 2>&1; then
        exchange=exch
    elif command -v python3 >/dev/null 2>&1; then
        exchange=python3
    elif command -v perl >/dev/null 2>&1; then
        exchange=perl
    fi
}

swap() { # A B, in one step: renameat2(2) with RENAME_EXCHANGE
    case $exchange in
    mv) mv --exchange --no-target-directory "$1" "$2" ;;
    exch) exch "$1" "$2" ;;
    python3)
        python3 -c 'import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
a, b = (os.fsencode(name) for name in sys.argv[1:])
if libc.renameat2(-100, a, -100, b, 2): sys.exit(os.strerror(ctypes.get_errno()))' "$1" "$2"
        ;;
    perl)
        perl -e 'my %number = (x86_64 => 316, aarch64 => 276, riscv64 => 276, armv7l => 382, armv6l => 382, i686 => 353);
my $call = $number{(split " ", `uname -m`)[0]} or exit 1;
exit(syscall($call, -100, $ARGV[0], -100, $ARGV[1], 2) == 0 ? 0 : 1);' "$1" "$2"
        ;;
    *) return 1 ;;
    esac
}

adopt() { # the plain directory at $target becomes the release $previous, and the new link takes its place
    adopted=$previous
    exchanging_tool
    stage=$parent/.$name.deployer-$nonce
    mkdir "$state/records/$adopted" && fingerprint "$target" >"$state/records/$adopted/seal" &&
        printf 'adopted yes\n' >"$state/records/$adopted/facts" && true >"$state/records/$adopted/served" ||
        cannot "write to $state on the host"
    mv "$work/link/$name" "$stage" || cannot "write to $parent on the host"
    if swap "$stage" "$target" 2>/dev/null; then
        switched=yes
        keep_adopted "$stage"
    else
        # The slash lets only a plain directory be moved, never the link of a deploy that deposed us; and whoever
        # deposes takes the stage away.
        [ -L "$stage" ] && mv "$target/" "$stage.old" || cannot "move $target on the host"
        mv "$stage" "$target" || { mv "$stage.old" "$target" && cannot "put a link at $target on the host"; }
        switched=yes
        keep_adopted "$stage.old"
    fi
}

keep_adopted() { # DIRECTORY: the former site, as a release; copied when its owner does not let us move it
    [ "$adopted" ] || return 0
    if [ ! -d "$root/releases/$adopted" ]; then
        mv "$1" "$root/releases/$adopted" 2>/dev/null && return
        cp -pR "$1" "$work/adopted" && mv "$work/adopted" "$root/releases/$adopted" || return 1
        fingerprint "$root/releases/$adopted" >"$state/records/$adopted/seal"
        rm -rf "$parent/.$name.before-deployer" 2>/dev/null
        mv "$1" "$parent/.$name.before-deployer" 2>/dev/null
        fact warning "the former site was copied, because its owner does not let us move it; when the new one is good, sudo rm -r '$parent/.$name.before-deployer'"
    fi
}

point() { # RELEASE: build the link inside the lock directory and rename it over the target, in one step
    rm -f "$work/link/$name"
    ln -s ".deployer/$name/releases/$1" "$work/link/$name" || return 1
    # Into the directory rather than onto the name: every mv then renames over a link instead of entering it.
    mv -f "$work/link/$name" "$parent/"
}

do_switch() {
    IFS= read -r release && IFS= read -r expected && IFS= read -r members || exit 1
    find_live
    if [ "$kind" != directory ] && [ "$live" != "$expected" ]; then
        ours
        fail failed "the live release changed to ${live:-none} meanwhile, though the lock was ours: somebody else moved $target"
    fi
    [ -d "$root/releases/$release" ] && [ -d "$state/records/$release" ] || {
        ours
        fail failed "the host has no release $release"
    }
    previous=$expected
    printf '%s %s\n' "$release" "$previous" >"$work/pending" && mv -f "$work/pending" "$state/pending" ||
        cannot "write to $state on the host"
    journal switch begin "$release" "$members"
    renew
    if [ "$kind" = directory ]; then
        ln -s ".deployer/$name/releases/$release" "$work/link/$name" || cannot 'write to the lock directory on the host'
        adopt
    else
        point "$release" || cannot "put the link at $target on the host"
        switched=yes
    fi
    built=$release
    share_late
    true >"$state/records/$release/served"
    journal switch done "$release"
    # What was sent or copied lives on under its new names.
    for directory in b c644 c755 k644 k755 arrived; do
        [ ! -d "$work/$directory" ] || put_away "$work/$directory"
    done
}

go_back() { # undo the switch; with no release before it, nothing is live again
    if [ "$previous" ]; then
        point "$previous"
    else
        mv "$target" "$work/undone"
    fi
}

do_revert() {
    IFS= read -r members || exit 1
    go_back || fail unknown "cannot switch back to ${previous:-nothing}: $target is $(readlink "$target")"
    switched=''
    journal switch reverted "$built" "$members"
    true >"$state/records/$built/failed"
    for record in "$state"/records/*; do
        # One failed release is enough to look into.
        [ ! -e "$record/failed" ] || [ "${record##*/}" = "$built" ] || remove_release "${record##*/}"
    done
    built=''
    rm -f "$state/pending"
    unlock
}

do_confirm() {
    IFS= read -r keep && IFS= read -r members || exit 1
    renew
    # This rename is the confirmation: only an owner that nobody deposed can take the note of what is pending away.
    mv -f "$state/pending" "$work/pending" || cannot 'confirm the release on the host'
    confirmed=$built built='' switched=''
    rm -f "$state/records/$confirmed/failed"
    journal done confirmed "$confirmed" "$members"
    working prune "$keep"
    unlock
}
