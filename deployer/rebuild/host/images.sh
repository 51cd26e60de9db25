# shellcheck shell=sh disable=SC2154,SC2015
# Images of releases: remembered, recorded, brought back, forgotten.
#
# Files of images have lines of two kinds: SERVICE IMAGE_ID REFERENCE in a record; IMAGE_ID REFERENCE in $state/undo/images,
# where the id - stands for a reference that did not exist.

list_references() { # SERVICE REFERENCE of what Compose would run, or, where it does not say, of what runs
    if [ "$rendered" ]; then
        printf '%s\n' "$rendered" | references
    else
        printf '%s\n' "$compose_containers" | awk '$5 == "running" && $7 !~ /^sha256:/ && !seen[$1]++ { print $1, $7 }'
    fi
}

image_of() { # REFERENCE or id: its image id, or nothing
    quiet_docker image inspect --format '{{.Id}}' "$1" 2>/dev/null
}

kept_tag() { # SERVICE RELEASE: the reference by which a kept release holds its image
    # Compose allows names that Docker does not allow in references: those go by a digest.
    case $1 in
    *[!a-z0-9-]* | -* | *-)
        its_digest=$(printf '%s' "$1" | sha256sum)
        printf 'deployer/%s/s-%.16s:%s\n' "$app" "$its_digest" "$2"
        ;;
    *) printf 'deployer/%s/%s:%s\n' "$app" "$1" "$2" ;;
    esac
}

remember() { # lines of IMAGE_ID REFERENCE on standard input are added to what undo brings back; the first one of a reference counts
    { cat "$state/undo/images" 2>/dev/null || true; cat; } | awk '$2 != "" && !seen[$2]++' >"$work/undo-images" &&
        mv -f "$work/undo-images" "$state/undo/images"
}

remember_images() { # before the build: what every reference stands for
    find_compose || return 0
    render || true
    uptime
    # What the facts told a moment ago is as good, while the lock is ours.
    if [ $((up - containers_seen_at)) -le 10 ]; then choose_containers; else find_containers; fi
    {
        # A live container's image comes first, whatever its reference stands for by now: that is what serves.
        printf '%s\n' "$compose_containers" | awk '$5 == "running" && $7 !~ /^sha256:|@/ { print $4, $7 }'
        list_references | while IFS=' ' read -r _ its_reference _; do
            case $its_reference in *@*) continue ;; esac
            its_image=$(image_of "$its_reference") || its_image='-'
            printf '%s %s\n' "$its_image" "$its_reference"
        done
    } | remember || cannot "write to $state on the host"
}

restore_images() { # undo: references stand for what they stood for, and the failed release's own tags are gone
    [ -f "$state/undo/images" ] || return 0
    [ ! -s "$state/undo/images" ] || quiet_docker version 2>/dev/null || return 1
    while IFS=' ' read -r its_image its_reference; do
        if [ "$its_image" = - ]; then
            quiet_docker image rm "$its_reference" 2>/dev/null
        else
            [ "$(image_of "$its_reference")" = "$its_image" ] || quiet_docker tag "$its_image" "$its_reference" 2>/dev/null
        fi
    done <"$state/undo/images"
    rm -f "$state/undo/images"
}

do_images() { # RELEASE, after the build, and which SERVICES will roll: its record, its tags, and facts
    IFS= read -r release && IFS= read -r rolling || exit 1
    note_images "$release"
    foresee
}

note_images() { # RELEASE
    true >"$work/images" || cannot "write to $state on the host"
    noted_hash=''
    if find_compose; then
        [ -z "$project" ] || ahead seen see_containers
        render || case $compose_version in 1.*) ;; *) fail failed "$compose_error" ;; esac
        # Without what Compose says, what runs says which references there are.
        [ "$rendered" ] || find_containers
        noted_hash=$rendered_hash
        raw_fact rendered "$(printf '%s\n' "$rendered" | outline)"
        fact rendered_hash "$rendered_hash"
        { [ ! "$previous" ] || tag_again "$previous"; } 3>&- &
        tagging=$!
        tag_images "$1"
        wait "$tagging"
        [ ! "$rendered" ] || find_containers
        image_facts
    elif [ "$compose_error" ]; then
        fail failed "$compose_error"
    fi
    mv -f "$work/images" "$state/records/$1/images" || cannot "write to $state on the host"
    { sed '/^hash /d' "$state/records/$1/facts" && printf 'hash %s\n' "$noted_hash"; } >"$work/facts" &&
        mv -f "$work/facts" "$state/records/$1/facts" || cannot "write to $state on the host"
}

