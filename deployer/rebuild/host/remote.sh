# shellcheck shell=sh disable=SC2154,SC2015,SC2016,SC2089,SC2090,SC2034
# The remote: the credential for it, and which commit it means.

FETCH_SECONDS=1800 ASK_SECONDS=60
# Published at https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/githubs-ssh-key-fingerprints
GITHUB_KEYS='github.com,[ssh.github.com]:443 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
github.com,[ssh.github.com]:443 ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg='

take_credential() { # from the request's body: $kind (token, key, none), $host, $secret
    credential=$(
        while IFS= read -r size; do
            case $size in
            0) exit 0 ;;
            '' | *[!0-9]*) exit 1 ;;
            esac
            dd bs="$size" count=1 iflag=fullblock 2>/dev/null || exit 1
        done
        exit 1
    ) || exit 1
    kind=${credential%%"$newline"*} host=${credential#*"$newline"}
    secret=${host#*"$newline"} host=${host%%"$newline"*} credential=''
    kind=${kind#kind } host=${host#host }
    case $kind,$host in
    none,*) secret='' ;;
    token, | key, | *,*[!A-Za-z0-9.:_-]*) fail invalid 'the credential for the repository names no server' ;;
    esac
    # Only to this machine may a token travel without encryption.
    case $host in
    127.*[!0-9.:]*) web=https://$host ;;
    127.* | localhost | localhost:*) web=http://$host ;;
    *) web=https://$host ;;
    esac
}

SSH_WORDS='ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=10 -o ServerAliveCountMax=3 -o "GlobalKnownHostsFile=/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2 \"$DEPLOYER_GIT_FILES/known_hosts\""'
KEY_WORDS='-o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o IdentityAgent=SSH_AUTH_SOCK -o "IdentityFile=\"$DEPLOYER_GIT_IDENTITY\""'

lend_credential() { # DIRECTORY, for what is no secret: the key goes to an agent where there is one
    DEPLOYER_GIT_FILES=$1
    export DEPLOYER_GIT_FILES
    printf '%s\n' "$GITHUB_KEYS" >"$1/known_hosts" || cannot "write to $1 on the host"
    case $kind in
    key)
        agent=yes key=key.pub
        command -v ssh-agent >/dev/null 2>&1 && command -v ssh-add >/dev/null 2>&1 || {
            agent='' key=key
            (umask 077 && printf '%s\n' "$secret" >"$1/key") || cannot "write to $1 on the host"
        }
        # In the name of a key, and nowhere else, ssh takes % for the beginning of something to fill in.
        DEPLOYER_GIT_IDENTITY=$(printf '%s\n' "$1/$key" | sed 's/%/%%/g')
        GIT_SSH_COMMAND="$SSH_WORDS $KEY_WORDS"
        export GIT_SSH_COMMAND DEPLOYER_GIT_IDENTITY
        ;;
    *)
        [ "$their_ssh${GIT_SSH:-}$own_ssh" ] || {
            GIT_SSH_COMMAND=$SSH_WORDS
            export GIT_SSH_COMMAND
        }
        ;;
    esac
}

return_credential() {
    unset DEPLOYER_GIT_FILES DEPLOYER_GIT_SECRET DEPLOYER_GIT_IDENTITY GIT_SSH_COMMAND
    [ -z "$their_ssh" ] || {
        GIT_SSH_COMMAND=$their_ssh
        export GIT_SSH_COMMAND
    }
    [ -z "$files" ] || rm -f "$files/key"
}

TOKEN_HELPER='!f() { [ "$1" != get ] || printf "%s\n" username=x-access-token "password=$DEPLOYER_GIT_SECRET"; }; f'
# The agent ends with the command; were all of it killed, the agent finds that out within 10 s.
WITH_AGENT='printf "%s\n" "$DEPLOYER_GIT_SECRET" | ssh-add -q - 2>/dev/null && ssh-add -L >"$DEPLOYER_GIT_FILES/key.pub" || exit 97
unset DEPLOYER_GIT_SECRET
"$@"
status=$?
kill "$SSH_AGENT_PID"
exit "$status"'

remotely() { # RUNNER SECONDS GIT'S ARGUMENTS...: with the credential, and with nothing secret among the arguments
    runner=$1 seconds=$2
    shift 2
    case $kind in
    token)
        set -- -c "credential.$web.helper=" -c "credential.$web.helper=$TOKEN_HELPER" \
            -c "url.$web/.insteadOf=git@${host%%:*}:" -c "url.$web/.insteadOf=ssh://git@${host%%:*}/" "$@"
        ;;
    key) set -- -c "url.ssh://git@$host/.insteadOf=https://$host/" "$@" ;;
    esac
    # Hooks may be files of the repository, and see what git sees.
    set -- git -C "$tree" -c protocol.ext.allow=never -c core.askPass= -c core.hooksPath=/dev/null -c lfs.transfer.maxretries=2 "$@"
    [ "$kind" != key ] || [ ! "$agent" ] || set -- ssh-agent sh -c "$WITH_AGENT" sh "$@"
    DEPLOYER_GIT_SECRET=$secret
    export DEPLOYER_GIT_SECRET
    "$runner" "$seconds" "$@"
    set -- $?
    unset DEPLOYER_GIT_SECRET
    return "$1"
}

