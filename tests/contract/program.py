"""A small program for a host that speaks the line protocol as the real ones do, with one verb for each behaviour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

from deployer.plan import Effect, Request

__all__ = ["TALK", "Bytes", "Endless", "Failing", "Late", "ask", "mirror", "sink"]

TALK = r"""
set -u
LC_ALL=C
exec 3>&1 >/dev/null
trap '' PIPE
held='' beats=0
IFS= read -r mark || exit 1
fact() { printf '%s = %s %s\n' "$mark" "$1" "$2" >&3; }
frames() {
    while IFS= read -r size; do
        case $size in
        0) return ;;
        '' | *[!0-9]*) return 1 ;;
        esac
        dd bs="$size" count=1 iflag=fullblock 2>/dev/null || return 1
    done
    return 1
}
finish() { [ -z "$held" ] || { echo undone >"$held.undone"; rm -f "$held"; }; }
trap finish EXIT
while IFS= read -r verb; do
    case $verb in
    beat) beats=$((beats + 1)); continue ;;
    echo) IFS= read -r said; fact said "$said" ;;
    many) fact word one; fact other two; fact word three ;;
    mirror)
        IFS= read -r file
        frames >"$file" || exit 1
        printf '%s # data %s\n' "$mark" "$(($(wc -c <"$file")))" >&3
        cat "$file" >&3
        ;;
    sink) frames >/dev/null || exit 1 ;;
    touch) IFS= read -r file; true >"$file" ;;
    hold) IFS= read -r held; true >"$held" ;;
    sleep) IFS= read -r seconds; sleep "$seconds" ;;
    beats) fact beats "$beats" ;;
    wait) printf '%s ~ waiting for something\n' "$mark" >&3 ;;
    fail) IFS= read -r code; IFS= read -r text; printf '%s ! %s %s\n' "$mark" "$code" "$text" >&3; exit 1 ;;
    refuse) printf '%s ! failed no space\n' "$mark" >&3; exit 1 ;;
    leave) echo 'first words' >&2; echo 'last words' >&2; exit 3 ;;
    cut) printf '%s # data 1000\nonly this' "$mark" >&3; exit 0 ;;
    lie) verb=truth ;;
    esac
    printf '%s . %s\n' "$mark" "$verb" >&3
done
"""


@dataclass(frozen=True)
class Bytes:
    """A body of these bytes, in pieces of ``piece`` bytes."""

    data: bytes
    piece: int = 1 << 18

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self.data), self.piece):
            yield self.data[start : start + self.piece]


@dataclass(frozen=True)
class Endless:
    """A body that never ends; ``pieces`` bounds it in case nobody stops it."""

    pieces: int = 100_000

    def chunks(self) -> Iterator[bytes]:
        return iter(repeat(bytes(1 << 16), self.pieces))


@dataclass(frozen=True)
class Failing:
    """A body that breaks off after its first piece."""

    error: BaseException

    def chunks(self) -> Iterator[bytes]:
        yield b"a beginning"
        raise self.error


@dataclass(frozen=True)
class Late:
    """A body whose pieces wait for something."""

    wait: Callable[[], object]

    def chunks(self) -> Iterator[bytes]:
        yield b"first"
        self.wait()
        yield b"second"


def ask(verb: str, *arguments: str, effect: Effect = Effect.READ) -> Request:
    """A request without a body."""
    return Request(verb, effect, arguments)


def mirror(file: str, body: Bytes | Late | Failing) -> Request:
    """Keep the body in ``file`` on the host, and answer it as the raw fact ``data``."""
    return Request("mirror", Effect.WRITE, (file,), body)


def sink(body: Bytes | Endless) -> Request:
    """Read the body and throw it away."""
    return Request("sink", Effect.WRITE, (), body)
