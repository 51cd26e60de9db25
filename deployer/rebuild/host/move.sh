# shellcheck shell=sh disable=SC2154,SC2015,SC2034
# Moving the checkout to a commit that is there: what is in the way, a rebase that was left, commits of the host's own.

keep_changes() { # RELEASE: as a commit beside all branches, in $kept; of the last ten times
    kept=''
    signed
    cp "$git_directory/index" "$work/index" 2>/dev/null || return 0
    kept=$(changes_commit) && in_tree update-ref "refs/deployer/changes/$1" "$kept" || kept=''
    in_tree for-each-ref --sort=-refname --format='%(refname)' refs/deployer/changes | sed 1,10d | while IFS= read -r entry; do
        in_tree update-ref -d "$entry"
    done
}

changes_commit() { # by an index of its own
    GIT_INDEX_FILE=$work/index
    export GIT_INDEX_FILE
    in_tree add --update 2>/dev/null
    in_tree commit-tree -p HEAD -m 'deployer: changes that were found in the checkout' "$(in_tree write-tree)"
}

leave_rebase() { # one that stopped before our time: what was done in it is kept, its branch is where it was
    clear_way HEAD "$head" || {
        in_the_way
        fail failed "files that git does not know are in the way of ending the rebase in $path on the host: $list; move them away, then run again"
    }
    keep_changes "$release"
    note_checkout rebasing
    in_tree rebase --abort >/dev/null 2>&1 || in_tree rebase --quit 2>/dev/null || rm -rf "$note"
    [ -z "$branch" ] || [ "$(in_tree symbolic-ref --quiet HEAD)" = "refs/heads/$branch" ] || {
        in_tree read-tree --reset -u "$head" && in_tree symbolic-ref HEAD "refs/heads/$branch"
    }
    in_tree reset --quiet --hard "$head" || cannot "end the rebase in $path on the host"
    note_checkout fetching
}

find_own_commits() { # sets $own: the newest of those that would be on no branch any more, and are on this host alone
    tips=$before
    # A branch that is left stays as it is.
    [ "$branch" ] && [ "$target" != "refs/heads/$branch" ] || tips="$head $before"
    own=''
    [ "${tips# }" ] || return 0
    # shellcheck disable=SC2086
    own=$(in_tree rev-list $tips --not "$commit" --remotes --glob='refs/deployer/releases/*' $known) || own=$tips
    [ "$own" ] || return 0
    # What was once the remote's is no loss, though a force-push took it away since.
    # shellcheck disable=SC2086
    own=$({
        printf '%s\n' $tips "^$commit"
        in_tree rev-list --walk-reflogs --remotes 2>/dev/null | sed 's/^/^/'
        in_tree for-each-ref --format='^%(objectname)' refs/remotes refs/deployer/releases
        [ -z "$known" ] || printf '^%s\n' "$known"
    } | git -C "$tree" rev-list --ignore-missing --topo-order --stdin 3>&-) || own=$tips
}

name_own_commits() {
    # shellcheck disable=SC2046
    listed "$(in_tree show --no-patch --no-color --format='%h %s' $(printf '%s\n' "$own" | head -n 100) --)"
    fail failed "the checkout $path on the host has commits that are nowhere else: $list; push them, carry them over with rebuild.update = \"rebase\", or drop them with git -C '$path' reset --hard HEAD~$(printf '%s\n' "$own" | grep -c .)"
}

clear_way() { # FROM TO: true unless files that git does not know, ignored ones too, have names that only TO has
    # shellcheck disable=SC2016
    in_tree diff-tree -r -z --no-renames --diff-filter=A --name-only "$1" "$2" | (
        cd "$tree" && xargs -0 sh -c 'for name; do
            [ -d "$name" ] && [ ! -L "$name" ] || { [ ! -e "$name" ] && [ ! -L "$name" ]; } || printf "\t%s\n" "$name"
        done' sh
    ) >"$work/errors" 2>/dev/null
    [ ! -s "$work/errors" ]
}

in_the_way() { # sets $list
    listed "$(sed -n "s/^$tab//p" "$work/errors")"
}

alone_in_tree() { # GIT'S ARGUMENTS...: in a group that is noted, so that whoever heals can end it; errors go to a file
    rm -f "$work/ended"
    grouped git -C "$tree" "$@" </dev/null >/dev/null 2>"$work/errors" 3>&-
    rm -f "$work/group"
    # A full disk takes no status.
    first_line "$work/ended"
    return "${line:-1}"
}

