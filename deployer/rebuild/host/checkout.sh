# shellcheck shell=sh disable=SC2154,SC2015,SC2034
# The checkout at $path: what git says of it. What moves it stands in update.sh and restore.sh, the remote in remote.sh.

git_ready='' checkout_known_at=-100 files='' tab=$(printf '\t')

prepare_git() { # nothing that leads git elsewhere, and nothing that asks or waits
    [ ! "$git_ready" ] || return 0
    unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_NAMESPACE GIT_OBJECT_DIRECTORY GIT_ASKPASS SSH_ASKPASS
    unset GIT_TRACE GIT_TRACE_CURL GIT_TRACE_PACKET GIT_TRACE_SETUP GIT_TRACE2 GIT_CURL_VERBOSE
    GIT_TERMINAL_PROMPT=0 SSH_ASKPASS_REQUIRE=never GIT_PAGER=cat GIT_EDITOR=: GIT_SEQUENCE_EDITOR=: GIT_MERGE_AUTOEDIT=no
    # A line that carries nothing at all for so long is cut.
    GIT_HTTP_LOW_SPEED_LIMIT=${GIT_HTTP_LOW_SPEED_LIMIT:-1} GIT_HTTP_LOW_SPEED_TIME=${GIT_HTTP_LOW_SPEED_TIME:-40} GIT_OPTIONAL_LOCKS=0
    export GIT_TERMINAL_PROMPT SSH_ASKPASS_REQUIRE GIT_PAGER GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_MERGE_AUTOEDIT
    export GIT_HTTP_LOW_SPEED_LIMIT GIT_HTTP_LOW_SPEED_TIME GIT_OPTIONAL_LOCKS
    their_ssh=${GIT_SSH_COMMAND:-}
    git_ready=yes
}

in_tree() { (umask "$native_umask" && exec git -C "$tree" "$@" </dev/null 3>&-); }

is_hash() { # TEXT: true for a whole SHA-1 or SHA-256
    case $1 in '' | *[!0-9a-f]*) return 1 ;; esac
    [ ${#1} = 40 ] || [ ${#1} = 64 ]
}

listed() { # LINES: the first ten in one line
    list='' count=0
    while IFS= read -r line; do
        [ "$line" ] || continue
        count=$((count + 1))
        [ "$count" -gt 10 ] || list="$list${list:+, }$line"
    done <<EOF
$1
EOF
    [ "$count" -le 10 ] || list="$list and $((count - 10)) more"
}

said() { # TEXT: the last lines that say something, as one, and without the secret
    said=''
    while IFS= read -r line; do
        line=${line%"$(printf '\r')"}
        case $line in
        '' | 'hint: '* | 'Please make sure '* | 'and the repository exists.' | Aborting) ;;
        *) said="$said${said:+; }$line" ;;
        esac
    done <<EOF
$(printf '%s\n' "$1" | tail -n 6)
EOF
    [ "${secret:-}" ] || return 0
    while case $said in *"$secret"*) ;; *) false ;; esac do
        said="${said%%"$secret"*}***${said#*"$secret"}"
    done
}

