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
native_umask=$(umask)
umask 022
exec 3>&1 >/dev/null
trap '' PIPE
lease=15 sweeping='' claim='' held='' built='' switched='' previous='' app='' verb='' renewed=0 watched='' ticking='' failure='input ended'
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

send_file() { # NAME FILE
    size=$(stat -c %s "$2") || return 0
    printf '%s # %s %s\n' "$mark" "$1" "$size" >&3
    head -c "$size" "$2" >&3
}

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
    # Whoever sends is gone: that is not the host's fault.
    { true >"$work/cut"; } 2>/dev/null
    return 1
}
