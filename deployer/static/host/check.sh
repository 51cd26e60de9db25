# shellcheck shell=sh
# Facts for `deployer check`. Nothing is changed, nothing that is missing ends it, and the client judges.

do_check() {
    IFS= read -r target || exit 1
    # What it sets is not for the end of the program, which cleans up where "site" said that the state is.
    (check)
}

check() {
    parent=${target%/*} name=${target##*/} nonce=check
    [ "$parent" ] || parent=/
    find_root
    check_tools
    parent_facts
    check_target
    state_facts
    check_live
    check_containers
}

check_tools() {
    system_facts tar find xargs stat sha256sum dd mv ln df date mkdir rm rmdir cp chmod touch head tail tr wc sort id readlink cat sleep gzip
    fact tar "$(tar --version 2>&1 | head -n 1)"
    if command -v zstd >/dev/null 2>&1; then fact codec zstd; fi
    if counts_bytes; then fact awk yes; fi
    exchanging_tool
    fact exchange "$exchange"
}

check_target() {
    find_live
    if [ "$kind" = directory ] && mounted; then kind=mount; fi
    if [ "$kind" = none ] && [ -e "$target" ]; then kind='file'; fi
    fact kind "$kind"
    case $kind in
    link) fact link "$(readlink "$target")" ;;
    directory) about target "$target" ;;
    esac
}

check_live() {
    [ "$kind" = link ] || return 0
    fact live "$live"
    directory=$root/releases/$live
    [ -d "$directory" ] || return 0
    fact present yes
    record_facts "$live" live_
    if sealed "$live"; then fact sealed yes; fi
    shown=''
    for file in "$directory"/*.* "$directory"/*; do
        # Many a server answers with index.html for whatever it does not have.
        if [ -f "$file" ] && [ -s "$file" ]; then
            shown=$file
            [ "${file##*/}" = index.html ] || break
        fi
    done
    [ "$shown" ] || return 0
    fact file "${shown##*/}"
    fact file_hash "$(sha256sum <"$shown")"
}

check_containers() { # that docker runs, with what they mount, one JSON object a line
    command -v docker >/dev/null 2>&1 || return 0
    containers=$(bounded docker ps -q --no-trunc) || {
        fact docker failed
        raw_fact docker_said "$containers"
        return 0
    }
    fact docker answered
    [ "$containers" ] || return 0
    # shellcheck disable=SC2086
    raw_fact containers "$(bounded docker inspect --format '{"name":{{json .Name}},"mounts":{{json .Mounts}}}' $containers)"
}
