"""The health gate: whether visitors get a right answer, and the contents of the new release.

Deciding gets answers as values; the web client and the clock are passed in.
"""

from __future__ import annotations

import enum
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from deployer.ports import Clock
from deployer.web import Answer, Fault, WebError

__all__ = ["ExpectedFile", "Fetch", "HealthSettings", "Verdict", "check", "choose_expected"]

PAUSE = 0.3  # seconds between two tries
TRIES = 3  # wrong answers in a row that settle it
SHORT = 1.0  # seconds: a request that had less time than this says nothing new by timing out
RESTARTING = frozenset({502, 503, 504})
FRESH = {"Cache-Control": "no-cache"}
LARGEST = 16 << 20  # bytes of a file that is still worth fetching

TEXTS = frozenset(".html .htm .css .js .mjs .json .txt .xml .svg .md .webmanifest".split())
MEDIA = frozenset(".png .jpg .jpeg .gif .webp .avif .ico .woff .woff2 .pdf .wasm .map".split())
# What one server or another runs, expands or hides, and pages that many show only in place of others.
NOT_PLAIN = frozenset(
    ".php .php3 .php4 .php5 .php7 .phps .phtml .phar .shtml .shtm .stm .cgi .fcgi .pl .py .rb .lua .asp .aspx .ashx"
    " .jsp .jspx .cfm .var .inc .bak .old .orig .swp .log .sql .conf .config .ini".split()
)
ERROR_PAGE = re.compile(r"[45][0-9x]{2}\.")
PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]+")


