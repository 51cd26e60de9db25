"""Who gets in: passwords, GitHub accounts, cookies, forms of other sites, and the headers of every answer."""

from __future__ import annotations

import dataclasses
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from werkzeug.security import generate_password_hash

from deployer.secret import Secret
from receiver.committing import Committer
from receiver.config import Login, Secrets
from receiver.web import World, create_app
from tests.receiver.pages_parts import PASSWORD, Place, Visitor

NOW = time.time
PAGES = ["/", "/deliveries", "/apps/blog", "/deployments/1", "/live/overview"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def login_of(place: Place, **changes: Any) -> Login:
    assert place.config.login is not None
    return msgspec.structs.replace(place.config.login, **changes)


def cookie_of(visitor: Visitor, password: str = PASSWORD) -> str:
    return visitor.log_in(password).headers["Set-Cookie"]


def test_a_page_leads_to_the_login_and_from_there_to_the_page(place: Place) -> None:
    """Whoever is not logged in is sent to the form, and after the password to where they wanted to go."""
    visitor = Visitor(place.app())
    answer = visitor.get("/apps/blog?before=7")
    assert (answer.status_code, answer.location) == (302, "/login?next=%2Fapps%2Fblog%3Fbefore%3D7")
    page = visitor.get(answer.location)
    assert 'name="next" value="/apps/blog?before=7"' in page.text
    answer = visitor.post("/login", answer.location, password=PASSWORD, next="/apps/blog?before=7")
    assert (answer.status_code, answer.location) == (303, "/apps/blog?before=7")
    assert visitor.get("/apps/blog").status_code == 200


@pytest.mark.parametrize("path", [*PAGES, "/deployments/1/log", "/deployments/1/log.txt", "/live/deployments/1"])
def test_nothing_is_shown_without_a_login(place: Place, path: str) -> None:
    """Every page of the dashboard needs one, whether what it asks for exists or not."""
    assert Visitor(place.app()).get(path).status_code in {302, 401}


@pytest.mark.parametrize("path", ["/apps/blog/deploy", "/apps/blog/rollback", "/deployments/1/cancel"])
def test_nothing_is_done_without_a_login(place: Place, path: str) -> None:
    """A form that is sent by nobody is refused, and its token does not matter."""
    visitor = Visitor(place.app())
    assert visitor.post(path, "/login", ref="refs/heads/main").status_code == 401
    with place.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar() == 0


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + " ", PASSWORD[:-1], "x" * 5_000, "pässword\x00"])
def test_a_wrong_password_is_none(place: Place, password: str) -> None:
    """Only the password itself opens the door."""
    visitor = Visitor(place.app())
    answer = visitor.log_in(password)
    assert answer.status_code == 401
    assert ('role="alert"' in answer.text and password not in answer.text) or not password
    assert visitor.get("/").status_code == 302


def test_trying_passwords_is_slowed_down_for_each_address(place: Place) -> None:
    """After eight wrong ones an address waits, even for the right one; another, told by a trusted proxy, does not."""
    place.config = msgspec.structs.replace(place.config, trusted_proxies=("127.0.0.1/32",))
    visitor = Visitor(place.app(), HTTP_X_FORWARDED_FOR="203.0.113.9")
    assert [visitor.log_in("wrong").status_code for _ in range(8)] == [401] * 8
    answer = visitor.log_in()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    visitor.environment["HTTP_X_FORWARDED_FOR"] = "203.0.113.10"
    assert visitor.log_in().status_code == 303


def test_an_address_that_nobody_vouches_for_cannot_be_made_up(place: Place) -> None:
    """Without a trusted proxy the header says nothing: a new one for each try does not help."""
    visitor = Visitor(place.app())
    codes = []
    for number in range(9):
        visitor.environment["HTTP_X_FORWARDED_FOR"] = f"203.0.113.{number}"
        codes.append(visitor.log_in("wrong").status_code)
    assert codes == [401] * 8 + [429]


