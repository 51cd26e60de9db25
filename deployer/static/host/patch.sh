# shellcheck shell=sh
# Rebuilding files that changed a little: out of the live release's file and what is new in it.

counts_bytes() { # true when there is an awk, and it does not count characters (an e with an accent has two bytes)
    [ "$(printf '\303\2511\001' | awk 'BEGIN { RS = "\001"; ORS = "" } { print substr($0, 2) }')" = "$(printf '\2511')" ]
} 2>/dev/null

do_signatures() { # of the live release, for the client to find out what of its files is the same
    ! counts_bytes || send_file signatures "$state/records/$live/signatures"
}

do_patch() { # COUNT files; those that are not right are removed again, and sent whole behind this
    IFS= read -r codec && IFS= read -r stamp && IFS= read -r count || exit 1
    link_old
    rm -f "$work/complete" "$work/patched"
    unpack "$codec" | rebuild
    [ -f "$work/complete" ] || cannot 'unpack the upload on the host (the connection was cut, or the host said why)'
    uptime
    renewed=$up
    working judge || cannot 'rebuild files on the host'
}

# Reads records that end with \001: the list for sha256sum, and then of each file the path, "OFFSET LENGTH" of each byte
# range to take from the live file, and the texts before, between and behind the ranges.
rebuild() (
    cd "$work" && awk '
        BEGIN { RS = "\001"; ORS = "" }
        NR == 1 { print > "patched"; close("patched"); next }
        {
            from = "old/" $0; to = "new/" $0; old = ""
            # What stands there is a link to the file of the live release, which must not be written through.
            if ((getline seen < to) >= 0) exit 1
            getline old < from
            close(from)
            if ((getline ranges) <= 0 || (getline text) <= 0) exit 1
            print text > to
            count = split(ranges, at, " ")
            for (i = 1; i < count; i += 2) {
                if ((getline text) <= 0) exit 1
                print substr(old, at[i], at[i + 1]) text > to
            }
            close(to)
        }'
    # To the end of what comes, also when awk gives up: the next request stands behind it.
    cat >/dev/null
)

judge() { # not by what awk says of itself: BusyBox's is content with a full disk
    (cd "$work" && sha256sum -c patched >verdicts 2>/dev/null)
    if [ "$(lines patched)" != "$count" ] || [ "$(lines verdicts)" != "$count" ]; then
        ! full || return
        fact unpatched_all yes
        return
    fi
    # Nothing else is touched: it could be a link to what is live. The list is there for the case that nothing is right.
    (cd "$work" && awk '/: OK$/ { print substr($0, 1, length($0) - 4) }' verdicts | tr '\n' '\000' |
        xargs -0 touch -t "$stamp" patched) || return
    wrong=$(awk '!/: OK$/ { sub(/: [^:]*$/, ""); print }' "$work/verdicts")
    if [ "$wrong" ]; then
        ! full || return
        raw_fact unpatched "$wrong"
    fi
}

lines() { echo $(($(wc -l <"$work/$1"))); } 2>/dev/null

keep_signatures() { # of the new release: its own, or those of the live one and more
    [ -f "$work/record/signatures.more" ] || return 0
    [ ! -f "$state/records/$live/signatures" ] || cat "$state/records/$live/signatures" >"$work/record/signatures" || return
    cat "$work/record/signatures.more" >>"$work/record/signatures" && rm "$work/record/signatures.more"
}
