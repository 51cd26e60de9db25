# shellcheck shell=sh disable=SC2015,SC1010,SC2209
# (Those three ask for if-then-else where `a && b || fail` is meant, and trip over the words done and mv as arguments.)
#
# The host's side of a static deploy. It travels on standard input, needs sh, tar, find and coreutils, or BusyBox,
# and leaves nothing running. Requests come as lines on standard input: a verb, then its arguments, one a line;
# answers go to descriptor 3 as lines that start with a mark, so that a noisy login shell cannot be mistaken for us:
#
#     MARK = NAME VALUE     a fact          MARK # NAME SIZE   a fact of SIZE raw bytes that follow
#     MARK ~ TEXT           what goes on    MARK . VERB        the verb is done
#     MARK ! CODE TEXT      it failed, and everything unconfirmed has been or is being undone
#
# Everything that a deploy makes before its switch is made inside $lock/$nonce. Breaking a lock renames that directory
# away, so each later step of a deposed owner fails by itself: no check, no window.

set -u
LC_ALL=C TZ=UTC0
export LC_ALL TZ
umask 022
exec 3>&1 >/dev/null
trap '' PIPE
lease=15 held='' built='' switched='' previous='' app='' verb='' renewed=0 failure='input ended'
newline='
'
IFS= read -r mark || exit 1

fact() { printf '%s = %s %s\n' "$mark" "$1" "$2" >&3; }
raw_fact() { printf '%s # %s %s\n%s' "$mark" "$1" "${#2}" "$2" >&3; }
fail() { # CODE TEXT
    failure=$1
    printf '%s ! %s %s\n' "$mark" "$1" "$2" >&3
    exit 1
}
uptime() { IFS=' .' read -r up _ </proc/uptime; }
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
first_line() { { IFS= read -r line <"$1"; } 2>/dev/null || line=''; }

# --- the journal: JSON lines; $4 is ready-made JSON members from the client -----------------------------------------

journal() { # STEP STATE RELEASE [MEMBERS]
    printf '{"time":"%s","deploy":"%s","step":"%s","state":"%s","release":"%s","previous":"%s"%s}\n' \
        "$(now)" "$nonce" "$1" "$2" "$3" "$previous" "${4:-}" >>"$state/journal" || return 1
}

# --- processes and the lock ------------------------------------------------------------------------------------------

