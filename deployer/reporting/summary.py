"""A deploy as the summary of a GitHub job: what went live, what changed, how fast, and what visitors noticed. All pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from deployer.errors import (
    BudgetExceeded,
    ConnectionRefused,
    DeployFailed,
    Interrupted,
    InvalidInput,
    LockHeld,
    StateUnknown,
)
from deployer.latency import ProbeReport
from deployer.reporting.chart import latency_chart
from deployer.reporting.markdown import cell, cells, code, fenced, folded, link, plain
from deployer.reporting.text import format_bytes, format_duration, format_milliseconds

__all__ = ["MOST_BYTES", "summarise", "summarise_findings"]

Facts = Mapping[str, Any]
MOST_BYTES = 256 << 10
"""GitHub drops a step's summary of more than 1 MiB, and all of a job share a page."""
_MOST_CHANGES = 50
_MOST_LINES = 30
_MOST_REMEDIES = 10
_SIGNS = {"add": "+", "change": "!", "remove": "-", "move": "#"}
_TALLY = {"add": "added", "change": "changed", "remove": "removed", "move": "moved"}
_STATES = {"ok": "✅", "warning": "⚠️", "error": "❌"}
_NOTHING_SWITCHED = {error.exit_code for error in (DeployFailed, InvalidInput, LockHeld, ConnectionRefused)}
_ENDS = {
    StateUnknown.exit_code: "needs a look now: what is live is not known",
    Interrupted.exit_code: "was interrupted",
}
_LEFT_OUT = "\nWhat does not fit here is in the log.\n"


def summarise(
    answer: Facts,
    *,
    probe: ProbeReport | None = None,
    notes: Sequence[str] = (),
    output: Sequence[str] = (),
    link: str = "",
) -> str:
    """Markdown of at most 256 KiB.

    ``answer`` is the object of ``run --json`` (or ``plan --json``), with the plan's ``changes`` also of a real deploy, and
    with ``exit_code``, which tells errors apart (0: none). ``notes`` are what was worth knowing, such as the commits of a
    rebuild, newest first, and its images; ``output`` is the log, of which a failure shows the last lines; ``link`` is the
    URL of all of it.
    """
    return _within(
        [
            f"### {_headline(answer)}\n",
            *_failure(answer),
            *_warnings(answer),
            *_facts(answer),
            *_probe(answer, probe),
            *_notes(notes),
            *_changes(answer),
            *_steps(answer),
            *_log(answer, output, link),
        ]
    )


def _within(parts: Iterable[str]) -> str:
    """The parts in their order, without those that would be too much; the first one always is there."""
    kept: list[str] = []
    room = MOST_BYTES - len(_LEFT_OUT)
    left_out = False
    for part in parts:
        size = len(part.encode()) + 1
        if size <= room:
            kept.append(part)
            room -= size
        else:
            left_out = True
    return "\n".join(kept) + (_LEFT_OUT if left_out else "")


def _headline(answer: Facts) -> str:
    app = plain(str(answer.get("app") or "")) or "Deploy"
    seconds = answer.get("duration_seconds")
    told = (f" in {format_duration(seconds)}" if seconds else "") + _noticed(answer)
    error, ended = answer.get("error"), answer.get("exit_code")
    # Nothing but a spent budget is an error of what is live.
    spent = bool(error) and (ended == BudgetExceeded.exit_code or answer.get("status") == "deployed")
    match answer.get("status"):
        case "deployed" | "rolled_back" if spent or not error:
            verb = "rolled back" if answer["status"] == "rolled_back" else "live"
            return f"{'⚠️' if spent else '✅'} {app} is {verb}{told}"
        case "unchanged":
            return f"✅ {app} is unchanged"
        case "rolled_back":
            return f"↩️ {app} was rolled back{told}"
        case "planned" if not (error or answer.get("steps") or answer.get("changes")):
            return f"✅ {app}: nothing would change"
        case "planned" if not error:
            return f"📋 {app}: what a run would do"
        case _:
            return f"❌ {app} {_ENDS.get(ended or 0, 'failed')}"


