"""GitHub's API as the receiver needs it: hooks with deliveries, refs, workflow runs, artifacts, statuses, an App.

It remembers every request; its archives are on a server of their own, as GitHub's are.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import http.server
import json
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.github import Asked, Rule, answer

__all__ = ["APP_TOKEN", "PATHS", "TOKEN", "Hub", "Storage", "examples"]

TOKEN = "ghp_TheTokenThatNobodyMaySee"
APP_TOKEN = "ghs_TheInstallationsToken"
COMMIT = "7f247f9b8a3d5c2e1f0a9b8c7d6e5f4a3b2c1d0e"
REPOSITORY = "/repos/{owner}/{repo}"
PATHS = (
    "/meta",
    "/app/hook/config",
    "/app/hook/deliveries",
    "/app/hook/deliveries/{delivery_id}/attempts",
    "/app/installations/{installation_id}/access_tokens",
    REPOSITORY,
    f"{REPOSITORY}/installation",
    f"{REPOSITORY}/statuses/{{sha}}",
    f"{REPOSITORY}/hooks",
    f"{REPOSITORY}/hooks/{{hook_id}}/deliveries",
    f"{REPOSITORY}/hooks/{{hook_id}}/deliveries/{{delivery_id}}/attempts",
    f"{REPOSITORY}/git/ref/{{ref}}",
    f"{REPOSITORY}/git/tags/{{tag_sha}}",
    f"{REPOSITORY}/actions/runs",
    f"{REPOSITORY}/actions/runs/{{run_id}}",
    f"{REPOSITORY}/actions/runs/{{run_id}}/artifacts",
    f"{REPOSITORY}/actions/artifacts/{{artifact_id}}/{{archive_format}}",
)


def examples(described: dict[str, Any]) -> dict[str, Any]:
    """For each path the whole answer that the description gives as its example."""
    found: dict[str, Any] = {}
    for path, methods in described["paths"].items():
        for method in ("get", "post"):
            for status in ("200", "201"):
                answers = methods.get(method, {}).get("responses", {}).get(status, {})
                for example in answers.get("content", {}).get("application/json", {}).get("examples", {}).values():
                    found.setdefault(path, example["value"])
    _mend(found)
    return found


def _mend(found: dict[str, Any]) -> None:
    """Two of the examples are not as the same description demands."""
    prints = found["/meta"]["ssh_key_fingerprints"]
    prints |= {name: str(value) for name, value in prints.items()}
    for repository in (found[REPOSITORY], found[REPOSITORY]["source"]):
        repository.setdefault("language", None)


class _Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Who does not wait for the end of an answer is nobody's mistake."""


