# shellcheck shell=sh
# From the lock to the end of a good deploy; and looking without changing anything.

do_lock() {
    IFS= read -r wait && IFS= read -r members || exit 1
    make_state
    take_lock "$wait"
    heal
    journal lock taken '' "$members"
}

do_facts() { # what a run must know before it decides
    IFS= read -r compose_wanted && IFS= read -r traefik_directory && IFS= read -r traefik_api || exit 1
    host_facts
    youngest=''
    for record in "$state"/records/*; do
        [ ! -d "$record" ] || youngest=${record##*/}
    done
    fact newest "$youngest"
    [ -z "$live" ] || record_facts "$live" live_
    compose_ahead
    ahead proxy as_output proxy_facts
    checkout_facts
    compose_facts
    if arrived proxy; then
        find_proxy_directory
        sed '$d' "$work/ahead.proxy" >&3
    else
        proxy_facts
    fi
}

host_facts() {
    find_live
    fact now "$(date +%s)"
    fact live "$live"
    # shellcheck disable=SC2046
    set -- $(df -Pk "$parent" | tail -n 1)
    fact free_kilobytes "$4"
    fact path "$path"
}

do_begin() { # RELEASE PREVIOUS MEMBERS, then the record's facts (none: it is there already)
    IFS= read -r release && IFS= read -r previous && IFS= read -r members || exit 1
    # From here on undoing may take long, also where no command runs long enough to say so.
    tick || true
    record=$state/records/$release
    [ -d "$record" ] || mkdir "$record" || cannot "write to $state on the host"
    frames >"$work/facts" || exit 1
    if [ -s "$work/facts" ]; then
        mv -f "$work/facts" "$record/facts" && true >"$state/logs/$release" || cannot "write to $state on the host"
        logged=$state/logs/$release
    else
        # The way back to it adds to what its own deploy has printed.
        true >"$state/undo/back" || cannot "write to $state on the host"
    fi
    save_compose
    something_ran || true >"$state/undo/idle" || cannot "write to $state on the host"
    put "$state/pending" "$release $previous"
    journal begin begin "$release" "$members"
    DEPLOYER_APP=$app DEPLOYER_RELEASE=$release
    export DEPLOYER_APP DEPLOYER_RELEASE
}

something_ran() { # true when there is something that an undone deploy has to bring up again
    [ ! "$previous" ] || return 0
    [ -e "$path/.git" ] || return 1
    [ "$compose_file" ] || return 0
    case $compose_containers in *' running '*) ;; *) return 1 ;; esac
}

do_log() { # the deploy's whole output in frames, in place of what commands printed
    IFS= read -r release || exit 1
    frames >"$work/log" || exit 1
    if [ -e "$state/undo/back" ]; then
        { printf '\nback to this release at %s:\n' "$(now)" && cat "$work/log"; } >>"$state/logs/$release" && return
    else
        mv -f "$work/log" "$state/logs/$release" && return
    fi
    fact warning "the output of this deploy could not be kept in $state/logs on the host"
}

do_render() { # which SERVICES will roll
    IFS= read -r rolling || exit 1
    compose_facts
    foresee
}

do_up() { # SECONDS, then the command's text
    IFS= read -r within || exit 1
    frames >"$work/command" || exit 1
    keep_command up "$within"
    journal switch begin "$release"
    in_checkout "$within" sh "$work/command"
    succeeded up "$within"
    true >"$state/undo/upped" || cannot "write to $state on the host"
}

do_accept() { # the gate has passed: from here on an interrupted deploy is finished, not undone
    IFS= read -r members || exit 1
    renew
    head=$(git -C "$path" rev-parse HEAD 2>/dev/null)
    { sed '/^head /d' "$state/records/$release/facts" && printf 'head %s\n' "$head"; } >"$work/facts" &&
        mv -f "$work/facts" "$state/records/$release/facts" || cannot "write to $state on the host"
    accept
    journal switch done "$release"
    journal done confirmed "$release" "$members"
}

do_finish() { # KEEP
    IFS= read -r keep || exit 1
    finished
    working prune "$keep"
    prune_logs
    unlock
}

do_revert() {
    IFS= read -r members || exit 1
    failed=$release
    recover gate || fail unknown "cannot bring ${previous:-nothing} back${trouble:+: $trouble}"
    journal switch reverted "$failed" "$members"
    unlock
}

do_conclude() { # the end of a deploy that had nothing to do
    IFS= read -r when || exit 1
    previous=$live
    journal done unchanged "$live"
    unlock
}

prune_logs() {
    # Of deploys that failed, the last outputs stay for whoever asks why.
    count=0
    for log in $(find "$state/logs" -type f | sort -r); do
        [ ! -d "$state/records/${log##*/}" ] || continue
        count=$((count + 1))
        [ "$count" -le 5 ] || rm -f "$log"
    done
}

do_inspect() { # everything that the looking commands show
    host_facts
    lock_facts
    present=$(cat "$state"/records/*/images 2>/dev/null | cut -d ' ' -f 2 | sort -u |
        xargs docker image inspect --format '{{.Id}}' 2>/dev/null)
    for record in "$state"/records/*; do
        [ -d "$record" ] || continue
        release=${record##*/}
        fact record "$release"
        record_facts "$release" "$release."
        [ ! -e "$record/failed" ] || fact "$release.failed" yes
        # Built without images: coming back means building again.
        [ -s "$record/images" ] || fact "$release.unkept" yes
        [ ! -f "$record/images" ] || while IFS=' ' read -r service image _; do
            fact "$release.image" "$service $image"
            case $present in *"$image"*) ;; *) fact "$release.lost" "$service" ;; esac
        done <"$record/images"
    done
    [ ! -f "$state/journal" ] || send_file journal "$state/journal"
}