def _noticed(answer: Facts) -> str:
    """What visitors noticed, where anything was measured."""
    figures = answer.get("probe") or {}
    if not figures.get("requests"):
        return ""
    dropped = figures.get("dropped") or 0
    return f", {dropped or 'no'} request{'' if dropped <= 1 else 's'} dropped"


def _failure(answer: Facts) -> Iterator[str]:
    """The reason and what to do. After a switch, and of several hosts, the reason itself says what is live where."""
    if not answer.get("error"):
        return
    lines = str(answer["error"]).splitlines()
    rest = len(lines) - _MOST_LINES
    yield fenced(lines[:_MOST_LINES] + ([f"and {rest:,} more lines"] if rest > 0 else []))
    if answer.get("exit_code") in _NOTHING_SWITCHED and len(answer.get("hosts") or []) <= 1:
        yield f"{code(str(answer.get('previous_release') or '')) or 'What was live before'} still serves.\n"


def _log(answer: Facts, output: Sequence[str], url: str) -> Iterator[str]:
    if not answer.get("error"):
        return
    if output:
        yield folded("The last lines of the log", fenced(output[-_MOST_LINES:]), shown=True)
    if url:
        yield f"All of the log: {link(url)}\n"


def _warnings(answer: Facts) -> Iterator[str]:
    warnings: Sequence[str] = answer.get("warnings") or []
    for text in dict.fromkeys(map(str, warnings[:_MOST_LINES])):
        yield f"⚠️ {code(text)}\n"


def _facts(answer: Facts) -> Iterator[str]:
    counted = (
        (answer.get(f"files_{what}"), what.replace("total", "in all")) for what in ("total", "uploaded", "deleted")
    )
    files = ", ".join(f"{count:,} {what}" for count, what in counted if count)
    sent = answer.get("bytes_uploaded")
    rows = [
        ("url", link(str(answer["url"])) if answer.get("url") else ""),
        ("release", cell(str(answer.get("release") or ""))),
        ("before", cell(str(answer.get("previous_release") or ""))),
        ("commit", cell(str(answer.get("commit") or ""))),
        ("environment", cell(str(answer.get("environment") or ""))),
        ("hosts", ", ".join(cell(str(host)) for host in answer.get("hosts") or [])),
        ("files", files),
        ("sent", format_bytes(sent) if sent else ""),
    ]
    told = [row for row in rows if row[1]]
    if told:
        yield cells(told, ("", ""))


def _notes(notes: Sequence[str]) -> Iterator[str]:
    """Of very many, those at the beginning, which are the newest commits, and those at the end, which are of images."""
    if len(notes) > _MOST_LINES:
        first, last = _MOST_LINES // 2, _MOST_LINES // 2 - 1
        notes = [*notes[:first], f"and {len(notes) - first - last:,} more", *notes[-last:]]
    if notes:
        yield fenced(notes)


def _changes(answer: Facts) -> Iterator[str]:
    """What is the same on all hosts is told once."""
    hosts_of: dict[tuple[Any, ...], list[str]] = {}
    for change in answer.get("changes") or []:
        key = tuple(change.get(name) for name in ("action", "path", "bytes", "from"))
        hosts_of.setdefault(key, []).append(str(change.get("host") or ""))
    if not hosts_of:
        return
    everywhere = len(answer.get("hosts") or [])
    listed = list(hosts_of.items())
    lines = [
        _change(*change, hosts="" if len(hosts) >= everywhere else ", ".join(hosts))
        for change, hosts in listed[:_MOST_CHANGES]
    ]
    if len(listed) > len(lines):
        lines.append(f"and {len(listed) - len(lines):,} more")
    yield folded(_tally(hosts_of), fenced(lines, "diff"))