process() { # PID: sets $start (empty when it is gone) and $condition (its state letter)
    start='' condition=''
    { IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
    # The name in parentheses may hold spaces: what counts comes after the last one.
    # shellcheck disable=SC2086
    set -- ${line##*) }
    condition=$1 start=${20}
    case $condition in Z | X) start='' ;; esac
}

identify() { # this process, as the lock's owner file names it
    process $$
    first_line /proc/sys/kernel/random/boot_id
    boot=$line
    space=$(readlink /proc/self/ns/pid 2>/dev/null) || space=unknown
}

stale() { # ENTRY: true when its owner is dead or silent; sets $owner, and $why for the journal
    owner='' why=''
    {
        IFS=' ' read -r pid began on within
        IFS= read -r owner
    } 2>/dev/null <"$1/owner" || return 1
    if [ "$on" != "$boot" ]; then why=rebooted && return 0; fi
    if [ "$within" = "$space" ]; then
        process "$pid"
        if [ "$start" != "$began" ]; then why=dead && return 0; fi
    fi
    age=$(stat -c %Y "$1/lease" 2>/dev/null) || return 1
    [ $(($(date +%s) - age)) -gt "$lease" ] && why=silent
}

depose() { # ENTRY: take its directory away under the owner's own name, so that only this owner can be hit
    mv "$1" "$state/broken.${1##*/}" 2>/dev/null || return 1
    rm -f "$parent/.$name.deployer-${1##*/}" 2>/dev/null
    rmdir "$lock" 2>/dev/null
    journal lock broken '' ",\"why\":\"$why\""
}

alone() { # true when ours is the only claim: the second of two claims always sees the first
    set -- "$lock"/*
    [ $# = 1 ] && [ "$1" = "$work" ]
}

try_lock() {
    if mkdir "$lock" 2>/dev/null; then
        mv "$state/claim.$nonce" "$work" 2>/dev/null || return 1
        alone && return 0
        mv "$work" "$state/claim.$nonce"
        rmdir "$lock" 2>/dev/null
        return 1
    fi
    for entry in "$lock"/*; do
        if [ ! -d "$entry" ]; then
            # Nobody inside: a claimant is between two steps, or was killed there.
            [ "$empty" -ge 3 ] && rmdir "$lock" 2>/dev/null
            empty=$((empty + 1))
            return 1
        fi
        empty=0
        if stale "$entry" && depose "$entry"; then
            try_lock
            return
        fi
    done
    return 1
}

take_lock() { # WAIT seconds
    claim=$state/claim.$nonce empty=0 told=''
    mkdir "$claim" "$claim/link" && printf '%s %s %s %s\n%s\n' $$ "$start" "$boot" "$space" "$label" >"$claim/owner" &&
        true >"$claim/lease" || fail failed "cannot write to $state on the host"
    uptime
    deadline=$((up + $1))
    until try_lock; do
        uptime
        if [ "$up" -ge "$deadline" ] && [ "$empty" = 0 ]; then
            rm -rf "$claim"
            fail held "${owner:-another deploy}"
        fi
        if [ "$told" != "$owner" ]; then
            # Also how a waiting program learns that its client is gone.
            printf '%s ~ waiting for the lock: %s\n' "$mark" "$owner" >&3 || exit 1
            told=$owner
        fi
        true >"$claim/lease"
        sleep 0.2 2>/dev/null || sleep 1
    done
    held=yes
    uptime
    renewed=$up
}

renew() { # the lease; a lapsed or broken one ends this deploy
    [ "$held" ] || return 0
    uptime
    if [ $((up - renewed)) -gt "$lease" ] || ! { true >"$work/lease"; } 2>/dev/null; then
        fail deposed "this deploy was silent for longer than its lease of $lease s, so its lock is void"
    fi
    renewed=$up
}

working() { # COMMAND...: run it while a watcher renews the lease, unless this shell is stopped
    (
        while sleep 5; do
            process $$
            case $condition in
            '' | T | t) [ "$start" ] || exit 0 ;;
            *) { true >"$work/lease"; } 2>/dev/null || exit 0 ;;
            esac
        done
    ) 3>&- </dev/null 2>/dev/null &
    watcher=$!
    "$@"
    result=$?
    kill "$watcher" 2>/dev/null
    uptime
    renewed=$up
    return "$result"
}

unlock() {
    held=''
    mv "$work" "$state/broken.$nonce" 2>/dev/null || return 0
    rmdir "$lock" 2>/dev/null
    rm -rf "$state/broken.$nonce"
}

# --- where things are --------------------------------------------------------------------------------------------------

do_site() {
    IFS= read -r app && IFS= read -r target && IFS= read -r nonce && IFS= read -r label || exit 1
    parent=${target%/*} name=${target##*/}
    root=$parent/.deployer/$name state=$root/state lock=$root/state/lock work=$root/state/lock/$nonce
    missing=''
    for tool in tar find stat sha256sum dd mv ln df date; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    [ -z "$missing" ] || fail failed "the host has no$missing: install coreutils, findutils and tar, or BusyBox"
    [ -r /proc/uptime ] || fail failed "the host has no /proc file system, which the lock needs"
    [ -d "$parent/" ] || fail failed "$parent does not exist on the host: create it with sudo mkdir -p '$parent' && sudo chown $(id -un) '$parent'"
    if [ -e "$target" ] && [ ! -d "$target" ]; then
        fail failed "$target is a file on the host, not a directory: move it away or choose another target"
    fi
    if [ -L "$target" ] && case $(readlink "$target") in ".deployer/$name/releases/"*) false ;; esac then
        fail failed "$target is a link that deployer did not make (to $(readlink "$target")): remove it or choose another target"
    fi
    identify
    recorded=''
    [ ! -f "$state/app" ] || { first_line "$state/app" && recorded=$line; }
    [ -z "$recorded" ] || [ "$recorded" = "$app" ] ||
        fail invalid "$target belongs to the app \"$recorded\" on this host, not to \"$app\": choose another target or app name"
    [ ! -f "$state/version" ] || { first_line "$state/version" && [ "$line" = 1 ]; } ||
        fail failed "the state in $state was written by a newer deployer (version $line): use that one"
    [ ! -e "$root" ] || [ -x "$root" ] || fail failed "$root on the host is not ours to enter: see who owns it"
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
    [ -w "$parent" ] || fail failed "$(id -un) cannot write to $parent on the host: sudo chown $(id -un) '$parent'"
    for directory in "$parent/.deployer" "$root" "$root/releases"; do
        [ -d "$directory" ] || mkdir -m 711 "$directory" 2>/dev/null || [ -d "$directory" ] ||
            fail failed "cannot make $directory on the host: see who owns its parent, and the disk space"
    done
    for directory in "$state" "$state/records" "$state/logs"; do
        [ -d "$directory" ] || mkdir -m 700 "$directory" 2>/dev/null || [ -d "$directory" ] ||
            fail failed "cannot make $directory on the host: see who owns its parent, and the disk space"
    done
    # shellcheck disable=SC2046
    set -- $(stat -c %d "$parent" "$state")
    [ "$1" = "$2" ] || fail failed "$state is on another file system than $parent, so no switch could be atomic"
    [ "$recorded" ] || {
        printf '%s\n' "$app" >"$state/app.$nonce" && mv -f "$state/app.$nonce" "$state/app" &&
            printf '1\n' >"$state/version.$nonce" && mv -f "$state/version.$nonce" "$state/version"
    } || fail failed "cannot write to $state on the host"
}