class _Server(ABC):
    """An HTTP server on loopback that gives every request to ``_handle``."""

    def __enter__(self) -> Any:
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner._read(self)

            def do_POST(self) -> None:
                owner._read(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _read(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        path, _, query = handler.path.partition("?")
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, path, query, headers, json.loads(body) if body else None)
        with contextlib.suppress(OSError):
            self._handle(asked, handler)

    @abstractmethod
    def _handle(self, asked: Asked, handler: http.server.BaseHTTPRequestHandler) -> None:
        """Answer one request."""


@dataclass
class Storage(_Server):
    """Where archives are; ``rule`` may answer in its place."""

    archives: dict[str, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    rule: Rule = lambda _asked, _handler: False

    def _handle(self, asked: Asked, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.asked.append(asked)
        if self.rule(asked, handler):
            return
        body = self.archives[asked.path]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


Answer = tuple[int, Any, dict[str, str]]


@dataclass
class Hub(_Server):
    """One GitHub. What it answers is as little as the receiver needs, laid over ``examples`` where there are some."""

    storage: Storage
    examples: dict[str, Any] = field(default_factory=dict)
    rule: Rule = lambda _asked, _handler: False
    asked: list[Asked] = field(default_factory=list)
    refs: dict[str, tuple[str, str]] = field(default_factory=dict)
    tags: dict[str, tuple[str, str]] = field(default_factory=dict)
    hooks: list[dict[str, Any]] = field(default_factory=list)
    app_url: str = ""
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    app_deliveries: list[dict[str, Any]] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    again: Callable[[dict[str, Any]], int] = lambda _attempt: 200
    """What a delivery is answered that is made again."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    networks: list[str] = field(default_factory=lambda: ["192.30.252.0/22", "2a0a:a440::/29"])
    token_seconds: float = 3600.0

    def forget(self) -> None:
        """Everything but the examples."""
        for name, made in vars(Hub(self.storage)).items():
            if name not in {"storage", "examples"}:
                setattr(self, name, made)
        self.storage.archives.clear()
        self.storage.asked.clear()
        self.storage.rule = lambda _asked, _handler: False

    def add_hook(self, url: str, *, active: bool = True) -> None:
        """A hook of the repository."""
        whole = self._example(f"{REPOSITORY}/hooks", list)
        config = {"content_type": "json", "insecure_ssl": "0", "url": url}
        self.hooks.append(whole | {"id": 70 + len(self.hooks), "active": active, "config": config})

    def add_attempt(self, guid: str, status: int, *, ago: float = 60.0, again: bool = False, app: bool = False) -> int:
        """A try to deliver of so many seconds ago. Returns its id."""
        attempts = self.app_deliveries if app else self.deliveries
        whole = self._example("/app/hook/deliveries", list)
        number = 500 + len(self.deliveries) + len(self.app_deliveries)
        made = {"id": number, "guid": guid, "status_code": status, "redelivery": again, "delivered_at": _when(-ago)}
        attempts.insert(0, whole | made)
        return number

    def add_run(self, number: int, commit: str = COMMIT, **changes: Any) -> None:
        """A successful run of build.yml by a push to octocat/example, but for ``changes``."""
        whole = self._example(f"{REPOSITORY}/actions/runs/{{run_id}}")
        run = {
            "id": number,
            "event": "push",
            "path": ".github/workflows/build.yml",
            "head_sha": commit,
            "status": "completed",
            "conclusion": "success",
            "repository": whole.get("repository", {}) | {"full_name": "octocat/example"},
            "head_repository": whole.get("head_repository", {}) | {"full_name": "octocat/example"},
        }
        for name, value in changes.items():
            run[name] = run[name] | value if isinstance(value, dict) else value
        self.runs.insert(0, whole | run)

    def add_artifact(self, run: int, content: bytes, name: str = "site", **changes: Any) -> int:
        """What that run left behind. Returns the artifact's id."""
        whole = copy.deepcopy(self._example(f"{REPOSITORY}/actions/runs/{{run_id}}/artifacts", dict, "artifacts"))
        whole.pop("workflow_run", None)
        number = 900 + sum(map(len, self.artifacts.values()))
        made = {
            "id": number,
            "name": name,
            "size_in_bytes": len(content),
            "expired": False,
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        }
        self.artifacts.setdefault(run, []).insert(0, whole | made | changes)
        self.storage.archives[f"/archive/{number}"] = content
        return number

    def paths(self, method: str = "") -> list[str]:
        """What was asked for, in order."""
        return [asked.path for asked in self.asked if method in {"", asked.method}]

    def _example(self, path: str, kind: type = dict, name: str = "") -> dict[str, Any]:
        found = self.examples.get(path)
        if found is None:
            return {}
        found = found[name] if name else found
        return dict(copy.deepcopy(found[0] if isinstance(found, list) else found))

    def _handle(self, asked: Asked, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.asked.append(asked)
        if not self.rule(asked, handler):
            status, content, headers = self._answer(asked)
            answer(handler, status, content, **headers)

    def _answer(self, asked: Asked) -> Answer:
        for pattern, method in _ROUTES:
            if found := re.fullmatch(pattern, f"{asked.method} {asked.path}"):
                result = method(self, asked, *map(unquote, found.groups()))
                return result if isinstance(result, tuple) else (200, result, {})
        return 404, {"message": "Not Found"}, {}

    def _meta(self, _asked: Asked) -> Any:
        return self._example("/meta") | {"hooks": self.networks}

    def _app_config(self, _asked: Asked) -> Any:
        return self._example("/app/hook/config") | {"url": self.app_url}

    def _app_deliveries(self, asked: Asked) -> Any:
        return _page(self.app_deliveries, asked)

    def _app_again(self, _asked: Asked, number: str) -> Answer:
        return self._deliver_again(self.app_deliveries, int(number))

    def _installation(self, _asked: Asked) -> Any:
        return self._example(f"{REPOSITORY}/installation") | {"id": 31}

    def _access_token(self, _asked: Asked) -> Answer:
        path = "/app/installations/{installation_id}/access_tokens"
        made = {"token": APP_TOKEN, "expires_at": _when(self.token_seconds)}
        return 201, self._example(path) | made, {}

    def _repository(self, _asked: Asked) -> Any:
        return self._example(REPOSITORY)

    def _status(self, asked: Asked, commit: str) -> Answer:
        self.statuses.insert(0, {"sha": commit, **asked.body})
        return 201, self._example(f"{REPOSITORY}/statuses/{{sha}}") | asked.body, {}

    def _hooks(self, _asked: Asked) -> Any:
        return self.hooks

    def _deliveries(self, asked: Asked, _hook: str) -> Any:
        return _page(self.deliveries, asked)

    def _again(self, _asked: Asked, _hook: str, number: str) -> Answer:
        return self._deliver_again(self.deliveries, int(number))

    def _deliver_again(self, attempts: list[dict[str, Any]], number: int) -> Answer:
        self.repeated.append(number)
        attempt = next(each for each in attempts if each["id"] == number)
        self.add_attempt(attempt["guid"], self.again(attempt), ago=0, again=True, app=attempts is self.app_deliveries)
        return 202, {}, {}

    def _ref(self, _asked: Asked, ref: str) -> Any:
        if ref not in self.refs:
            return 404, {"message": "Not Found"}, {}
        return self._pointer(f"{REPOSITORY}/git/ref/{{ref}}", *self.refs[ref]) | {"ref": f"refs/{ref}"}

    def _tag(self, _asked: Asked, tag: str) -> Any:
        return self._pointer(f"{REPOSITORY}/git/tags/{{tag_sha}}", *self.tags[tag])

    def _pointer(self, path: str, kind: str, commit: str) -> dict[str, Any]:
        whole = self._example(path)
        return whole | {"object": whole.get("object", {}) | {"type": kind, "sha": commit}}

    def _runs(self, asked: Asked) -> Any:
        wanted = parse_qs(asked.query)
        fitting = [
            run
            for run in self.runs
            if run["head_sha"] == wanted["head_sha"][0]
            and run["event"] == wanted["event"][0]
            and run["conclusion"] == wanted["status"][0]
        ]
        return {"total_count": len(fitting), "workflow_runs": fitting}

    def _run(self, _asked: Asked, number: str) -> Any:
        found = next((run for run in self.runs if run["id"] == int(number)), None)
        return found or (404, {"message": "Not Found"}, {})

    def _artifacts(self, _asked: Asked, number: str) -> Any:
        found = self.artifacts.get(int(number), [])
        return {"total_count": len(found), "artifacts": found}

    def _archive(self, _asked: Asked, number: str) -> Answer:
        return 302, None, {"Location": f"{self.storage.url}/archive/{number}?signature=TheAddressIsASecret"}


def _page(attempts: list[dict[str, Any]], asked: Asked) -> list[dict[str, Any]]:
    return attempts[: int(parse_qs(asked.query).get("per_page", ["30"])[0])]


def _when(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


_HERE = r"/repos/(?:octocat/example|octo/blog)"
_ROUTES: tuple[tuple[str, Callable[..., Any]], ...] = (
    (r"GET /meta", Hub._meta),
    (r"GET /app/hook/config", Hub._app_config),
    (r"GET /app/hook/deliveries", Hub._app_deliveries),
    (r"POST /app/hook/deliveries/(\d+)/attempts", Hub._app_again),
    (r"POST /app/installations/31/access_tokens", Hub._access_token),
    (rf"GET {_HERE}", Hub._repository),
    (rf"GET {_HERE}/installation", Hub._installation),
    (rf"POST {_HERE}/statuses/(\w+)", Hub._status),
    (rf"GET {_HERE}/hooks", Hub._hooks),
    (rf"GET {_HERE}/hooks/(\d+)/deliveries", Hub._deliveries),
    (rf"POST {_HERE}/hooks/(\d+)/deliveries/(\d+)/attempts", Hub._again),
    (rf"GET {_HERE}/git/ref/([^/]+)", Hub._ref),
    (rf"GET {_HERE}/git/tags/(\w+)", Hub._tag),
    (rf"GET {_HERE}/actions/runs", Hub._runs),
    (rf"GET {_HERE}/actions/runs/(\d+)", Hub._run),
    (rf"GET {_HERE}/actions/runs/(\d+)/artifacts", Hub._artifacts),
    (rf"GET {_HERE}/actions/artifacts/(\d+)/zip", Hub._archive),
)