tag_images() { # RELEASE
    while IFS=' ' read -r its_service its_reference _; do
        [ "$its_service" ] || continue
        # What is not there yet, `up` pulls.
        its_image=$(image_of "$its_reference") || continue
        printf '%s %s %s\n' "$its_service" "$its_image" "$its_reference" >>"$work/images" || cannot "write to $state on the host"
        its_tag=$(kept_tag "$its_service" "$1")
        printf -- '- %s\n' "$its_tag" | remember || cannot "write to $state on the host"
        renew
        quiet_docker tag "$its_image" "$its_tag" || fail failed "docker tag $its_image $its_tag failed on the host"
    done <<REFERENCES
$(list_references)
REFERENCES
}

image_facts() { # of $work/images: which of them no container runs yet
    while IFS=' ' read -r its_service its_image its_reference; do
        changed=' changed'
        case $newline$compose_containers in *"$newline$its_service "*" $its_image running "*) changed='' ;; esac
        fact image "$its_service $its_image $its_reference$changed"
    done <"$work/images"
}

live_image_facts() { # what the live release was recorded to run
    [ "$live" ] || return 0
    while IFS= read -r line; do
        fact live_image "$line"
    done 2>/dev/null <"$state/records/$live/images"
}

tag_again() { # RELEASE: docker image prune --all leaves an image that runs only one of its names, which the build may just have moved
    while IFS=' ' read -r its_service its_image _; do
        quiet_docker tag "$its_image" "$(kept_tag "$its_service" "$1")" 2>/dev/null
    done 2>/dev/null <"$state/records/$1/images"
    return 0
}

do_use_images() { # RELEASE: a kept one; facts say which services have lost their image
    IFS= read -r kept || exit 1
    use_images "$kept" || return 0
}

use_images() { # RELEASE: references stand for the images of a kept release; nothing changes when one is missing
    lost=''
    while IFS=' ' read -r its_service its_image its_reference; do
        [ "$(image_of "$its_image")" ] && continue
        lost=yes
        fact missing "$its_service"
    done 2>/dev/null <"$state/records/$1/images" || fact missing -
    [ -z "$lost" ] && [ -f "$state/records/$1/images" ] || return 1
    while IFS=' ' read -r _ its_image its_reference; do
        # What is named by its contents cannot be moved.
        case $its_reference in *@*) continue ;; esac
        its_former=$(image_of "$its_reference") || its_former='-'
        [ "$its_former" != "$its_image" ] || continue
        printf '%s %s\n' "$its_former" "$its_reference" | remember || cannot "write to $state on the host"
        renew
        quiet_docker tag "$its_image" "$its_reference" || fail failed "docker tag $its_image $its_reference failed on the host"
    done <"$state/records/$1/images"
}

forget_images() { # RELEASE: our tags of it, and with them the images that nothing else holds
    for its_tag in $(quiet_docker image ls --filter "reference=deployer/$app/*:$1" --format '{{.Repository}}:{{.Tag}}' 2>/dev/null); do
        quiet_docker image rm "$its_tag" 2>/dev/null
    done
    return 0
}

foresee() { # finds out about the services in $rolling, which are asked for next
    [ "$rolling" ] || return 0
    ahead plans plan_each "$rolling"
    list_ahead
}

plan_each() {
    for each in $1; do
        { plan_one "$each" && printf '\n.\n'; } >"$work/plan.$each"
    done
}

plan_one() { compose --dry-run up --detach --no-deps --no-build "$1" 2>&1; } # SERVICE

forget_plans() { # whatever runs now may change what was found out
    arrived plans
    arrived listed
    rm -f "$work"/plan.*
}

needs_replacing() { # SERVICE: true when `up` would make its containers anew, or there are none
    arrived plans
    # A dry run of up decides as up does: by the configuration's hash, the image and the networks.
    if { whole "$work/plan.$1" && planned=$(cat "$work/plan.$1"); } || planned=$(plan_one "$1"); then
        case $planned in
        *' Recreate'*) return 0 ;;
        *' Running'*) return 1 ;;
        esac
    fi
    differs "$1"
}

differs() { # SERVICE: the same without a dry run: by the hash and the image id that Compose notes on its containers
    wanted_hash=$(compose config --hash "$1" 2>/dev/null) || return 0
    wanted_image=$(render && printf '%s\n' "$rendered" | references | awk -v service="$1" '$1 == service { print $2 }')
    wanted_image=$(image_of "$wanted_image")
    its_marks=$(quiet_docker ps --quiet --no-trunc --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1" 2>/dev/null)
    [ "$its_marks" ] || return 0
    # shellcheck disable=SC2086
    its_marks=$(quiet_docker inspect --format '{{index .Config.Labels "com.docker.compose.config-hash"}} {{.Image}}' $its_marks 2>/dev/null | sort -u)
    [ "$its_marks" != "${wanted_hash##* } $wanted_image" ]
}