# --- healing: what a killed deploy left --------------------------------------------------------------------------------

heal_adoption() { # a kill between the steps of taking over a plain directory
    for left in "$parent/.$name".deployer-*; do
        [ -e "$left" ] || [ -L "$left" ] || continue
        case $left in
        *.old)
            # The two renames of a host without an exchanging tool: put the site back, or keep it as a release.
            if [ ! -e "$target" ] && [ ! -L "$target" ]; then mv "$left" "$target"; else keep_adopted "$left"; fi
            ;;
        *) if [ -L "$left" ]; then rm -f "$left"; else keep_adopted "$left"; fi ;;
        esac
    done
}

heal() { # with the lock held; says what it found in the fact "healed"
    rm -rf "$state"/broken.* "$state"/app.* "$state"/version.*
    for claim in "$state"/claim.*; do
        [ -d "$claim" ] && stale "$claim" && rm -rf "$claim"
    done
    find_live
    pending_release='' pending_previous=''
    if [ -f "$state/pending" ]; then
        IFS=' ' read -r pending_release pending_previous <"$state/pending"
    fi
    adopted=$pending_previous
    heal_adoption
    find_live
    if [ "$pending_release" ]; then
        previous=$pending_previous
        if [ "$live" = "$pending_release" ]; then
            true >"$state/records/$live/served"
            journal switch recovered "$live"
            fact healed "an interrupted deploy had switched to $live; it stays live"
        else
            journal switch abandoned "$pending_release"
            fact healed "an interrupted deploy of $pending_release was undone"
        fi
        rm -f "$state/pending"
        previous=''
    fi
    for record in "$state"/records/*; do
        [ -d "$record" ] || continue
        release=${record##*/}
        [ "$release" = "$live" ] || { [ -e "$record/served" ] && [ -d "$root/releases/$release" ]; } || remove_release "$release"
    done
    for directory in "$root"/releases/*T*Z-*.*; do
        [ ! -d "$directory" ] || [ -d "$state/records/${directory##*/}" ] || [ "${directory##*/}" = "$live" ] || rm -rf "$directory"
    done
}

remove_release() { # NAME: the record goes last, so that a kill in between is found again
    [ "$1" ] || return 1
    rm -rf "$root/releases/$1" "$state/logs/$1" && rm -rf "$state/records/$1"
}

do_lock() {
    IFS= read -r wait && IFS= read -r members || exit 1
    make_state
    take_lock "$wait"
    heal
    journal lock taken '' "$members"
}

# --- facts -----------------------------------------------------------------------------------------------------------

fingerprint() { # DIRECTORY: changes with every write into it; %i catches files that were replaced with the old time
    (cd "$1" && find . ! -type d -exec stat -c '%n|%s|%Y|%f|%i' {} + | sha256sum)
}

sealed() { # RELEASE: true when nobody wrote into it since it was built
    first_line "$state/records/$1/seal"
    [ "$line" ] && [ "$line" = "$(fingerprint "$root/releases/$1")" ]
}

