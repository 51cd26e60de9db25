# shellcheck shell=sh
# What is unfinished is undone or, once its release was accepted, finished: after a failure, an interruption, a kill.

fail() { # CODE TEXT: the answer tells how the host is left, so that is seen to first
    failure=$1 text=$2
    if [ "$held" ] && [ -d "$work" ] && [ -f "$state/pending" ] && [ ! "$recovering" ]; then
        if [ "$1" = deposed ]; then
            :
        elif ! recover "$1"; then
            set -- unknown "$2; and what was live before could not be brought back${trouble:+: $trouble}"
        elif [ "$stayed" ]; then
            set -- unknown "$2; it was not undone, because it is past a one-way migration (rebuild.no_rollback_past)"
        fi
    fi
    printf '%s ! %s %s\n' "$mark" "$1" "$text${2#"$text"}" >&3
    exit 1
}

recover() { # WHY: nothing to do, without a word, when nothing is unfinished
    [ -f "$state/pending" ] || return 0
    recovering=yes
    stop_group "$work/group"
    IFS=' ' read -r release previous <"$state/pending"
    load_compose
    find_live
    if [ "$live" = "$release" ] || one_way; then
        working keep_going
    else
        working take_back "$1"
    fi || {
        # Once is enough: what did not work now is for the next deploy to try again.
        hopeless=yes
        return 1
    }
    finished
    prune_logs
    recovering=''
}

keep_going() { # forward: the release was accepted, or must not be taken back
    roll_finish || return 1
    if [ "$live" != "$release" ] && [ -e "$state/undo/up" ] && [ ! -e "$state/undo/upped" ]; then
        # It never came up, so it is not what is live; but neither may what was before it come back.
        stayed=yes
        journal switch failed "$release"
        return
    fi
    [ "$live" = "$release" ] || stayed=yes
    accept
    journal switch recovered "$release"
    journal done confirmed "$release"
    # A client that is gone hears nothing, and all is well nevertheless.
    fact healed "an interrupted deploy had put $release live; it stays live" || :
}

take_back() { # WHY
    undo_changes || return 1
    journal switch undone "$release" ",\"why\":\"$1\""
    if [ "$1" = gate ]; then
        true >"$state/records/$release/failed"
    elif [ ! -e "$state/records/$release/served" ]; then
        forget_release "$release"
    fi
    fact healed "an interrupted deploy of $release was undone" || :
}

save_compose() { # how Compose is called, for whoever has to undo this without having looked
    printf '%s\n' "$compose_file" "$compose_files" "$compose_directory" "$compose_environment" "$compose_home" "$project" \
        >"$work/put" && mv -f "$work/put" "$state/undo/compose" || cannot "write to $state on the host"
}

load_compose() {
    [ "$compose_file" ] || [ ! -f "$state/undo/compose" ] || {
        IFS= read -r compose_file && IFS= read -r compose_files && IFS= read -r compose_directory &&
            IFS= read -r compose_environment && IFS= read -r compose_home && IFS= read -r project
    } <"$state/undo/compose"
    [ -z "$compose_file" ] || [ "$composer" ] || find_composer
}

undo_changes() { # the checkout first: what is started again must be what was there before
    restore_checkout && restore_images && roll_back || return 1
    # After a plain `up` of the new release had begun.
    [ -f "$state/undo/up" ] || return 0
    if [ -e "$state/undo/idle" ]; then
        # Nothing ran before: then nothing is to run.
        # shellcheck disable=SC2046
        [ -z "$project" ] || quiet_docker rm --force $(quiet_docker ps --all --quiet --filter "label=com.docker.compose.project=$project") 2>/dev/null
        return 0
    fi
    # Without images, what it brings up has to be built again first.
    again build && again up && return
    # The next deploy must be able to go forward, whatever keeps the former version from coming up.
    rm -f "$state/undo/up"
    trouble='the command that brings it up failed, too'
    return 1
}

one_way() { # true when the release has begun to replace the one before, and must not be taken back
    [ -e "$state/undo/up" ] || [ -e "$state/roll/cut" ] || return 1
    # The way back to a kept release is no way over a migration.
    [ ! -e "$state/undo/back" ] || return 1
    grep -q '^no_rollback_past yes$' "$state/records/$release/facts" 2>/dev/null
}

accept() { # $release is the live one from here on
    put "$state/live" "$release"
    true >"$state/records/$release/served"
    rm -f "$state/records/$release/failed"
}

finished() { # nothing is left to undo; the note of what is pending goes last, so that a kill in between is found again
    rm -rf "$state/roll" "$state/undo"
    mkdir -m 700 "$state/undo"
    mv -f "$state/pending" "$work/pending" 2>/dev/null
}

heal() { # with the lock held
    for left in "$state"/broken.*; do
        [ ! -d "$left" ] || stop_group "$left/group"
    done
    rm -rf "$state"/broken.*
    for left in "$state"/app.* "$state"/version.* "$state"/claim.*; do
        [ -e "$left" ] || continue
        if [ -s "$left/owner" ]; then stale "$left"; else abandoned "$left"; fi && rm -rf "$left"
    done
    recover killed || recover killed || fail unknown "an interrupted deploy could be neither undone nor finished${trouble:+: $trouble}; look at what runs there, then run again"
    # With nothing pending, that is what a killed change of the proxy's files alone has left.
    rm -rf "$state/roll"
    find_live
    for record in "$state"/records/*; do
        [ ! -d "$record" ] || [ -e "$record/served" ] || [ "${record##*/}" = "$live" ] || forget_release "${record##*/}"
    done
}

remove_release() { # NAME: the record goes last, so that a kill in between is found again
    [ "$1" ] || return 1
    rm -rf "$state/logs/$1"
    forget_release "$1"
}

forget_release() { # NAME: all but what it printed
    forget_images "$1"
    forget_commit "$1"
    rm -rf "$state/records/$1"
}
