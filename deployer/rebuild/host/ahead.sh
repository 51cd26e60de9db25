# shellcheck shell=sh disable=SC2154
# What need not be waited for: begun beside what goes on, and taken when it is needed. Nothing of it changes anything.

ahead_jobs=' '

ahead() { # NAME COMMAND...: begins it; what it says goes to $work/ahead.NAME. Without a lock there is no such place.
    ahead_name=$1
    shift
    [ "$held" ] || return 0
    (
        # Only the program itself may undo anything.
        fail() { exit 1; }
        # What failed or was cut short does not have this last line.
        "$@" && printf '\n.\n'
    ) >"$work/ahead.$ahead_name" 2>/dev/null </dev/null 3>&- &
    ahead_jobs="$ahead_jobs$ahead_name:$! "
}

arrived() { # NAME: waits for its end; true when all that it had to say is in $work/ahead.NAME, before a line with a dot
    case $ahead_jobs in *" $1:"*) ;; *) return 1 ;; esac
    ahead_job=${ahead_jobs#*" $1:"}
    ahead_jobs="${ahead_jobs%%" $1:"*} ${ahead_job#* }"
    wait "${ahead_job%% *}"
    whole "$work/ahead.$1"
}

whole() { [ "$(tail -n 1 "$1" 2>/dev/null)" = . ]; } # FILE

as_output() { "$@" 3>&1; } # COMMAND...: its facts, too
