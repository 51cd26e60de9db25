# shellcheck shell=sh
# The lock: a directory with one entry, its owner's, in which everything before the switch is made.

full() { # what the disk has no more of, in $lacking
    lacking=''
    # shellcheck disable=SC2046
    set -- $(df -Pk "$parent" 2>/dev/null | tail -n 1)
    [ "${4:-1024}" -ge 512 ] || lacking='is full: free some space'
    # shellcheck disable=SC2046
    set -- $(df -Pi "$parent" 2>/dev/null | tail -n 1)
    # File systems that do not count inodes, such as btrfs, show zeros.
    [ "${2:-0}" = 0 ] || [ "${4:-1}" != 0 ] || lacking='has no inodes left (see df -i): remove some files'
    [ "$lacking" ]
}

ours() { # a deposed owner ends here
    [ ! "$held" ] || [ -d "$work" ] || fail deposed 'the lock was taken away: another deploy, or unlock, broke it'
}

cannot() { # DO: a write failed, because we were deposed, the disk is full, or for the reason that tools have printed
    ours
    ! full || fail failed "the disk of $parent on the host $lacking"
    fail failed "cannot $1; see the disk space and the permissions there"
}

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
    born=$start
    first_line /proc/sys/kernel/random/boot_id
    boot=$line
    # In the names of what is not yet in its place, so that it can be told from what a killed process left.
    beginner=$nonce.$$.$born
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
    older "$1/lease" && why=silent
}

abandoned() { # FILE, named PREFIX.NONCE.PID.START: true when that process is gone
    their=${1##*/}
    their=${their#*.*.}
    process "${their%.*}"
    [ "$start" != "${their#*.}" ]
}

older() { # FILE: true when it was not written to for longer than the lease, by the host's clock
    age=$(stat -c %Y "$1" 2>/dev/null) || return 1
    [ $(($(date +%s) - age)) -gt "$lease" ]
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
        mv "$claim" "$work" 2>/dev/null || {
            rmdir "$lock" 2>/dev/null
            ! full || cannot "write to $state on the host"
            return 1
        }
        alone && return 0
        mv "$work" "$claim"
        rmdir "$lock" 2>/dev/null
        return 1
    fi
    if [ ! -d "$lock" ]; then
        # Neither made nor there: once means that it was released just now, again and again that it cannot be made.
        unmade=$((unmade + 1))
        [ "$unmade" -lt 5 ] || cannot "make $lock on the host"
        return 1
    fi
    unmade=0
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
    claim=$state/claim.$beginner empty=0 unmade=0 told='' owner=''
    mkdir "$claim" "$claim/link" && printf '%s %s %s %s\n%s\n' $$ "$born" "$boot" "$space" "$label" >"$claim/owner" &&
        true >"$claim/lease" || cannot "write to $state on the host"
    uptime
    deadline=$((up + $1)) told_at=$up
    until try_lock; do
        uptime
        [ "$up" -lt "$deadline" ] || [ "$empty" != 0 ] || fail held "${owner:-another deploy}"
        if [ "$told" != "$owner" ] || [ "$up" != "$told_at" ]; then
            # Every second: only so does a waiting program learn that its client is gone.
            printf '%s ~ waiting for the lock: %s\n' "$mark" "$owner" >&3 || exit 1
            told=$owner told_at=$up
        fi
        # A waiter that was paused for long may find that others have cleared its claim away.
        { true >"$claim/lease"; } 2>/dev/null || fail deposed "this deploy was silent for longer than its lease of $lease s"
        sleep 0.2 2>/dev/null || sleep 1
    done
    held=yes claim=''
    uptime
    renewed=$up
}

renew() { # the lease; a lapsed or broken one ends this deploy
    [ "$held" ] || return 0
    uptime
    [ "$watched" ] || [ $((up - renewed)) -le "$lease" ] ||
        fail deposed "this deploy was silent for longer than its lease of $lease s, so its lock is void"
    { true >"$work/lease"; } 2>/dev/null || {
        ours
        # Once more, for the shell to say why: what tar says of the same trouble may come first, or never.
        lease_trouble=$({ true >"$work/lease"; } 2>&1) || {
            ! full || cannot "renew the lock's lease in $state on the host"
            fail failed "cannot renew the lock's lease in $state on the host: ${lease_trouble##*: }"
        }
    }
    renewed=$up
}

working() { # COMMAND...: run it while a watcher renews the lease, unless this shell is stopped
    [ ! "$watched" ] || {
        "$@"
        return
    }
    (
        [ "$ticking" ] || exec 3>&-
        while sleep 1; do
            process $$
            # A killed shell has no start any more, though its parent may not have noticed yet.
            [ "$start" ] || exit 0
            case $condition in
            T | t) ;;
            *) { true >"$work/lease"; } 2>/dev/null || exit 0 ;;
            esac
            # The client gives a host up that says nothing for long.
            [ -z "$ticking" ] || printf '%s +\n' "$mark" >&3
        done
    ) </dev/null 2>/dev/null &
    watcher=$! watched=yes
    "$@"
    result=$?
    watched=''
    # KILL: another signal may arrive before the new shell has dropped our traps, and would be lost (seen with dash).
    kill -KILL "$watcher" 2>/dev/null
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
