# shellcheck shell=sh disable=SC2154,SC2015,SC2034
# The checkout's way to a commit. Everything is noted before it is done, for restore_checkout.

do_update() { # RELEASE COMMIT REFNAME MODE STASH REPOSITORY and a credential
    IFS= read -r release && IFS= read -r commit && IFS= read -r refname && IFS= read -r mode &&
        IFS= read -r stash && IFS= read -r repository || exit 1
    take_credential
    prepare_git
    is_hash "$commit" || fail invalid "\"$commit\" is no commit: give its whole hash"
    [ -z "$refname" ] || git check-ref-format "$refname" || fail invalid "\"$refname\" is no branch or tag: correct the ref"
    know_checkout
    fit_checkout
    files=$work stashed='' new_head=$commit lfs=''
    lend_credential "$work"
    if [ "$checkout" = absent ]; then clone_checkout; else update_checkout; fi
    return_credential
    keep_commit "$release" "$new_head" || cannot "write to $git_directory on the host"
    fact head "$new_head"
    fact stashed "$stashed"
    [ "$head" ] || return 0
    fact behind "$(in_tree rev-list --count "$head..$new_head")"
    raw_fact commits "$(in_tree log --oneline --no-decorate --no-color --max-count=100 "$head..$new_head")"
}

attended() { # WHAT GIT'S ARGUMENTS...: with the remote, its output sent to the client; true unless git itself failed
    what=$1
    shift
    remotely attend "$FETCH_SECONDS" "$@"
    result=$?
    case $result in
    97) bad_key ;;
    124) fail failed "$what ran for longer than $FETCH_SECONDS s on the host, and was ended" ;;
    125) exit 1 ;;
    esac
    return "$result"
}

update_checkout() {
    find_target
    stop_at_changes
    wait_for_git
    note_checkout fetching
    put_changes_away
    fetch_commit
    prepare_lfs
    find_own_commits
    [ "$mode" = rebase ] || [ -z "$own" ] || name_own_commits
    if [ "$unfinished" ]; then leave_rebase; fi
    if [ "$own" ]; then rebase_own; else go_to "$commit"; fi
    end_tree
    follow
    note_checkout moved
}

