"""``python -m tests.receiver.fuzz MINUTES``: a coverage-guided fuzzer on what strangers send. By hand, not in CI.

It needs ``pip install atheris``. Whatever the bytes are, a payload is an event, whose texts are checked, or malformed; a
signature is somebody's or nobody's; and a form has its field or has not. Everything else is a finding, and ends the run.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from deployer.secret import Secret

EVENTS = ("push", "release", "workflow_run", "deployment", "ping", "star")
SECRETS = {"blog": (Secret("one"), Secret("two"))}


def _try(data: bytes) -> None:
    from flask import Flask

    from receiver.hooks import MalformedPayload, owners_of, parse_event
    from receiver.web import hook

    name, body = EVENTS[data[0] % len(EVENTS)] if data else "push", data[1:]
    try:
        event = parse_event(name, body)
    except MalformedPayload:
        pass
    else:
        assert event.ref.isprintable() and not event.ref.startswith("-") and len(event.commit) in {0, 40, 64}
    assert owners_of(body, data[:80], SECRETS) == frozenset()
    form = Flask("fuzz").test_request_context(content_type="application/x-www-form-urlencoded")
    with form, contextlib.suppress(MalformedPayload):
        hook._payload(body)


def main() -> None:
    """Fuzz for as many minutes as the first argument says."""
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # only whoever fuzzes has it

    with atheris.instrument_imports(include=["receiver", "msgspec", "urllib"]):
        import receiver.hooks
        import receiver.web  # noqa: F401  # to be followed by the fuzzer

    seconds = int(float(sys.argv[1]) * 60) if len(sys.argv) > 1 else 3_600
    options: list[Any] = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        "-max_len=16384",
        "-timeout=10",
        "-rss_limit_mb=2048",
    ]
    atheris.Setup([*options, *sys.argv[2:]], _try)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