def _tally(changes: Iterable[tuple[Any, ...]]) -> str:
    sizes: dict[str, list[int]] = {action: [] for action in _TALLY}
    for action, _, size, _ in changes:
        sizes.get(action, []).append(size or 0)
    return ", ".join(f"{len(of):,} {_TALLY[action]} ({format_bytes(sum(of))})" for action, of in sizes.items() if of)


def _change(action: str, path: str, size: int | None, origin: str | None, *, hosts: str) -> str:
    told = f"  ({format_bytes(size)})" if size is not None and action != "remove" else ""
    source = f"  (from {origin})" if origin else ""
    return f"{_SIGNS.get(action, ' ')} {hosts}{': ' if hosts else ''}{path}{source}{told}"


def _probe(answer: Facts, seen: ProbeReport | None) -> Iterator[str]:
    figures = answer.get("probe")
    if not figures:
        return
    reasons = ", ".join(f"{code(reason)} ({count:,})" for reason, count in (seen.reasons if seen else ()) if reason)
    if not figures.get("requests"):
        yield f"The probe got no good answer, so it measured nothing{': ' if reasons else '.'}{reasons}\n"
        return
    dropped = figures.get("dropped") or 0
    times = [format_milliseconds(figures.get(name) or 0) for name in ("p50_ms", "p99_ms", "longest_gap_ms")]
    row = [f"{figures['requests']:,}", f"**{dropped:,}**" if dropped else "0", *times]
    yield cells([row], ("requests of the probe", "dropped", "p50", "p99", "longest gap"))
    if reasons and dropped:
        yield f"Dropped: {reasons}\n"
    if seen is not None and (chart := latency_chart(seen)) is not None:
        # All of it is ours, and a line that was cut would be no chart.
        yield f"```mermaid\n{chart.text}\n```\n\n{chart.caption}\n"


def _steps(answer: Facts) -> Iterator[str]:
    steps: Sequence[Facts] = answer.get("steps") or []
    if not steps:
        return
    if "seconds" in steps[0]:
        rows = [(cell(str(step["name"])), format_duration(step["seconds"])) for step in steps]
        yield folded("How long each step took", cells(rows, ("step", "time")))
    else:
        names = ("name", "summary", "effect")
        planned = [tuple(cell(str(step.get(name) or "")) for name in names) for step in steps]
        yield folded("The steps of a run", cells(planned, ("step", "what", "reads or writes")))


def summarise_findings(app: str, findings: Sequence[Facts]) -> str:
    """What ``deployer check`` found, as Markdown of at most 256 KiB; ``findings``: ``{name, host, state, found, mend}``.

    What has to be mended comes first, errors before warnings; what is fine is folded away.
    """
    found = {state: [finding for finding in findings if finding.get("state") == state] for state in _STATES}
    errors, warnings, fine = found["error"], found["warning"], found["ok"]
    sign = _STATES["error" if errors else "warning" if warnings else "ok"]
    told = [_counted(errors, "error")] * bool(errors) + [_counted(warnings, "warning")] * bool(warnings)
    parts = [f"### {sign} {plain(app) or 'Deploy'}: {', '.join(told) or 'all is fine'}\n"]
    if errors or warnings:
        rows = [_finding(finding) for finding in (*errors, *warnings)]
        parts.append(cells(rows, ("", "check", "host", "found", "how to mend it")))
    if fine:
        rows = [_finding(finding)[:-1] for finding in fine]
        parts.append(folded(f"{_counted(fine, 'check')} fine", cells(rows, ("", "check", "host", "found"))))
    return _within(parts)


def _counted(findings: Sequence[Facts], what: str) -> str:
    return f"{len(findings)} {what}{'' if len(findings) == 1 else 's'}"


def _finding(finding: Facts) -> list[str]:
    texts = [cell(str(finding.get(name) or "")) for name in ("name", "host", "found")]
    mend = str(finding.get("mend") or "").splitlines()[:_MOST_REMEDIES]
    return [_STATES[str(finding["state"])], *texts, "<br>".join(map(cell, mend))]
