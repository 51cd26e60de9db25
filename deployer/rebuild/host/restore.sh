# shellcheck shell=sh disable=SC2154,SC2015,SC2034
# The checkout's way back, and the commits that are kept.

restore_checkout() { # as it was; false when that cannot be, and standard error says why
    [ -f "$state/undo/checkout" ] || return 0
    {
        IFS= read -r stage && IFS= read -r head && IFS= read -r branch && IFS= read -r target && IFS= read -r before &&
            IFS= read -r commit && IFS= read -r their_release && IFS= read -r stashed
    } <"$state/undo/checkout"
    prepare_git
    return_credential
    tree=$path
    if ! git_directory=$(in_tree rev-parse --absolute-git-dir 2>/dev/null) || { [ "$head" ] && ! in_tree cat-file -e "$head^{commit}" 2>/dev/null; }; then
        fact warning "the checkout $path was removed or made anew meanwhile, so it was not brought back to $head"
        rm -f "$state/undo/checkout"
        return 0
    fi
    end_git || return 1
    if [ "$stage" != fetching ] && [ "$head" ]; then go_back_to "$stage" || return 1; fi
    take_changes_back
    rm -f "$state/undo/checkout"
}

unrestored() { printf '%s\n' "$1" >&2; } # TEXT: the client repeats what came last

end_git() { # nobody else worked there when we began, so the locks of a killed git are ours
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        locks=$(git_locks)
        # Without a lock it is somebody who only reads.
        [ "$locks" ] || return 0
        git_at_work || {
            printf '%s\n' "$locks" | while IFS= read -r line; do rm -f "$line"; done
            return 0
        }
        sleep 1
    done
    unrestored "git is still at work in $path on the host"
    return 1
}

go_back_to() { # STAGE
    rm -f "$work/spare" "$work/more"
    now=$(in_tree rev-parse --quiet --verify HEAD)
    case $1,$now in
    moved,"$commit" | moving,"$commit") step_back || return 1 ;;
    moved,"$head") ;; # a way back that was killed had got so far
    moving,"$head" | returning,"$head" | returning,"$commit")
        # The index first: so git knows the files that it had begun to put there, and takes them away itself.
        in_tree read-tree --reset "$commit" && put_files_back || return 1
        ;;
    rebasing,*)
        in_tree rebase --quit 2>/dev/null || rm -rf "$git_directory/rebase-merge" "$git_directory/rebase-apply"
        put_files_back && in_tree update-ref --no-deref HEAD "$head" || return 1
        ;;
    *)
        fact warning "somebody else moved the checkout $path to $now meanwhile, so it was not brought back to $head"
        return 0
        ;;
    esac
    put_refs_back && local_submodules "$head" || {
        unrestored "git cannot bring the branch or the submodules of $path on the host back"
        return 1
    }
}

put_files_back() {
    in_tree read-tree --reset -u "$head" || {
        unrestored "git cannot put the files of $head back in $path on the host"
        return 1
    }
}

step_back() { # from a whole checkout to the one before it; what was built there since is nobody's loss
    find_changes_here
    [ ! "$changes" ] || {
        keep_changes "$their_release"
        [ -z "$kept" ] || fact warning "files of the checkout $path were changed during the deploy; see git -C '$path' show $kept"
        in_tree reset --quiet --hard
    }
    clear_way "$commit" "$head" || {
        # Nothing is moved by this one: it says what is in the way.
        checked_out --detach "$head" -- || put_aside
    }
    sed '1s/.*/returning/' "$state/undo/checkout" >"$work/checkout" && mv -f "$work/checkout" "$state/undo/checkout"
    checked_out --detach "$head" -- && return
    [ "$(in_tree rev-parse HEAD)" != "$head" ] || return 0
    said "$(cat "$work/errors")"
    unrestored "git cannot check $head out in $path on the host: $said"
    return 1
}

find_changes_here() {
    head_was=$head
    find_changes
    head=$head_was
}

put_aside() { # what the build made under names that the commit before has, too
    in_the_way
    [ "$list" ] || return 0
    aside=$root/aside/$their_release
    sed -n "s/^$tab//p" "$work/errors" | while IFS= read -r entry; do
        mkdir -p "$aside/$(dirname "$entry")" && mv "$path/$entry" "$aside/$entry"
    done
    fact warning "files that git does not know were in the way of the commit before, and are now in $aside: $list"
}

put_refs_back() {
    if [ "$target" ] && [ "$before" ]; then
        in_tree update-ref -m "deployer: undo $their_release" "$target" "$before"
    elif [ "$target" ]; then
        in_tree update-ref -d "$target"
    fi
    if [ "$branch" ]; then
        in_tree symbolic-ref -m "deployer: undo $their_release" HEAD "refs/heads/$branch"
    else
        in_tree update-ref --no-deref -m "deployer: undo $their_release" HEAD "$head"
    fi
}

take_changes_back() { # those that --stash put away
    [ "$stashed" ] || return 0
    find_changes_here
    if [ ! "$changes" ]; then
        in_tree stash apply --quiet --index "$stashed" >/dev/null 2>&1 || {
            fact warning "the changes that were put away in $path could not be brought back: git -C '$path' stash apply --index $stashed"
            return 0
        }
    fi
    [ "$(in_tree rev-parse --quiet --verify 'stash@{0}')" != "$stashed" ] || in_tree stash drop --quiet 'stash@{0}'
}

# --- what is kept ---------------------------------------------------------------------------------------------------

keep_commit() { # RELEASE COMMIT
    prepare_git
    git -C "$path" update-ref "refs/deployer/releases/$1" "$2" </dev/null 3>&-
}

forget_commit() { # RELEASE
    prepare_git
    for entry in releases heads; do
        git -C "$path" update-ref -d "refs/deployer/$entry/$1" </dev/null 2>/dev/null 3>&- || :
    done
}