inventory() { # DIRECTORY: hashes and times of the files in it that can be linked; odd names are left out
    [ -d "$1" ] || return 0
    own="-user $(id -u)"
    [ "$(id -u)" != 0 ] || own=''
    # shellcheck disable=SC2086
    hashes=$(cd "$1" && find . -type f $own ! -path "*$newline*" ! -path '*\\*' -exec sha256sum {} +)
    # shellcheck disable=SC2086
    stats=$(cd "$1" && find . -type f $own ! -path "*$newline*" ! -path '*\\*' -exec stat -c '%a %s %Y %n' {} +)
    newest=$(cd "$1" && find . -type f -exec stat -c '%Y' {} + | sort -n | tail -n 1)
    raw_fact hashes "$hashes"
    raw_fact stats "$stats"
    fact newest_time "${newest:-0}"
}

record_facts() { # RELEASE: its record's "name value" lines as facts, prefixed
    while IFS=' ' read -r key value; do
        fact "$2$key" "$value"
    done 2>/dev/null <"$state/records/$1/facts"
}

do_facts() { # what a run must know; the wanted digest spares the manifest when nothing differs
    IFS= read -r wanted || exit 1
    find_live
    fact now "$(date +%s)"
    fact kind "$kind"
    fact live "$live"
    # shellcheck disable=SC2046
    set -- $(df -Pk "$parent" | tail -n 1)
    fact free_bytes "$(($4 * 1024))"
    if command -v zstd >/dev/null 2>&1; then fact codec zstd; else fact codec gzip; fi
    youngest=''
    for directory in "$root"/releases/*; do
        [ ! -d "$directory" ] || youngest=${directory##*/}
    done
    fact newest "$youngest"
    unchanged=''
    case $kind in
    link) live_facts ;;
    directory)
        exchanging_tool
        fact exchange "$exchange"
        working inventory "$target"
        ;;
    esac
    fact unchanged "$unchanged"
}

live_facts() {
    record_facts "$live" live_
    if ! working sealed "$live"; then
        fact seal broken
        working inventory "$root/releases/$live"
        return
    fi
    fact seal whole
    digest=''
    while IFS=' ' read -r key value; do
        [ "$key" != digest ] || digest=$value
    done 2>/dev/null <"$state/records/$live/facts"
    if [ "$digest" ] && [ "$digest" = "$wanted" ]; then
        unchanged=yes
    elif [ -f "$state/records/$live/list.gz" ]; then
        send_file manifest "$state/records/$live/list.gz"
    else
        working inventory "$root/releases/$live"
    fi
}

do_inventory() { # of one release, for when its manifest cannot be read
    IFS= read -r release || exit 1
    working inventory "$root/releases/$release"
}

send_file() { # NAME FILE
    size=$(stat -c %s "$2") || return 0
    printf '%s # %s %s\n' "$mark" "$1" "$size" >&3
    head -c "$size" "$2" >&3
}

do_conclude() { # WHEN: the end of a deploy that had nothing to do; "unchanged" only when facts found that
    IFS= read -r when || exit 1
    [ "$when" = always ] || [ "${unchanged:-}" = yes ] || return 0
    find_live
    previous=$live
    journal done unchanged "$live"
    unlock
}

# --- receiving ---------------------------------------------------------------------------------------------------------

frames() { # from standard input: "SIZE\n", SIZE bytes, and again; 0 ends. Each frame renews the lease.
    while IFS= read -r size; do
        case $size in
        0)
            true >"$work/complete"
            return
            ;;
        '' | *[!0-9]*) return 1 ;;
        esac
        renew
        dd bs="$size" count=1 iflag=fullblock 2>/dev/null || return 1
    done
    return 1
}

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

# --- the switch --------------------------------------------------------------------------------------------------------

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
        fail failed "cannot write to $state on the host"
    mv "$work/link/$name" "$stage" || fail deposed 'the lock was taken away'
    if swap "$stage" "$target" 2>/dev/null; then
        switched=yes
        keep_adopted "$stage"
    else
        mv "$target" "$stage.old" || fail failed "cannot move $target on the host: see who owns it"
        mv "$stage" "$target"
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
        fact left_behind "$parent/.$name.before-deployer"
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
    [ "$kind" = directory ] || [ "$live" = "$expected" ] ||
        fail failed "the live release changed to ${live:-none} meanwhile, though the lock was ours: somebody else moved $target"
    [ -d "$root/releases/$release" ] && [ -d "$state/records/$release" ] || fail failed "the host has no release $release"
    previous=$expected
    printf '%s %s\n' "$release" "$previous" >"$work/pending" && mv -f "$work/pending" "$state/pending" ||
        fail deposed 'the lock was taken away'
    journal switch begin "$release" "$members"
    renew
    if [ "$kind" = directory ]; then
        ln -s ".deployer/$name/releases/$release" "$work/link/$name" || fail deposed 'the lock was taken away'
        adopt
    else
        point "$release" || fail deposed 'the lock was taken away, so nothing was switched'
        switched=yes
    fi
    built=$release
    true >"$state/records/$release/served"
    journal switch done "$release"
    # The sent contents live on under their new names; the old ones go while the gate looks.
    rm -rf "$work/b" "$work/c644" "$work/c755" "$work/k644" "$work/k755" 3>&- &
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
    switched=''
    journal done confirmed "$built" "$members"
    rm -f "$state/records/$built/failed" "$state/pending"
    working prune "$keep"
    built=''
    wait
    unlock
}