asking() { # SECONDS COMMAND...: what it says, in $answer
    command -v timeout >/dev/null 2>&1 && set -- timeout "$@" || shift
    answer=$("$@" </dev/null 2>&1 3>&-)
}

# --- which commit ---------------------------------------------------------------------------------------------------

do_resolve() { # REF REPOSITORY EARLY and a credential: asks the remote, and changes nothing
    IFS= read -r ref && IFS= read -r repository && IFS= read -r early || exit 1
    take_credential
    [ "$early" ] || {
        resolve
        return
    }
    # The client judges the facts first, and asks again when it has got no answer.
    (
        fail() {
            return_credential
            [ "$held" ] || [ ! "$claim" ] || rm -rf "$claim"
            exit 1
        }
        resolve
    ) || :
}

resolve() {
    prepare_git
    case $ref in
    -* | *"$newline"*) fail invalid "\"$ref\" is no branch, tag or commit: correct the ref" ;;
    '' | HEAD) ref='' ;;
    *) git check-ref-format "refs/heads/$ref" || fail invalid "\"$ref\" is no branch, tag or commit: correct the ref" ;;
    esac
    know_checkout
    fit_checkout
    files=$work
    # Without the lock there is no directory of ours: "finish" removes this one, too, when we are stopped.
    [ "$held" ] || { files=$(mktemp -d "${TMPDIR:-/tmp}/deployer.XXXXXX") && claim=$files; } ||
        fail failed 'cannot make a directory for temporary files on the host: see TMPDIR, the disk space and the permissions there'
    lend_credential "$files"
    ask_remote
    return_credential
    [ "$held" ] || { rm -rf "$files" && claim='' files=''; }
    [ "$found" ] || resolve_here
    fact commit "$found"
    fact refname "$refname"
}

ask_remote() { # sets $found and $refname
    from=$remote
    [ "$checkout" = yes ] || from=$repository tree=$parent
    case $ref in
    '')
        case $upstream in refs/heads/*) ;; *) upstream='' ;; esac
        if [ "$upstream" ]; then set -- "$from" "$upstream"; else
            [ "$branch" ] && set -- "$from" "refs/heads/$branch" HEAD || set -- "$from" HEAD
        fi
        ;;
    refs/*) set -- "$from" "$ref" "$ref^{}" ;;
    *) if is_hash "$ref"; then set -- --heads "$from"; else set -- "$from" "refs/heads/$ref" "refs/tags/$ref" "refs/tags/$ref^{}"; fi ;;
    esac
    working remotely asking "$ASK_SECONDS" ls-remote --symref "$@"
    case $result in
    0) ;;
    97) bad_key ;;
    124 | 137 | 143) fail failed "$shown did not answer within $ASK_SECONDS s: see the network of the host, then run again" ;;
    *)
        said "$answer"
        fail failed "cannot ask $shown for its commits ($said): see that the address is right and that the host, or the token or key given for it, may read it"
        ;;
    esac
    choose
}

bad_key() { fail invalid 'the key for the repository cannot be used: it must be a private key without a passphrase, as ssh-keygen writes it'; }

choose() { # out of the remote's answer: a branch before a tag, a tag's commit before the tag itself
    found='' refname='' rank=0 default=''
    while IFS="$tab" read -r value key; do
        case $value in 'ref: '*) [ "$key" != HEAD ] || default=${value#ref: } ;; esac
        is_hash "$value" || continue
        if is_hash "$ref"; then
            # Only its branch is asked for; the one that is checked out before all others.
            [ "$value" = "$ref" ] || continue
            [ "$key" = "$upstream" ] && prefer 3 "$ref" "$key" || prefer 1 "$ref" "$key"
            continue
        fi
        case $key in
        HEAD) [ "$ref" ] || prefer 1 "$value" "$default" ;;
        "refs/heads/${ref:-$branch}" | "$ref" | "$upstream") prefer 4 "$value" "$key" ;;
        "$ref^{}") prefer 5 "$value" "$ref" ;;
        "refs/tags/$ref^{}") prefer 3 "$value" "refs/tags/$ref" ;;
        "refs/tags/$ref") prefer 2 "$value" "$key" ;;
        esac
    done <<EOF
$answer
EOF
    ! is_hash "$ref" || found=$ref
}

prefer() { # RANK COMMIT REFNAME
    [ "$1" -gt "$rank" ] || return 0
    rank=$1 found=$2 refname=$3
}

resolve_here() { # what the remote does not name may be the beginning of a commit's hash; else it is nothing
    case $ref in
    *[!0-9a-f]* | '' | ? | ?? | ???) ;;
    *) [ "$checkout" != yes ] || found=$(in_tree rev-parse --quiet --verify "$ref^{commit}") ;;
    esac
    [ "$found" ] || [ "$ref" ] || fail failed "$shown has no branch ${branch:-to begin with}: push one, or give a ref"
    [ "$found" ] || fail invalid "$shown has no branch or tag \"$ref\": correct the ref, or push it first"
}
