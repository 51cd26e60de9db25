"""The ends and answers of the commands, printed from plain mappings: the same facts that ``--json`` gives.

Keys that are missing or None are left out, so that an interrupted command can print what it knows. Every text is made
safe for its line. Times are texts, printed as given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from deployer.errors import DeployerError
from deployer.reporting.text import (
    colored,
    format_bytes,
    format_duration,
    format_milliseconds,
    table,
    visible,
    write_line,
    write_lines,
)

__all__ = [
    "print_error",
    "print_host",
    "print_logs",
    "print_outcome",
    "print_releases",
    "print_status",
    "print_unseen",
]

Facts = Mapping[str, Any]
STEPS_IN_LINE = 6


def print_error(error: DeployerError, stream: TextIO) -> None:
    """``error: `` and the message, then the hint, indented."""
    first, *others = error.message.splitlines() or [""]
    write_line(stream, colored("error:", "red", stream) + f" {visible(first)}")
    for line in [*others, *error.hint.splitlines()]:
        write_line(stream, f"  {visible(line)}")


def print_outcome(result: Facts, stream: TextIO, probe_line: str = "") -> None:
    """The end of a deploy or rollback: what is live, what changed, how long each step took, what the probe saw.

    ``result`` is the object of ``run --json``; ``probe_line`` is a drawing of the probe's latencies in time. The error
    is left to :func:`print_error`.
    """
    status = result.get("status")
    color = {"deployed": "green", "failed": "red", "rolled_back": "yellow"}.get(str(status), "bold")
    write_line(stream, colored(visible(_headline(result)), color, stream))
    _rows(stream, [*_changed(result), *_steps(result.get("steps") or [])])
    if result.get("probe"):
        write_line(stream, _probe_figures(result["probe"]))
        if probe_line:
            write_line(stream, f"latency: {visible(probe_line)}")


def _headline(result: Facts) -> str:
    app, release, previous = result.get("app", ""), result.get("release"), result.get("previous_release")
    seconds = result.get("duration_seconds")
    taken = "" if seconds is None else f" in {format_duration(seconds)}"
    match result.get("status"):
        case "deployed":
            return f"{app} is live: {release}{taken}"
        case "unchanged":
            return f"{app} is unchanged: {release or previous} stays live; checked{taken}"
        case "rolled_back" if result.get("error"):
            return f"{app} was rolled back{taken}: {previous or 'nothing'} is live again, {release} failed"
        case "rolled_back":
            return f"{app} is rolled back: {release} is live{taken}"
        case "planned":
            return f"{app} was only planned: nothing was changed"
        case "failed":
            return f"{app}: failed{taken.replace(' in ', ' after ')}"
        case other:
            return f"{app}: {other}{taken}"


def _changed(result: Facts) -> list[tuple[str, str]]:
    rows = [("files", _files(result)), ("sent", _optional(format_bytes, result.get("bytes_uploaded") or None))]
    if result.get("status") == "deployed":
        rows.append(("replaces", result.get("previous_release") or ""))
    rows.append(("commit", result.get("commit") or ""))
    hosts = [str(host) for host in result.get("hosts") or []]
    rows.append(("host" if len(hosts) == 1 else "hosts", ", ".join(hosts)))
    rows.append(("url", result.get("url") or ""))
    return [(name, value) for name, value in rows if value]


def _files(result: Facts) -> str:
    parts = [
        (result.get("files_total"), "in all"),
        (result.get("files_uploaded"), "uploaded"),
        (result.get("files_deleted"), "deleted"),
    ]
    return ", ".join(f"{count:,} {what}" for count, what in parts if count)


def _steps(steps: Sequence[Facts]) -> list[tuple[str, str]]:
    """A few steps to a line: each had a line of its own already, when it ended."""
    told = [f"{step['name']} {format_duration(step['seconds'])}" for step in steps]
    lines = [", ".join(told[first : first + STEPS_IN_LINE]) for first in range(0, len(told), STEPS_IN_LINE)]
    return [("" if number else "steps", line) for number, line in enumerate(lines)]


def _probe_figures(probe: Facts) -> str:
    if not probe.get("requests"):
        return "probe: no answer was good, so there is nothing to count"
    figures = [_counted(probe["requests"], "request"), f"{probe.get('dropped') or 0:,} dropped"]
    for key, name in (("p50_ms", "p50"), ("p99_ms", "p99"), ("longest_gap_ms", "longest gap")):
        if probe.get(key) is not None:
            figures.append(f"{name} {format_milliseconds(probe[key])}")
    return f"probe: {', '.join(figures)}"


def print_host(name: str, stream: TextIO) -> None:
    """The heading of what follows about one of several hosts."""
    write_line(stream, colored(visible(f"{name}:"), "bold", stream))


def print_unseen(stream: TextIO) -> None:
    """What stands below the heading of a host that could not be looked at."""
    write_line(stream, colored("could not be looked at", "red", stream))


def print_releases(releases: Sequence[Facts], stream: TextIO) -> None:
    """The kept releases: ``release, commit, deployed_at, live, state``; the live one has an arrow.

    Static ones have ``files`` and ``bytes``, rebuilt ones ``images`` (ids by service), of which some may be ``lost``.
    """
    if not releases:
        write_line(stream, "no releases yet")
        return
    rebuilt = any(release.get("images") for release in releases)
    rows = [
        (
            "→" if release.get("live") else "",
            str(release.get("release") or ""),
            "live" if release.get("live") and not release.get("state") else str(release.get("state") or ""),
            str(release.get("deployed_at") or ""),
            str(release.get("commit") or "")[:12],
            *((_images(release),) if rebuilt else _size(release)),
        )
        for release in releases
    ]
    contents = ("images",) if rebuilt else ("files", "size")
    header = ("", "release", "state", "deployed", "commit", *contents)
    write_lines(stream, table(rows, header=header, right=() if rebuilt else (5, 6)))


def _size(release: Facts) -> tuple[str, str]:
    return _optional("{:,}".format, release.get("files")), _optional(format_bytes, release.get("bytes"))


def _images(release: Facts) -> str:
    """``blog 0139b556d3d5``, or ``blog (gone)``, of each service."""
    shown = {name: str(image).removeprefix("sha256:")[:12] for name, image in (release.get("images") or {}).items()}
    shown |= dict.fromkeys(release.get("lost") or (), "(gone)")
    return ", ".join(f"{name} {image}" for name, image in shown.items())


def print_status(status: Facts, stream: TextIO) -> None:
    """One app on one host.

    Keys: ``app, target, live_release, commit, last_deploy {release, status, at, by, duration_seconds, error, step}, lock
    {held, owner, since, stale}, free_bytes, health {ok, url, status, milliseconds, error}, interrupted`` (a text, or
    empty). ``by`` and ``owner`` say who, and since when.
    """
    write_line(stream, colored(visible(str(status.get("app", ""))), "bold", stream))
    rows = [
        ("live", str(status.get("live_release") or "nothing yet")),
        ("commit", str(status.get("commit") or "")),
        ("target", str(status.get("target") or "")),
        ("last deploy", _last_deploy(status.get("last_deploy") or {})),
        ("lock", _lock(status.get("lock") or {})),
        ("disk", _optional(lambda count: f"{format_bytes(count)} free", status.get("free_bytes"))),
        ("health", _health(status.get("health") or {})),
        ("interrupted", str(status.get("interrupted") or "")),
    ]
    _rows(stream, [(name, value) for name, value in rows if value])


def _last_deploy(deploy: Facts) -> str:
    when = f"by {deploy['by']}" if deploy.get("by") else deploy.get("at")
    parts = [deploy.get("release"), deploy.get("status"), _reason(deploy), when]
    if deploy.get("duration_seconds") is not None:
        parts.append(format_duration(deploy["duration_seconds"]))
    return ", ".join(str(part) for part in parts if part)


def _reason(deploy: Facts) -> str:
    """``signal in build``; the word that is the status already is not repeated."""
    why = "" if deploy.get("error") == deploy.get("status") else str(deploy.get("error") or "")
    return f"{why} in {deploy['step']}".strip() if deploy.get("step") else why


def _lock(lock: Facts) -> str:
    if not lock.get("held"):
        return "free"
    by = f" by {lock['owner']}" if lock.get("owner") else ""
    since = f" since {lock['since']}" if lock.get("since") else ""
    return f"held{by}{since}" + (", stale: the next run takes it" if lock.get("stale") else "")


def _health(health: Facts) -> str:
    if not health:
        return ""
    parts = ["ok" if health.get("ok") else "failing"]
    if health.get("status"):
        parts.append(f"status {health['status']}")
    if health.get("milliseconds") is not None:
        parts.append(format_milliseconds(health["milliseconds"]))
    parts += [str(health[key]) for key in ("error", "url") if health.get(key)]
    return ", ".join(parts)


def print_logs(logs: Facts, stream: TextIO) -> None:
    """The journal and the output of one deploy.

    Keys: ``release, journal [{time, step, state, seconds, …}], output`` (the log's text, many lines). Further keys of a
    journal's line are printed as ``key=value``, but the release that all is about.
    """
    write_line(stream, colored(visible(f"release {logs.get('release') or 'unknown'}"), "bold", stream))
    journal: Sequence[Facts] = logs.get("journal") or []
    write_lines(stream, ("  " + line for line in table([_journal_line(line, logs.get("release")) for line in journal])))
    output = str(logs.get("output") or "")
    if output:
        write_line(stream, "")
        write_lines(stream, (visible(line.expandtabs()) for line in output.rstrip("\n").split("\n")))


def _journal_line(line: Facts, release: object) -> list[str]:
    known = ("time", "step", "state", "seconds")
    seconds = _optional(format_duration, line.get("seconds"))
    others = " ".join(
        f"{key}={value}" for key, value in line.items() if key not in known and value not in (None, "", release)
    )
    return [*(str(line.get(key) or "") for key in ("time", "step", "state")), seconds, others]


def _optional(form: Any, value: Any) -> str:
    return "" if value is None else str(form(value))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _rows(stream: TextIO, rows: Iterable[Sequence[str]]) -> None:
    write_lines(stream, ("  " + line for line in table(rows)))