plain_url() { # URL: in $plain, without a password
    plain=$1
    case $1 in
    http://*@* | https://*@*)
        place=${1#*://}
        case ${place%%/*} in *@*) plain=${1%%://*}://${place#*@} ;; esac
        ;;
    esac
}

take_apart() { # URL: $server (empty: this machine) and $place, whatever form it has
    case $1 in
    file://*) server='' place=${1#file://} ;;
    *://*)
        place=${1#*://}
        server=${place%%/*} place=/${place#*/}
        server=${server##*@}
        ;;
    /* | .*) server='' place=$1 ;;
    *:*) server=${1%%:*} place=/${1#*:} && server=${server##*@} ;;
    *) server='' place=$1 ;;
    esac
    server=${server%%:*} place=${place%/}
    place=${place%.git}
}

same_repository() { # URL URL: a server's second name, as ssh's configuration gives it, has no dot or continues the first
    [ "$1" != "$2" ] || return 0
    take_apart "$(printf %s "$1" | tr '[:upper:]' '[:lower:]')"
    its_server=$server its_place=$place
    take_apart "$(printf %s "$2" | tr '[:upper:]' '[:lower:]')"
    [ "${its_place#/}" = "${place#/}" ] || return 1
    [ "$its_server" != "$server" ] || return 0
    [ "$its_server" ] && [ "$server" ] || return 1
    case $its_server in "$server"*) return 0 ;; *.*) ;; *) return 0 ;; esac
    case $server in "$its_server"*) ;; *.*) return 1 ;; esac
}

is_empty() { # DIRECTORY, or nothing at all
    [ -d "$1" ] || return 0
    for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        [ ! -e "$entry" ] && [ ! -L "$entry" ] || return 1
    done
}

find_checkout() { # sets $checkout (yes, no, absent), why not, and all that git knows about it
    checkout=absent why_not='' head='' branch='' upstream='' remote='' remote_url='' shallow='' git_directory=''
    unfinished='' changes='' changed_names='' own_ssh='' lfs_filter=''
    tree=$path
    ! is_empty "$path" || return 0
    checkout=no
    answer=$(in_tree rev-parse --show-toplevel --absolute-git-dir --is-shallow-repository 2>&1) || {
        said "$(printf '%s\n' "$answer" | head -n 1)"
        why_not=$said
        return 0
    }
    {
        IFS= read -r top
        IFS= read -r git_directory
        IFS= read -r shallow
    } <<EOF
$answer
EOF
    if [ "$top" != "$path" ]; then
        why_not="it is a directory in the checkout $top"
        return 0
    fi
    checkout=yes
    [ "$shallow" = true ] || shallow=''
    read_status
    read_unfinished
    read_settings
}

read_status() { # head, branch, and the changes to files that git knows; submodules that are only behind are no changes
    while IFS= read -r line; do
        case $line in
        '# branch.oid (initial)') ;;
        '# branch.oid '*) head=${line#'# branch.oid '} ;;
        '# branch.head (detached)') ;;
        '# branch.head '*) branch=${line#'# branch.head '} ;;
        '1 .M SC..'* | '1 .M SC.U'* | '1 .M S..U'*) ;;
        '1 '*) one_change "${line#* }" "${line#* * * * * * * * }" ;;
        '2 '*) one_change "${line#* }" "${line#* * * * * * * * * }" ;;
        'u '*) one_change "${line#* }" "${line#* * * * * * * * * * }" ;;
        esac
    done <<EOF
$(in_tree -c core.quotePath=false status --porcelain=v2 --branch --no-ahead-behind --untracked-files=no --ignore-submodules=untracked)
EOF
}

one_change() { # FIELDS NAME
    state_letters=${1%% *} entry=${2%%"$tab"*}
    case $state_letters in
    .?) state_letters=" ${state_letters#.}" ;;
    ?.) state_letters="${state_letters%.} " ;;
    esac
    changes="$changes$state_letters $entry$newline" changed_names="$changed_names$entry$newline"
}

read_unfinished() {
    if [ -d "$git_directory/rebase-merge" ]; then
        unfinished=rebase note=$git_directory/rebase-merge
    elif [ -d "$git_directory/rebase-apply" ]; then
        unfinished=rebase note=$git_directory/rebase-apply
        [ ! -e "$note/applying" ] || unfinished=am
    elif [ -e "$git_directory/MERGE_HEAD" ]; then
        unfinished=merge
    elif [ -e "$git_directory/CHERRY_PICK_HEAD" ]; then
        unfinished=cherry-pick
    elif [ -e "$git_directory/REVERT_HEAD" ]; then
        unfinished=revert
    fi
    [ "$unfinished" = rebase ] || return 0
    # Its branch is where it was; what the rebase has made so far are copies.
    first_line "$note/head-name"
    case $line in refs/heads/*) branch=${line#refs/heads/} ;; esac
    first_line "$note/orig-head"
    ! is_hash "$line" || head=$line
}

read_settings() {
    settings=$(in_tree config --get-regexp '^(remote\..*\.url|branch\..*\.(remote|merge)|filter\.lfs\.(process|smudge)|core\.sshcommand)$')
    first_remote='' origin=''
    while IFS=' ' read -r key value; do
        case $key in
        "branch.$branch.remote") remote=$value ;;
        "branch.$branch.merge") upstream=$value ;;
        remote.origin.url) origin=yes ;;
        remote.*.url)
            key=${key#remote.}
            first_remote=${first_remote:-${key%.url}}
            ;;
        filter.lfs.*) lfs_filter=yes ;;
        core.sshcommand) own_ssh=yes ;;
        esac
    done <<EOF
$settings
EOF
    [ "$remote" != . ] || remote='' upstream=''
    [ "$remote" ] || { [ "$origin" ] && remote=origin || remote=$first_remote; }
    while IFS=' ' read -r key value; do
        [ "$key" != "remote.$remote.url" ] || remote_url=${remote_url:-$value}
    done <<EOF
$settings
EOF
}

uses_lfs() { # COMMIT
    in_tree grep -q -e 'filter=lfs' "$1" -- ':(glob)**/.gitattributes' 2>/dev/null
}

uses_submodules() { in_tree cat-file -e "$1:.gitmodules" 2>/dev/null; }

know_checkout() { # as the facts have told it, if that was just now: the lock is ours
    uptime
    [ $((up - checkout_known_at)) -le 1 ] || find_checkout
}

checkout_facts() {
    prepare_git
    find_checkout
    uptime
    checkout_known_at=$up
    fact checkout "$checkout"
    [ -z "$why_not" ] || fact checkout_reason "$why_not"
    [ "$checkout" = yes ] || return 0
    fact head "$head"
    fact branch "$branch"
    plain_url "$remote_url"
    fact remote "$plain"
    fact interrupted "$unfinished"
    fact shallow "${shallow:+yes}"
    # A rebase that stopped has changed files by itself: that keeps no deploy from going on.
    [ "$unfinished" != rebase ] || changes=''
    raw_fact changed "$(printf %s "$changes" | head -n 50)"
    if [ -f "$path/.gitmodules" ]; then fact submodules yes; else fact submodules ''; fi
    lfs=''
    if [ "$head" ] && uses_lfs "$head"; then
        lfs=yes
        command -v git-lfs >/dev/null 2>&1 || lfs=missing
    fi
    fact lfs "$lfs"
}

fit_checkout() { # or the deploy ends here
    case $checkout in
    no) fail failed "$path on the host is no git checkout ($why_not): correct rebuild.path, or move it away so that rebuild.repository is cloned there" ;;
    absent)
        [ "$repository" ] || fail failed "there is no checkout at $path on the host, and no rebuild.repository to clone: configure one of them"
        case $repository in
        -* | *::* | http://*@* | https://*@*) fail invalid "rebuild.repository is no address that can be cloned: give https://SERVER/PATH or git@SERVER:PATH, without a password" ;;
        esac
        ;;
    yes)
        [ "$remote_url" ] || fail failed "the checkout $path on the host has no remote: git -C '$path' remote add origin ADDRESS"
        plain_url "$remote_url"
        [ -z "$repository" ] || same_repository "$remote_url" "$repository" ||
            fail failed "$path on the host is a checkout of $plain, not of rebuild.repository $repository: correct one of them, or git -C '$path' remote set-url $remote '$repository'"
        ;;
    esac
    shown=$repository
    [ "$checkout" = absent ] || shown=$plain
}
