# shellcheck shell=sh
# The end, whatever it is; then the loop that takes requests.

ticking=yes recovering='' hopeless='' stayed=''

finish() {
    trap '' TERM INT HUP
    [ -z "$claim" ] || rm -rf "$claim"
    # A deposed owner finds its directory gone and leaves everything to the one that deposed it.
    [ "$held" ] && [ -d "$work" ] || return 0
    stop_group "$work/group"
    if [ ! "$hopeless" ] && recover "$failure"; then
        find_live
        previous=$live
        journal "${verb:-end}" failed '' ",\"why\":\"$failure\""
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
        ;;
    *) fail failed "the host's program does not know the request \"$verb\"" ;;
    esac
    printf '%s . %s\n' "$mark" "$verb" >&3
done