checked_out() { # ARGUMENTS...: of git checkout
    alone_in_tree checkout --quiet --no-overwrite-ignore "$@"
}

spare_room() { # COMMIT: so that the way back has some on a disk that is full by then, for git writes its index anew
    [ -f "$git_directory/index" ] || return 0
    # A line of this list is about as long as an entry of the index.
    in_tree ls-tree -r "$1" >"$work/spare" && cat "$work/spare" "$work/spare" "$git_directory/index" >"$work/more" ||
        cannot "write to $state on the host"
}

move_head() { # COMMIT [BRANCH]
    spare_room "$1"
    renew
    if [ "${2:-}" ]; then
        working checked_out -B "${2#refs/heads/}" "$1" --
    else
        working checked_out --detach "$1" --
    fi && return
    # A hook of the host's own has the last word on git's status.
    [ "$(in_tree rev-parse --quiet --verify HEAD)" = "$1" ] && [ ! -s "$git_directory/index.lock" ] && {
        said "$(cat "$work/errors")"
        fact warning "the hook post-checkout in $path on the host failed ($said)"
        return
    }
    in_the_way
    [ -z "$list" ] || {
        # git looks at everything before it moves anything.
        note_checkout fetching
        fail failed "files that git does not know are in the way of the new commit in $path on the host: $list; move them away, or remove them, then run again"
    }
    said "$(cat "$work/errors")"
    ours
    ! full || fail failed "the disk of $parent on the host $lacking"
    fail failed "git cannot check $1 out in $path on the host: $said"
}

go_to() { # COMMIT
    if [ "$head" = "$1" ] && [ "$target" = "${branch:+refs/heads/$branch}" ]; then return 0; fi
    keep_head
    # Where something is in the way git will say what, and move nothing: then nothing may be taken back either.
    [ "$head" ] && ! clear_way "$head" "$1" || note_checkout moving
    move_head "$1" "$target"
}

keep_head() {
    [ -z "${before:-$head}" ] || in_tree update-ref "refs/deployer/heads/$release" "${before:-$head}" || cannot "write to $git_directory on the host"
}

rebase_own() { # onto the commit, beside the branch, which moves when all has gone well
    signed
    keep_head
    since=$(printf '%s\n' "$own" | tail -n 1)^
    # When no force-push is between, git itself finds out what is there already.
    [ "$(in_tree rev-list --count "$commit..$before")" != "$(printf '%s\n' "$own" | grep -c .)" ] || since=$commit
    ! clear_way "$head" "$commit" || note_checkout moving
    move_head "$commit"
    note_checkout rebasing
    working rebased || {
        said "$(cat "$work/errors")"
        listed "$(in_tree -c core.quotePath=false diff --name-only --diff-filter=U)"
        [ "$list" ] || fail failed "git cannot rebase the commits of $path on the host: $said"
        fail failed "the commits of $path on the host do not fit onto $commit: conflicts in $list; rebase them there by hand, or push them, then run again"
    }
    new_head=$(in_tree rev-parse HEAD)
    [ -z "$target" ] || checked_out -B "${target#refs/heads/}" "$new_head" -- ||
        [ "$(in_tree symbolic-ref --quiet HEAD)" = "$target" ] || cannot "move the branch in $path on the host"
}

rebased() {
    alone_in_tree -c rebase.updateRefs=false -c rebase.autoStash=false rebase --quiet --no-gpg-sign --onto "$commit" "$since" "$before"
}

end_tree() {
    if uses_submodules "$new_head"; then
        in_tree submodule --quiet sync --recursive 2>/dev/null
        attended 'git submodule update' submodule update --init --recursive ||
            fail failed "git could not bring the submodules of $path on the host to what $new_head wants: see what it printed"
    fi
    [ -z "$lfs" ] || working in_tree lfs checkout >/dev/null 2>"$work/errors" || {
        said "$(cat "$work/errors")"
        fail failed "git lfs could not put its files into $path on the host: $said"
    }
}

follow() { # the remote's branch, where the new one follows none
    case $target,$refname in
    "$refname",refs/heads/*)
        [ "$upstream" = "$refname" ] && [ "$target" = "refs/heads/$branch" ] || [ "$(in_tree config "branch.${target#refs/heads/}.merge")" ] || {
            in_tree config "branch.${target#refs/heads/}.remote" "$remote"
            in_tree config "branch.${target#refs/heads/}.merge" "$refname"
        }
        ;;
    esac
}
