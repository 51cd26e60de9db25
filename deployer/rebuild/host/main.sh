# shellcheck shell=sh
# The end, whatever it is; then the loop that takes requests.

ticking=yes recovering='' hopeless='' stayed=''

step_name() { # as people know what the request does
    case ${verb:-end} in
    update) printf fetch ;;
    to_commit) printf checkout ;;
    use_images) printf images ;;
    command) printf '%s' "$what" ;;
    *) printf '%s' "${verb:-end}" ;;
    esac
}

journal_step() { # those that change something, and tell nobody of it themselves
    case $verb in
    update | to_commit | use_images | command | start | cut | retire) journal "$(step_name)" 'done' "$release" ;;
    esac
}

finish() {
    trap '' TERM INT HUP
    [ -z "$claim" ] || rm -rf "$claim"
    # A deposed owner finds its directory gone and leaves everything to the one that deposed it.
    [ "$held" ] && [ -d "$work" ] || return 0
    stop_group "$work/group"
    if [ ! "$hopeless" ] && recover "$failure"; then
        find_live
        previous=$live
        journal "$(step_name)" failed '' ",\"why\":\"$failure\""
    fi
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
    site | check | lock | facts | conclude | resolve | begin | update | to_commit | command | images | use_images | render | traefik | adopt | proxy | start | cut | up | accept | retire | revert | log | finish | inspect | show_log | break)
        renew
        "do_$verb"
        journal_step
        ;;
    *) fail failed "the host's program does not know the request \"$verb\"" ;;
    esac
    printf '%s . %s\n' "$mark" "$verb" >&3
done