def test_many_tries_at_once_do_not_get_round_the_limit(place: Place) -> None:
    """Forty at the same moment: no more are looked at than the limit and those that were being looked at."""
    app = place.app()
    visitors = [Visitor(app) for _ in range(40)]
    tokens = [visitor.csrf("/login") for visitor in visitors]
    codes: list[int] = []

    def try_one(visitor: Visitor, token: str) -> None:
        codes.append(visitor.post("/login", csrf=token, password="wrong").status_code)

    threads = [threading.Thread(target=try_one, args=each) for each in zip(visitors, tokens, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(codes)) == [401, 429] and codes.count(401) <= 9


def test_the_cookie_is_for_our_server_only(place: Place) -> None:
    """No script reads it, no other site sends it, and it ends by itself."""
    attributes = cookie_of(Visitor(place.app()))
    assert "HttpOnly" in attributes and "SameSite=Lax" in attributes and "Expires=" in attributes
    assert "Secure" not in attributes


@pytest.mark.parametrize(
    ("trusted", "public", "secure"),
    [((), "", False), (("127.0.0.1/32",), "", True), ((), "https://deploy.example.org", True)],
)
def test_the_cookie_is_secure_where_the_browser_speaks_https(
    place: Place, trusted: tuple[str, ...], public: str, *, secure: bool
) -> None:
    """Which a trusted proxy or the configuration says, and nobody else."""
    app = place.app(trusted_proxies=trusted, public_url=public)
    attributes = cookie_of(Visitor(app, HTTP_X_FORWARDED_PROTO="https"))
    assert ("Secure" in attributes) is secure


def test_a_login_begins_a_new_session(place: Place) -> None:
    """What somebody has put into the browser before is not what is logged in."""
    app = place.app()
    visitor = Visitor(app)
    before = visitor.csrf("/login")
    with visitor.client.session_transaction() as session:
        session["planted"] = "yes"
    visitor.log_in()
    with visitor.client.session_transaction() as session:
        assert "planted" not in session and session["csrf"] != before


def test_logging_out_ends_the_session(place: Place) -> None:
    """The browser is nobody again."""
    visitor = Visitor(place.app())
    visitor.log_in()
    assert visitor.post("/logout").location == "/login"
    assert visitor.get("/").status_code == 302


def test_a_session_ends_after_its_hours(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the browser keeps the cookie or not."""
    visitor = Visitor(place.app(login=login_of(place, session_hours=2)))
    visitor.log_in()
    for shift, code in ((7_100, 200), (7_300, 302)):
        monkeypatch.setattr(time, "time", lambda shift=shift: NOW() + shift)
        assert visitor.get("/deliveries").status_code == code, shift


def test_a_changed_password_ends_all_sessions(place: Place) -> None:
    """Who knew the old one is out after the reload."""
    visitor = Visitor(place.app())
    visitor.log_in()
    changed = with_password_hash(place, generate_password_hash("another one", "scrypt:1024:8:1"))
    app = create_app(World(place.config, changed, place.database, Committer(place.database), b"k" * 32))
    other = Visitor(app)
    cookie = visitor.client.get_cookie("deployer")
    assert cookie is not None
    other.client.set_cookie("deployer", cookie.value)
    assert other.get("/").status_code == 302


def with_password_hash(place: Place, password_hash: str) -> Secrets:
    return dataclasses.replace(place.secrets, password_hash=Secret(password_hash))


def test_a_cookie_that_was_not_signed_by_us_is_none(place: Place) -> None:
    """Somebody who writes one has no session."""
    visitor = Visitor(place.app())
    visitor.client.set_cookie("deployer", "eyJ1c2VyIjoibW9uYSJ9.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb")
    assert visitor.get("/").status_code == 302


@pytest.mark.parametrize("csrf", ["", "wrong", "ü"])
def test_a_form_without_its_token_does_nothing(place: Place, csrf: str) -> None:
    """Also when the cookie is right: the form was not ours."""
    visitor = Visitor(place.app())
    visitor.log_in()
    assert visitor.post("/apps/blog/deploy", csrf=csrf, ref="refs/heads/main").status_code == 403
    assert visitor.get("/deployments/1").status_code == 404


@pytest.mark.parametrize(
    ("origin", "code"),
    [("https://evil.example", 403), ("null", 403), ("http://localhost", 303), ("https://deploy.example.org", 303)],
)
def test_a_form_of_another_site_does_nothing(place: Place, origin: str, code: int) -> None:
    """Even if it has found out the token; our own address and the public one are no other sites."""
    visitor = Visitor(place.app(public_url="https://deploy.example.org"), HTTP_ORIGIN=origin)
    visitor.environment.clear()
    visitor.log_in()
    token = visitor.csrf("/apps/blog")
    visitor.environment["HTTP_ORIGIN"] = origin
    assert visitor.post("/apps/blog/deploy", csrf=token, ref="refs/heads/main").status_code == code


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\r\nX: y", ""]
)
def test_a_login_never_leads_to_another_site(place: Place, target: str) -> None:
    """Whatever the address asks for: then it is the first page."""
    visitor = Visitor(place.app())
    assert visitor.post("/login", "/login", password=PASSWORD, next=target).location == "/"


def test_a_huge_form_is_refused(place: Place) -> None:
    """A password is short."""
    visitor = Visitor(place.app())
    assert visitor.post("/login", "/login", password="x" * 100_000).status_code == 413


@pytest.mark.parametrize("path", ["/", "/login", "/health", "/hooks/github", "/nothing", "/api/apps", "/deliveries"])
def test_every_answer_has_its_headers(place: Place, path: str) -> None:
    """Whatever it is about: no script of others, no frame, no guessing, no copy in a cache, no referrer elsewhere."""
    visitor = Visitor(place.app())
    visitor.log_in()
    headers = visitor.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


def test_without_a_login_table_there_is_no_dashboard(place: Place) -> None:
    """Dashboard and API are off; deliveries are taken all the same."""
    visitor = Visitor(place.app(login=None))
    assert [visitor.get(path).status_code for path in ("/", "/login", "/api/apps")] == [404] * 3
    assert visitor.get("/health").status_code == 200


def test_with_tokens_only_there_is_only_the_api(place: Place) -> None:
    """Nobody could log in, so that there are no pages."""
    visitor = Visitor(place.app(login=login_of(place, password_hash=None)))
    assert [visitor.get(path).status_code for path in ("/", "/login", "/api/apps")] == [404, 404, 401]


@dataclass
class FakeGitHub:
    """GitHub's part of the OAuth flow: it knows one code, and whose it is."""

    name: str = "Mona"
    asked: list[tuple[str, dict[str, str], dict[str, list[str]]]] = field(default_factory=list)
    port: int = 0


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    found = FakeGitHub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            pass

        def answer(self, status: int, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            found.asked.append((self.path, dict(self.headers), body))
            good = body.get("code") == ["good"] and body.get("client_secret") == ["oauth secret"]
            self.answer(200, {"access_token": "gho_one"} if good else {"error": "bad_verification_code"})

        def do_GET(self) -> None:
            found.asked.append((self.path, dict(self.headers), {}))
            good = self.headers.get("Authorization") == "Bearer gho_one"
            self.answer(200 if good else 401, {"login": found.name})

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def with_github(tmp_path: Path, github: FakeGitHub) -> Visitor:
    (tmp_path / "oauth").write_text("oauth secret\n", "utf-8")
    login = (
        f'[login.github]\nclient_id = "Iv1.abc"\nclient_secret = {{ file = "oauth" }}\nusers = ["mona", "hubot"]\n'
        f'url = "http://127.0.0.1:{github.port}"\n[github]\napi_url = "http://127.0.0.1:{github.port}/api/v3"\n'
    )
    place = Place(tmp_path, top='public_url = "http://localhost"', login=login)
    return Visitor(place.app())


def go(visitor: Visitor, code: str = "good", state: str | None = None) -> Any:
    there = urlsplit(visitor.get("/login/github?next=/deliveries").location)
    fields = parse_qs(there.query)
    assert fields["client_id"] == ["Iv1.abc"]
    assert fields["redirect_uri"] == ["http://localhost/login/github/callback"]
    given = fields["state"][0] if state is None else state
    return visitor.get(f"/login/github/callback?code={code}&state={given}")


def test_a_named_github_account_gets_in(with_github: Visitor, github: FakeGitHub) -> None:
    """In whatever case GitHub spells it; GitHub is asked with the code and the app's secret, which no address has."""
    assert "Log in with GitHub" in with_github.get("/login").text
    answer = go(with_github)
    assert (answer.status_code, answer.location) == (303, "/deliveries")
    assert 'Logged in as Mona"' in with_github.get("/deliveries").text
    paths = [path for path, _, _ in github.asked]
    assert paths == ["/login/oauth/access_token", "/api/v3/user"]


def test_another_github_account_does_not(with_github: Visitor, github: FakeGitHub) -> None:
    """GitHub's word that somebody exists is not enough."""
    github.name = "<b>mallory"
    answer = go(with_github)
    assert answer.status_code == 403 and "&lt;b&gt;mallory" in answer.text
    assert with_github.get("/").status_code == 302


@pytest.mark.parametrize("state", ["", "wrong", "ü"])
def test_a_login_that_another_browser_has_begun_is_none(with_github: Visitor, github: FakeGitHub, state: str) -> None:
    """Without its own state GitHub is not even asked."""
    assert go(with_github, state=state).status_code == 403
    assert not github.asked


def test_a_state_counts_once(with_github: Visitor) -> None:
    """Coming back with it again is no login."""
    there = parse_qs(urlsplit(with_github.get("/login/github").location).query)["state"][0]
    back = f"/login/github/callback?code=bad&state={there}"
    assert [with_github.get(back).status_code for _ in range(2)] == [502, 403]


def test_a_wrong_code_is_no_login(with_github: Visitor) -> None:
    """GitHub's refusal is told in a sentence."""
    answer = go(with_github, code="bad")
    assert answer.status_code == 502 and "did not accept the code" in answer.text


def test_a_name_that_is_taken_off_the_list_is_out(with_github: Visitor, tmp_path: Path) -> None:
    """Its session ends with the reload, without a new login."""
    go(with_github)
    place = Place(tmp_path, login=place_login(tmp_path).replace('"mona", ', ""))
    other = Visitor(place.app())
    cookie = with_github.client.get_cookie("deployer")
    assert cookie is not None
    other.client.set_cookie("deployer", cookie.value)
    assert other.get("/").status_code == 302


def place_login(folder: Path) -> str:
    text = (folder / "receiver.toml").read_text("utf-8")
    return text[text.index("[login.github]") : text.index("[apps.blog]")]