prune() { # KEEP: the newest, the live one and the one before it stay
    find_live
    count=0 newest_first=''
    for record in "$state"/records/*; do
        newest_first="${record##*/} $newest_first"
    done
    for release in $newest_first; do
        count=$((count + 1))
        [ "$count" -le "$1" ] || [ "$release" = "$live" ] || [ "$release" = "$previous" ] || {
            remove_release "$release" && fact pruned "$release"
        }
    done
    [ "$(stat -c %s "$state/journal")" -lt 1048576 ] || {
        tail -n 2000 "$state/journal" >"$work/journal" && mv -f "$work/journal" "$state/journal"
    }
}

do_log() { # the deploy's output, in frames
    IFS= read -r release || exit 1
    frames >"$state/logs/$release" || fail failed 'the log was cut'
}

# --- looking -----------------------------------------------------------------------------------------------------------

do_inspect() { # everything that the looking commands show
    find_live
    fact now "$(date +%s)"
    fact kind "$kind"
    fact live "$live"
    # shellcheck disable=SC2046
    set -- $(df -Pk "$parent" | tail -n 1)
    fact free_bytes "$(($4 * 1024))"
    for entry in "$lock"/*; do
        [ -d "$entry" ] || continue
        if stale "$entry"; then fact lock_stale "$why"; fi
        fact lock "$owner"
        fact lock_entry "${entry##*/}"
    done
    if [ -f "$state/pending" ]; then
        first_line "$state/pending"
        fact pending "$line"
    fi
    for record in "$state"/records/*; do
        [ -d "$record" ] || continue
        release=${record##*/}
        fact record "$release"
        record_facts "$release" "$release."
        [ ! -e "$record/failed" ] || fact "$release.failed" yes
        [ -d "$root/releases/$release" ] && sealed "$release" || fact "$release.damaged" yes
    done
    [ ! -f "$state/journal" ] || send_file journal "$state/journal"
}

do_show_log() {
    IFS= read -r release || exit 1
    [ ! -f "$state/logs/$release" ] || send_file log "$state/logs/$release"
}

do_check_release() { # before a rollback
    IFS= read -r release || exit 1
    sealed "$release" || fail failed "release $release was changed after it was deployed, so it is not put live: deploy that version again with run"
}

do_break() { # ENTRY: unlock
    IFS= read -r entry || exit 1
    why=unlock
    depose "$lock/$entry" || fail failed 'that lock is gone already'
    rm -rf "$state/broken.$entry"
}

# --- the end, whatever it is ---------------------------------------------------------------------------------------------

finish() { # a deposed owner finds its directory gone and leaves everything to the one that deposed it
    trap '' TERM INT HUP
    [ "$held" ] && [ -d "$work" ] || return 0
    find_live
    adopted=$previous
    heal_adoption
    if [ "$switched" ] || { [ "$built" ] && [ "$built" = "$live" ]; }; then
        go_back || return 0
        journal switch undone "$built" ",\"why\":\"$failure\""
        true >"$state/records/$built/failed"
    elif [ "$built" ] && [ ! -e "$state/records/$built/served" ]; then
        remove_release "$built"
    fi
    rm -f "$state/pending"
    journal "${verb:-end}" failed "$built" ",\"why\":\"$failure\""
    wait
    unlock
}
trap finish EXIT
trap 'failure=signal; exit 143' TERM INT HUP

while IFS= read -r verb; do
    case $verb in
    beat)
        renew
        continue
        ;;
    site | lock | facts | inventory | conclude | contents | tree | switch | revert | confirm | log | inspect | show_log | check_release | break)
        renew
        "do_$verb"
        ;;
    *) fail failed "the host's program does not know the request \"$verb\"" ;;
    esac
    printf '%s . %s\n' "$mark" "$verb" >&3
done
