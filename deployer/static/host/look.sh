# shellcheck shell=sh
# Looking without changing anything; and unlock.

do_inspect() { # everything that the looking commands show
    find_live
    fact now "$(date +%s)"
    fact kind "$kind"
    fact live "$live"
    # shellcheck disable=SC2046
    set -- $(df -Pk "$parent" | tail -n 1)
    fact free_kilobytes "$4"
    lock_facts
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

lock_facts() { # whose the lock is, and the switch that nobody has confirmed
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
