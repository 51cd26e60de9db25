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

do_check_release() { # before a rollback
    IFS= read -r release || exit 1
    sealed "$release" || fail failed "release $release was changed after it was deployed, so it is not put live: deploy that version again with run"
}
