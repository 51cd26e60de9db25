"""A deploy as the summary of a GitHub job: what went live, what changed, how fast, and what visitors noticed. All pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deployer.latency import ProbeReport
from deployer.reporting.chart import latency_chart
from deployer.reporting.markdown import cells, code, fenced, link, plain
from deployer.reporting.text import format_bytes, format_duration, format_milliseconds

__all__ = ["summarise", "summarise_findings"]

Facts = Mapping[str, Any]
MOST_BYTES = 256 << 10
"""GitHub drops a step's summary of more than 1 MiB, and all of a job share a page."""
_MOST_CHANGES = 50
_MOST_LINES = 30
_SIGNS = {"add": "+", "change": "!", "remove": "-", "move": "#"}
_TALLY = {"add": "added", "change": "changed", "remove": "removed", "move": "moved"}
_STATES = {"ok": "✅", "warning": "⚠️", "error": "❌"}


def summarise(
    answer: Facts, *, probe: ProbeReport | None = None, notes: Sequence[str] = (), output: Sequence[str] = ()
) -> str:
    """Markdown of at most 256 KiB.

    ``answer`` is the object of ``run --json`` (or ``plan --json``), with the plan's ``changes`` also of a real deploy;
    ``notes`` are what was worth knowing, such as the commits and images of a rebuild, ``output`` is the log, of which a
    failure shows the last lines.
    """
    parts = [f"### {_headline(answer)}\n", *_failure(answer, output), *_facts(answer)]
    parts += [fenced(notes[-_MOST_LINES:])] if notes else []
    parts += [*_changes(answer), *_probe(answer, probe), *_steps(answer)]
    text = "\n".join(parts) + "\n"
    # Every part is bounded in lines, but not a name in its length.
    return text if len(text.encode()) <= MOST_BYTES else f"### {_headline(answer)}\n\nThe rest is in the log.\n"


def _headline(answer: Facts) -> str:
    app = plain(str(answer.get("app") or "Deploy"))
    seconds = answer.get("duration_seconds")
    taken = f" in {format_duration(seconds)}" if seconds else ""
    match answer.get("status"):
        case "deployed":
            return f"✅ {app} is live{taken}"
        case "unchanged":
            return f"✅ {app} is unchanged"
        case "rolled_back" if answer.get("error"):
            return f"↩️ {app} was rolled back{taken}"
        case "rolled_back":
            return f"✅ {app} is rolled back{taken}"
        case "planned":
            return f"📋 {app}: what a run would do"
        case _:
            return f"❌ {app} failed"


def _failure(answer: Facts, output: Sequence[str]) -> Iterator[str]:
    if not answer.get("error"):
        return
    yield fenced(str(answer["error"]).splitlines())
    if answer.get("status") == "rolled_back":
        live = code(str(answer.get("previous_release") or "")) or "Nothing"
        yield f"{live} is live again; {code(str(answer.get('release') or ''))} stays on the server, to look into.\n"
    if output:
        yield _folded("The last lines of the log", fenced(output[-_MOST_LINES:]))


def _facts(answer: Facts) -> Iterator[str]:
    counted = (
        (answer.get(f"files_{what}"), what.replace("total", "in all")) for what in ("total", "uploaded", "deleted")
    )
    files = ", ".join(f"{count:,} {what}" for count, what in counted if count)
    sent = answer.get("bytes_uploaded")
    rows = [
        ("url", link(str(answer["url"])) if answer.get("url") else ""),
        ("release", code(str(answer.get("release") or ""))),
        ("before", code(str(answer.get("previous_release") or ""))),
        ("commit", code(str(answer.get("commit") or ""))),
        ("environment", code(str(answer.get("environment") or ""))),
        ("hosts", ", ".join(code(str(host)) for host in answer.get("hosts") or [])),
        ("files", files),
        ("sent", format_bytes(sent) if sent else ""),
    ]
    told = [row for row in rows if row[1]]
    if told:
        yield cells(told, ("", ""))


def _changes(answer: Facts) -> Iterator[str]:
    changes: Sequence[Facts] = answer.get("changes") or []
    if not changes:
        return
    counts = [(sum(change.get("action") == action for change in changes), text) for action, text in _TALLY.items()]
    title = ", ".join(f"{count:,} {text}" for count, text in counts if count)
    lines = [_change(change) for change in changes[:_MOST_CHANGES]]
    if len(changes) > len(lines):
        lines.append(f"and {len(changes) - len(lines):,} more")
    yield _folded(title, fenced(lines, "diff"))


def _change(change: Facts) -> str:
    action = str(change.get("action"))
    size = change.get("bytes")
    told = f"  ({format_bytes(size)})" if size is not None and action != "remove" else ""
    origin = f"  (from {change['from']})" if change.get("from") else ""
    host = f"{change['host']}: " if change.get("host") else ""
    return f"{_SIGNS.get(action, ' ')} {host}{change.get('path', '')}{origin}{told}"


def _probe(answer: Facts, seen: ProbeReport | None) -> Iterator[str]:
    figures = answer.get("probe")
    if not figures:
        return
    if not figures.get("requests"):
        yield "The probe got no good answer, so it measured nothing.\n"
        return
    dropped = figures.get("dropped") or 0
    times = [format_milliseconds(figures.get(name) or 0) for name in ("p50_ms", "p99_ms", "longest_gap_ms")]
    row = [f"{figures['requests']:,}", f"**{dropped:,}**" if dropped else "0", *times]
    yield cells([row], ("requests of the probe", "dropped", "p50", "p99", "longest gap"))
    if seen is not None and (chart := latency_chart(seen)):
        marked = "the bars are the switch and (red) what was dropped" if dropped else "the bar is the switch"
        yield f"{fenced(chart.splitlines(), 'mermaid')}\nThe slowest answer at each moment, in milliseconds; {marked}.\n"


def _steps(answer: Facts) -> Iterator[str]:
    steps: Sequence[Facts] = answer.get("steps") or []
    if not steps:
        return
    if "seconds" in steps[0]:
        rows = [(code(str(step["name"])), format_duration(step["seconds"])) for step in steps]
        yield _folded("How long each step took", cells(rows, ("step", "time")))
    else:
        rows = [(code(str(step.get("name"))), code(str(step.get("summary") or ""))) for step in steps]
        yield _folded("The steps of a run", cells(rows, ("step", "what")))


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n</details>\n"


def summarise_findings(app: str, findings: Sequence[Facts]) -> str:
    """What ``deployer check`` found, as Markdown of at most 256 KiB; ``findings``: ``{name, host, state, found, mend}``."""
    errors = sum(finding.get("state") == "error" for finding in findings)
    warnings = sum(finding.get("state") == "warning" for finding in findings)
    sign = _STATES["error" if errors else "warning" if warnings else "ok"]
    head = f"### {sign} {plain(app or 'Deploy')}: {errors} errors, {warnings} warnings\n"
    rows = [
        (
            _STATES.get(str(finding.get("state")), ""),
            code(str(finding.get("name") or "")),
            code(str(finding.get("host") or "")),
            code(str(finding.get("found") or "")),
            "<br>".join(code(line) for line in str(finding.get("mend") or "").splitlines()),
        )
        for finding in findings
    ]
    text = f"{head}\n{cells(rows, ('', 'check', 'host', 'found', 'how to mend it'))}"
    return text if len(text.encode()) <= MOST_BYTES else f"{head}\nThe findings are in the log.\n"
