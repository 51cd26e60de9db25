# shellcheck shell=sh
# The end, whatever it is; then the loop that takes requests.

finish() {
    trap '' TERM INT HUP
    undo
    # Whoever only looks leaves it to the others.
    [ -z "$sweeping" ] || rm -rf "$state"/gone.* 2>/dev/null
}

undo() { # a deposed owner finds its directory gone and leaves everything to the one that deposed it
    [ -z "$claim" ] || rm -rf "$claim"
    [ "$held" ] && [ -d "$work" ] || return 0
    find_live
    adopted=$previous
    heal_adoption
    if [ "$switched" ] || { [ "$built" ] && [ "$built" = "$live" ]; }; then
        go_back || return 0
        journal switch undone "$built" ",\"why\":\"$failure\""
        true >"$state/records/$built/failed"
    elif [ "$built" ] && [ ! -e "$state/records/$built/served" ]; then
        # To the others of several hosts nothing may have come yet: what is here is not sent a second time.
        mv "$root/releases/$built" "$work/new" 2>/dev/null
        remove_release "$built"
    fi
    working keep_arrived
    rm -f "$state/pending"
    journal "${verb:-end}" failed "$built" ",\"why\":\"$failure\""
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
    site | lock | facts | inventory | conclude | copy | discard | remove | forget | signatures | patch | contents | share | tree | switch | revert | confirm | log | inspect | show_log | check_release | check | break)
        renew
        "do_$verb"
        ;;
    *) fail failed "the host's program does not know the request \"$verb\"" ;;
    esac
    printf '%s . %s\n' "$mark" "$verb" >&3
done
