"""The user's command behind a deploy that changed something: purge a CDN, post to a chat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployer.child import Ended, run_child, without_secrets
from deployer.command import build_argv
from deployer.errors import BudgetExceeded, DeployerError
from deployer.interrupts import Interrupts
from deployer.ports import Clock, Reporter

__all__ = ["facts", "is_due", "run_after"]

SECONDS = 300.0
"""How long a hook may take."""
_KEYS = (
    "app",
    "strategy",
    "environment",
    "status",
    "release",
    "previous_release",
    "commit",
    "url",
    "files_total",
    "files_uploaded",
    "files_deleted",
    "bytes_uploaded",
    "duration_seconds",
)


def is_due(status: str, error: DeployerError | None) -> bool:
    """Whether visitors get something else than before, for good: also when the probe counted too many drops on the way."""
    return status in {"deployed", "rolled_back"} and (error is None or isinstance(error, BudgetExceeded))


def facts(answer: Mapping[str, Any]) -> dict[str, str]:
    """The variables that tell a hook of the deploy, from the object that ``run --json`` prints; empty: not known."""
    probe = answer["probe"] or {}
    values = {key: answer[key] for key in _KEYS}
    values |= {"hosts": " ".join(answer["hosts"]), "requests": probe.get("requests"), "dropped": probe.get("dropped")}
    return {f"DEPLOYER_{key.upper()}": "" if value is None else str(value) for key, value in values.items()}


def run_after(
    command: str,
    answer: Mapping[str, Any],
    directory: Path,
    environment: Mapping[str, str],
    reporter: Reporter,
    clock: Clock,
    interrupts: Interrupts,
    *,
    seconds: float = SECONDS,
) -> None:
    """Run ``command`` with ``sh`` in ``directory``, with the deploy's :func:`facts` and without deployer's secrets.

    Whatever happens to it is no more than a warning: the deploy is done. A signal ends the hook alone; before and after
    it, signals are ignored.
    """
    variables = without_secrets(environment) | facts(answer)
    began = clock.monotonic()
    reporter.step_started("after", command)
    try:
        interrupts.install()
        ended = run_child(build_argv(command), directory, variables, reporter.output, timeout=seconds)
        trouble = _trouble(ended, seconds)
        interrupts.ignore()
    except KeyboardInterrupt:
        interrupts.ignore()
        trouble = "was interrupted"
    except OSError as error:
        interrupts.ignore()
        trouble = f"cannot be run: {error.strerror}"
    reporter.step_finished("after", clock.monotonic() - began)
    if trouble:
        reporter.warning(f"hooks.after {command!r} {trouble}; {answer['release']} is live all the same")


def _trouble(ended: Ended, seconds: float) -> str:
    if ended.status == 0:
        return ""
    how = f"did not end within {seconds:g} s" if ended.status is None else ended.how
    return f"{how} ({ended.last[-1]})" if ended.last else how
