"""Who reads a step's run: people its log and summary, other steps its outputs."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from deployer.action.commands import annotation, output_text
from deployer.action.inputs import in_words_of_inputs, variable_of
from deployer.action.log import HarmlessStream, WorkflowReporter
from deployer.action.records import description_of, outcome_of
from deployer.action.secrecy import secret_in, workflow_file
from deployer.deploy import Result
from deployer.errors import DeployerError, NoLoginKey
from deployer.latency import latency_line
from deployer.reporting import print_outcome, print_plan
from deployer.reporting.github import DeploymentRecord, Subject
from deployer.reporting.summary import summarise, summarise_findings
from deployer.reporting.text import visible, write_line
from deployer.running import Ending

__all__ = ["Workflow", "outputs"]

_PLACE = re.compile(r"(?P<file>\S+\.toml)(?::(?P<line>[0-9]+))?(?:: | )")
_NO_KEY = """\
Give it as `key: ${{ secrets.SERVER_KEY }}`. Where it says so already, the secret is empty: it is misspelt, belongs to an
environment that the job does not name, or the run is for a fork's or a bot's pull request, which gets no secrets.
"""
_URL_WITHHELD = (
    "the output `url` contains the secret of input `{name}`, so GitHub drops it where it is a job's output; "
    "keep what is no secret in `vars`, such as ${{{{ vars.SERVER_DOMAIN }}}}"
)


def outputs(answer: Mapping[str, Any]) -> dict[str, str]:
    """The step's outputs, from the object that ``--json`` prints; empty: not known."""
    probe = answer.get("probe") or {}
    values = {
        "status": answer.get("status"),
        "url": answer.get("url"),
        "release": answer.get("release"),
        "previous-release": answer.get("previous_release"),
        "commit": answer.get("commit"),
        "files-uploaded": answer.get("files_uploaded"),
        "bytes-uploaded": answer.get("bytes_uploaded"),
        "duration": answer.get("duration_seconds"),
        "dropped-requests": probe.get("dropped"),
    }
    texts = {name: "" if value is None else str(value) for name, value in values.items()}
    return {**texts, "json": json.dumps(answer)}


@dataclass(slots=True)
class Workflow:
    """The audience of a deploy in a workflow's step.

    ``environment`` has the runner's variables: where outputs and summary go, and what the workflow is.
    """

    stream: TextIO
    environment: Mapping[str, str]
    display: WorkflowReporter
    _subject: Subject | None = None
    _begun: DeploymentRecord | None = None

    def tell(self, ending: Ending) -> None:
        """Write the end into the log, the outputs and the summary. Whatever fails there is no more than a warning."""
        answer = ending.answer
        self._tell_log(ending, answer)
        self.write("GITHUB_OUTPUT", output_text(outputs(answer), _delimiter()))
        ended = ending.result.error.exit_code if ending.result.error else 0
        error = in_words_of_inputs(str(answer["error"] or ""))
        shown = answer | {"changes": ending.changes, "error": error, "exit_code": ended}
        summary = summarise(shown, probe=ending.probe, notes=self.display.notes, output=ending.log.splitlines())
        self.write("GITHUB_STEP_SUMMARY", summary)
        self._warn_of_withheld(str(answer.get("url") or ""))
        self._end_record(ending.result)

    def record(self, subject: Subject | None, *, begin: bool) -> None:
        """Have GitHub's own record kept, from now on or at the end; without a subject there is none."""
        self._subject = subject
        if subject is not None and begin:
            self._begun = DeploymentRecord(subject)
            self._begun.begin()

    def _end_record(self, result: Result) -> None:
        if self._subject is None:
            return
        record = self._begun or DeploymentRecord(replace(self._subject, ref=result.commit or self._subject.ref))
        if warning := record.end(outcome_of(result.error), result.url, description_of(result)):
            self.display.warning(warning)

    def tell_findings(self, app: str, findings: Sequence[Mapping[str, Any]]) -> None:
        """Write what `deployer check` found into outputs and summary."""
        values = {"json": json.dumps({"app": app or None, "checks": findings})}
        self.write("GITHUB_OUTPUT", output_text(values, _delimiter()))
        self.write("GITHUB_STEP_SUMMARY", summarise_findings(app, findings))

    def fail(self, error: DeployerError) -> None:
        """Say in one line what is wrong, as an annotation, and below it what to do."""
        message = in_words_of_inputs(error.message)
        place = _PLACE.match(message)
        properties = {"title": "Deploy", **(place.groupdict() if place else {})}
        write_line(self.stream, annotation("error", visible(message), properties))
        harmless = HarmlessStream(self.stream)
        hint = _NO_KEY if isinstance(error, NoLoginKey) else in_words_of_inputs(error.hint)
        for line in hint.splitlines():
            write_line(harmless, f"  {visible(line)}")  # type: ignore[arg-type]  # all that it uses

    def write(self, variable: str, text: str) -> None:
        """Append ``text`` to the file that the runner has named in this variable, if it has."""
        name = self.environment.get(variable, "")
        if not name:
            return
        try:
            with Path(name).open("a", encoding="utf-8", errors="backslashreplace", newline="") as file:
                file.write(text)
        except OSError as error:
            self.display.warning(f"{variable} cannot be written: {error.strerror}")

    def _tell_log(self, ending: Ending, answer: dict[str, Any]) -> None:
        harmless: Any = HarmlessStream(self.stream)
        if ending.result.status == "planned":
            print_plan(answer, harmless)
        elif ending.result.app:
            print_outcome(answer, harmless, latency_line(ending.probe) if ending.probe else "")
        if ending.result.error is not None:
            self.fail(ending.result.error)

    def _warn_of_withheld(self, url: str) -> None:
        path = workflow_file(self.environment)
        if not url or path is None:
            return
        with contextlib.suppress(OSError, UnicodeDecodeError):
            text = Path(self.environment.get("GITHUB_WORKSPACE", "."), path).read_text("utf-8")
            given = {name: self.environment.get(variable_of(name), "") for name in ("username", "host", "app", "url")}
            if name := secret_in(url, text, given):
                self.display.warning(_URL_WITHHELD.format(name=name))


def _delimiter() -> str:
    """A text that no value holds, because nobody could know it."""
    return f"deployer-{secrets.token_hex(16)}"