find_target() { # sets $target, the branch that moves (empty: none), and $before, where it is
    target=${branch:+refs/heads/$branch} before=$head
    case $refname in
    refs/heads/*)
        # The branch that follows it is checked out under a name of its own.
        [ "$branch" ] && [ "$upstream" = "$refname" ] || {
            target=$refname
            [ "$target" = "refs/heads/$branch" ] || before=$(in_tree rev-parse --quiet --verify "$target^{commit}")
        }
        ;;
    esac
}

stop_at_changes() {
    case $unfinished in
    rebase) changes='' ;;
    am | merge | cherry-pick | revert) fail failed "a git $unfinished has begun in $path on the host: finish it there, or git -C '$path' $unfinished --abort" ;;
    esac
    [ "$changes" ] && [ ! "$stash" ] || return 0
    listed "$changed_names"
    fail failed "files of the checkout $path on the host were changed there: $list; commit and push them, undo them with git checkout, or put them away with --stash"
}

signed() { # who commits, where the host's git does not know
    in_tree var GIT_COMMITTER_IDENT >/dev/null 2>&1 || {
        GIT_AUTHOR_NAME=deployer GIT_AUTHOR_EMAIL=deployer@localhost GIT_COMMITTER_NAME=deployer GIT_COMMITTER_EMAIL=deployer@localhost
        export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
    }
}

put_changes_away() { # noted before they go
    [ "$changes" ] || return 0
    signed
    stashed=$(in_tree stash create "deployer: before $release") && [ "$stashed" ] &&
        in_tree stash store --quiet --message "deployer: before $release" "$stashed" || stashed=''
    [ "$stashed" ] || fail failed "git cannot put the changes in $path on the host away: see git -C '$path' status"
    note_checkout fetching
    in_tree reset --quiet --hard
    find_changes
    [ ! "$changes" ] || {
        listed "$changed_names"
        fail failed "changes in $path on the host cannot be put away: $list; changes within submodules have to be committed and pushed, or undone"
    }
}

find_changes() {
    head='' branch_was=$branch changes='' changed_names=''
    read_status
    branch=$branch_was
}

git_at_work() { # true while a process of git is in the checkout
    for entry in /proc/[0-9]*; do
        first_line "$entry/comm"
        case $line in git | git-*) ;; *) continue ;; esac
        case $(readlink "$entry/cwd" 2>/dev/null)/ in "$path"/*) return 0 ;; esac
    done
    return 1
}

git_locks() { # the lock files of git, one a line; those of our own refs are in nobody's way
    find "$git_directory" \( -path "$git_directory/objects" -o -path "$git_directory/lfs" -o -path "$git_directory/logs" \
        -o -path "$git_directory/refs/deployer" \) -prune -o -type f -name '*.lock' -print 2>/dev/null
}

wait_for_git() { # somebody else's, for some seconds
    for _ in 1 2 3 4 5 6; do
        locks=$(git_locks)
        [ "$locks" ] || return 0
        renew
        sleep 0.5 2>/dev/null || sleep 1
    done
    listed "$locks"
    fail failed "git is at work in $path on the host, or was killed there, so that it is locked: wait for it, or, when no git runs, rm -f $list"
}

note_checkout() { # STAGE: what restore_checkout needs to know
    printf '%s\n' "$1" "$head" "$branch" "$target" "$before" "$new_head" "$release" "$stashed" >"$work/checkout" &&
        mv -f "$work/checkout" "$state/undo/checkout" || cannot "write to $state on the host"
}

has_commit() { in_tree cat-file -e "$commit^{commit}" 2>/dev/null; }

fetch_commit() { # only what is wanted; the tags that belong to it come along
    tracking='' known=''
    case $refname in
    refs/heads/*) tracking=${refname#refs/heads/} ;;
    refs/tags/*) set -- "+$refname:$refname" ;;
    ?*) set -- "+$refname:refs/deployer/wanted" ;;
    *)
        case $upstream in refs/heads/*) tracking=${upstream#refs/heads/} ;; esac
        has_commit && set -- || set -- "+$commit:refs/deployer/wanted"
        ;;
    esac
    [ -z "$tracking" ] || {
        known=$(in_tree rev-parse --quiet --verify "refs/remotes/$remote/$tracking")
        set -- "+refs/heads/$tracking:refs/remotes/$remote/$tracking" "$@"
    }
    [ $# = 0 ] || attended 'git fetch' fetch --no-recurse-submodules "$remote" "$@" || {
        # Some servers give a commit only as a part of a branch.
        [ ! "$refname" ] && attended 'git fetch' fetch --no-recurse-submodules "$remote" ||
            fail failed "git could not fetch ${refname:-$commit} from $shown: see what it printed, and that the host, or the token or key given for it, may read it"
    }
    # The branch may have been moved away from it meanwhile.
    has_commit || {
        attended 'git fetch' fetch --no-recurse-submodules "$remote" "+$commit:refs/deployer/wanted"
        has_commit || fail invalid "$shown has no commit $commit: push it first, or correct the ref"
    }
}

prepare_lfs() { # its objects first: then the move needs no network
    lfs=''
    uses_lfs "$commit" || return 0
    lfs=yes
    command -v git-lfs >/dev/null 2>&1 ||
        fail failed "the repository keeps files in Git LFS, and the host has no git-lfs: sudo apt-get install git-lfs (or as its system does it), then run again"
    # Without its filters the files would be pointers, for whoever works in the checkout, too.
    [ "$lfs_filter" ] || in_tree lfs install --local --skip-repo >/dev/null || cannot "set git-lfs up in $path on the host"
    attended 'git lfs fetch' lfs fetch "$remote" "$commit" ||
        fail failed "git lfs could not fetch the files of $commit from $shown: see what it printed"
}

clone_checkout() { # whole, beside everything else, then moved into its place in one step
    tree=$work/clone remote=origin remote_url=$repository known='' target='' before='' upstream=''
    case $refname in refs/heads/*) target=$refname ;; esac
    git init --quiet "$tree" </dev/null 3>&- && in_tree remote add origin "$repository" || cannot "make a checkout in $work on the host"
    git_directory=$tree/.git
    fetch_commit
    prepare_lfs
    move_head "$commit" "$target"
    end_tree
    follow
    renew
    { [ ! -d "$path" ] || rmdir "$path"; } && mv "$tree" "$path" || cannot "move the new checkout to $path on the host"
    tree=$path git_directory=$path/.git
}

do_to_commit() { # COMMIT, without network
    IFS= read -r commit || exit 1
    to_commit "$commit"
    keep_commit "$release" "$commit" || cannot "write to $git_directory on the host"
    fact head "$commit"
}

to_commit() { # COMMIT, one that was deployed before: the branch that is checked out moves to it
    commit=$1 repository='' refname='' mode=exact stash='' stashed='' lfs='' known='' new_head=$1
    prepare_git
    find_checkout
    fit_checkout
    has_commit || fail failed "the checkout $path on the host has lost the commit $commit: deploy it anew with deployer run"
    find_target
    # On the way back nobody is to be stopped by what a build has written into files that git knows.
    stash=yes
    stop_at_changes
    wait_for_git
    note_checkout fetching
    put_changes_away
    fact stashed "$stashed"
    find_own_commits
    [ -z "$own" ] || name_own_commits
    if [ "$unfinished" ]; then leave_rebase; fi
    go_to "$commit"
    local_submodules "$commit" || fail failed "the submodules of $path on the host have lost what $commit wants: deploy it anew with deployer run"
    note_checkout moved
}

local_submodules() { # COMMIT: without network
    uses_submodules "$1" || return 0
    in_tree submodule --quiet update --init --recursive --no-fetch 2>/dev/null >&2
}