class Fetch(Protocol):
    """:func:`deployer.web.fetch`, or what stands in for it."""

    def __call__(
        self, url: str, *, connect_to: str, timeout: float, until: Collection[int], headers: Mapping[str, str]
    ) -> Answer:
        """GET ``url`` and follow its redirects, but none whose status is in ``until``. Raises WebError."""
        ...


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """What a healthy site answers.

    ``status``: the good ones. ``contains``: a text in the first 1 MiB of the body, as UTF-8. ``timeout``: seconds for
    the gate in all. ``connect_to``: an address, or address:port, in place of the URL's host. ``site``: the URL of the
    released directory, where that is not ``url``.
    """

    url: str
    status: frozenset[int] = frozenset({200})
    contains: str = ""
    timeout: float = 60.0
    connect_to: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """A file of the release: its path in it (undecodable bytes as surrogates), its SHA-256 in hexadecimal, its bytes."""

    url_path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the gate passed.

    ``reason``, one line, says why it did not, or which contents a passed gate could not compare. ``attempts`` counts
    the tries in all.
    """

    passed: bool
    reason: str
    attempts: int
    seconds: float


class _Outcome(enum.Enum):
    GOOD = enum.auto()
    WRONG = enum.auto()  # the same again settles it
    EARLY = enum.auto()  # waiting may help


@dataclass(frozen=True, slots=True)
class _Finding:
    outcome: _Outcome
    reason: str = ""
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class _Question:
    """One URL and the rule for its answer; ``past_caches`` asks with a query that no cache has seen."""

    url: str
    judge: Callable[[Answer], _Finding]
    past_caches: bool = False


def check(
    settings: HealthSettings,
    expected: tuple[ExpectedFile, ...],
    fetch: Fetch,
    clock: Clock,
    token: Callable[[], str] = lambda: secrets.token_hex(4),
) -> Verdict:
    """Ask for the URL and then for every expected file, until all is good, surely wrong, or out of time.

    No answer, 502, 503, 504 and other contents than the release's are asked again until ``settings.timeout``; anything
    else that is wrong three times in a row, 0.3 s apart, fails at once. ``token`` makes the queries that no cache has
    seen. Raises nothing of its own.
    """
    began = clock.monotonic()
    deadline = began + settings.timeout
    attempts, note = 0, ""
    for question in _questions(settings, expected):

        def ask(seconds: float, question: _Question = question) -> _Finding:
            address = f"{question.url}?deployer={token()}" if question.past_caches else question.url
            instead, until = settings.connect_to, settings.status
            try:
                answer = fetch(address, connect_to=instead, timeout=seconds, until=until, headers=FRESH)
            except WebError as error:
                return _judge_error(question.url, error)
            return question.judge(answer)

        finding, tries = _settle(ask, deadline, clock)
        attempts += tries
        if finding.outcome is not _Outcome.GOOD:
            return Verdict(False, finding.reason, attempts, clock.monotonic() - began)  # noqa: FBT003
        note = note or finding.reason
    return Verdict(True, note, attempts, clock.monotonic() - began)  # noqa: FBT003


def choose_expected(changed: Iterable[ExpectedFile], limit: int = 3) -> tuple[ExpectedFile, ...]:
    """The few changed files whose contents say most surely whether the new release is served.

    Left out: dot-files, what servers interpret or hide, error pages, empty files and those above 16 MiB. Texts come
    before media and these before the rest, plain names before others, small files before large ones.
    """
    return tuple(sorted(filter(_is_plain, changed), key=_rank)[:limit])


def _is_plain(file: ExpectedFile) -> bool:
    path = PurePosixPath(file.url_path)
    hidden = any(part.startswith(".") for part in path.parts) or path.name.startswith("_")
    odd = not file.url_path.isprintable()  # control characters and bytes that are not UTF-8
    interpreted = any(suffix.lower() in NOT_PLAIN for suffix in path.suffixes) or path.name.endswith("~")
    return not (hidden or odd or interpreted or ERROR_PAGE.match(path.name)) and 0 < file.size <= LARGEST


def _rank(file: ExpectedFile) -> tuple[int, bool, int, str]:
    suffix = PurePosixPath(file.url_path).suffix.lower()
    kind = 0 if suffix in TEXTS else 1 if suffix in MEDIA else 2
    return kind, not PLAIN_PATH.fullmatch(file.url_path), file.size, file.url_path


def _questions(settings: HealthSettings, expected: tuple[ExpectedFile, ...]) -> Iterator[_Question]:
    yield _Question(settings.url, partial(_judge_page, settings))
    for file in expected:
        url = _below(settings.site or settings.url, file.url_path)
        yield _Question(url, partial(_judge_file, settings, url, file), past_caches=True)


def _below(site: str, path: str) -> str:
    """The URL of a path in the directory that ``site`` shows; a last segment with a dot is a page of that directory."""
    parts = urlsplit(site)
    folder, slash, page = parts.path.rpartition("/")
    directory = f"{folder}{slash}" if "." in page or not page else f"{parts.path}/"
    encoded = quote(path.encode("utf-8", "surrogateescape"))
    return urlunsplit((parts.scheme, parts.netloc, (directory or "/") + encoded, "", ""))


def _settle(ask: Callable[[float], _Finding], deadline: float, clock: Clock) -> tuple[_Finding, int]:
    """Ask until the finding is good or final, or the time is out; the last telling finding and the number of tries."""
    last = _Finding(_Outcome.EARLY, "the time-out passed before the served contents could be compared")
    tries = wrong = 0
    while (left := deadline - clock.monotonic()) > 0:
        finding = ask(left)
        tries += 1
        if not (tries > 1 and finding.timed_out and left < SHORT):
            last = finding
        wrong = wrong + 1 if finding.outcome is _Outcome.WRONG else 0
        if finding.outcome is _Outcome.GOOD or wrong == TRIES:
            break
        clock.sleep(max(0.0, min(PAUSE, deadline - clock.monotonic())))
    return last, tries


def _judge_error(url: str, error: WebError) -> _Finding:
    final = error.fault in (Fault.TLS, Fault.REDIRECTS, Fault.BAD_URL)
    outcome = _Outcome.WRONG if final else _Outcome.EARLY
    return _Finding(outcome, f"{_shown(url)}: {error}", error.fault is Fault.TIMED_OUT)


def _judge_page(settings: HealthSettings, answer: Answer) -> _Finding:
    if answer.status not in settings.status:
        outcome = _Outcome.EARLY if answer.status in RESTARTING else _Outcome.WRONG
        wanted = " or ".join(str(status) for status in sorted(settings.status))
        return _Finding(outcome, f"{_shown(answer.url)} answered {answer.status} instead of {wanted}")
    if settings.contains.encode("utf-8", "surrogateescape") not in answer.body:
        return _Finding(_Outcome.WRONG, f"{_shown(answer.url)} answered without the text {settings.contains!r}")
    return _Finding(_Outcome.GOOD)


def _judge_file(settings: HealthSettings, url: str, file: ExpectedFile, answer: Answer) -> _Finding:
    status = answer.status
    if answer.sha256 == file.sha256:
        return _Finding(_Outcome.GOOD)
    if status in RESTARTING:
        return _Finding(_Outcome.EARLY, f"{url} answered {status}")
    if status in settings.status and (status == HTTPStatus.UNAUTHORIZED or 300 <= status < 400):
        return _Finding(_Outcome.GOOD, f"the contents of {url} could not be compared: it answered {status}")
    cause = "a container that mounts the target itself keeps the old directory until it is restarted: mount its parent"
    if status != HTTPStatus.OK:
        return _Finding(_Outcome.WRONG, f"{url} answered {status}: the server hides this file, or {cause}")
    if answer.headers.get("content-encoding", "identity") != "identity":
        return _Finding(_Outcome.WRONG, f"{url} is served compressed though nobody asked for that: cannot compare it")
    return _Finding(
        _Outcome.EARLY, f"{url} has other contents than the release; {cause} instead (or a cache is in front)"
    )


def _shown(url: str) -> str:
    """A URL without its query, which may hold something secret."""
    return url.partition("?")[0]
