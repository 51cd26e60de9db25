"""The host's part in Traefik's cut-over, with a real Traefik: what it reads, what it acknowledges, what a kill leaves."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deployer.errors import DeployerError, DeployFailed
from deployer.host import assemble
from deployer.plan import Effect, Reply, Request, Text
from deployer.rebuild import requests
from deployer.rebuild.traefik import make_template, own_services
from deployer.rebuild.watched import read_directory
from deployer.transports.conversation import Conversation
from deployer.transports.local import open_channel
from tests.attempts import ATTEMPTS
from tests.conftest import need
from tests.roots import traefik_program
from tests.traefik import Traefik

# Containers' names are loopback addresses here: Traefik runs on this machine and asks them as it would a network of Docker.
OLD, NEW, SERVICE = "127.0.0.11", "127.0.0.12", "127.0.0.10"
_STUBS = """
recovering=''
find_native() { native=env; }
load_compose() { :; }
checkout_facts() { :; }
compose_facts() { :; }
heal() { rm -rf "$state"/broken.*; }
do_look() { IFS= read -r traefik_directory; IFS= read -r traefik_api; proxy_facts; }
do_serve() { IFS= read -r service; IFS= read -r names; printf '%s' "$names" | tr ' ' '\\n' >"$state/roll/serve.$service"; }
do_point() { proxy_point || fail failed "$proxy_why"; }
do_steady() { proxy_steady || fail failed "$proxy_why"; }
do_acknowledge() { IFS= read -r seconds; proxy_acknowledge $seconds || fail failed "$proxy_why"; }
do_full() { ln -s /dev/full "$work/proxy"; }
do_die() { proxy_point; kill -KILL $$; }
finish() { [ "$held" ] && [ -d "$work" ] || return 0; unlock; }
trap finish EXIT
while IFS= read -r verb; do
    case $verb in
    beat) renew; continue ;;
    *) renew; "do_$verb" ;;
    esac
    printf '%s . %s\\n' "$mark" "$verb" >&3
done
"""


def _program() -> str:
    return (
        assemble("deployer.rebuild.host", ("site.sh", "command.sh", "releases.sh", "watched.sh", "proxy.sh")) + _STUBS
    )


@dataclass
class Host:
    """A conversation with the program, and the directory that Traefik watches."""

    folder: Path
    directory: Path
    api: str = ""
    entry_point: str = ""
    sessions: list[Conversation] = field(default_factory=list)

    @property
    def own(self) -> Path:
        return self.directory / "deployer-blog.yml"

    def open(self, *, patience: float = 60) -> Conversation:
        (self.folder / "checkout").mkdir(exist_ok=True)
        session = Conversation(open_channel(patience), _program(), "local")
        self.sessions.append(session)
        site = requests.site("blog", str(self.folder / "checkout"), os.urandom(6).hex(), "test")
        session.perform(site, requests.lock(20, "test"))
        return session

    @property
    def session(self) -> Conversation:
        return self.sessions[-1] if self.sessions else self.open()

    def ask(self, verb: str, *arguments: str) -> Reply:
        return self.session.perform(Request(verb, Effect.WRITE, arguments))[0]

    def look(self) -> Reply:
        return self.ask("look", str(self.directory), self.api)

    def template(self, *roll: tuple[str, int]) -> str:
        found = read_directory(self.look())
        assert found is not None
        return make_template(found, "blog", roll, own_services(found, "blog"), entry_point=self.entry_point)

    def hand_over(self, *roll: tuple[str, int], seconds: float = 30) -> None:
        template = self.template(*roll)
        request = requests.proxy("deployer-blog.yml", self.api, self.entry_point, seconds, Text(lambda: template))
        self.session.perform(request)

    def save(self, text: str, name: str = "deployer-blog.yml") -> None:
        """Write a file of the directory as an editor does: Traefik reads all of it, or what was there before."""
        saved = self.folder / "saved"
        saved.write_text(text)
        saved.replace(self.directory / name)

    def serve(self, service: str, *names: str) -> None:
        self.ask("serve", service, " ".join(names))
        self.ask("point")

    def acknowledge(self, seconds: str = "") -> float:
        begun = time.monotonic()
        self.ask("acknowledge", seconds)
        return time.monotonic() - begun


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "conf"
    directory.mkdir()
    (directory / "routers.yml").write_text(
        "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: blog\n"
    )
    (directory / "deployer-blog.yml").write_text(own_file(SERVICE))
    return directory


def own_file(*names: str, more: str = "") -> str:
    servers = "".join(f'          - url: "http://{name}:8000"\n' for name in names)
    return f"http:\n  services:\n    blog:\n      loadBalancer:\n{more}        servers:\n{servers}"


@pytest.fixture
def traefik(watched: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Traefik]:
    need("traefik", "to see what it makes of the file", present=traefik_program() is not None)
    with Traefik(watched, tmp_path, throttle=getattr(request, "param", "200ms")) as server:
        server.wait_for("blog", f"http://{SERVICE}:8000")
        yield server


@pytest.fixture
def host(tmp_path: Path, watched: Path) -> Iterator[Host]:
    found = Host(tmp_path, watched)
    yield found
    for session in found.sessions:
        session.close(wait=False)


@pytest.fixture
def proxied(host: Host, traefik: Traefik) -> Host:
    host.api = traefik.api
    return host


def test_names_are_served_when_they_are_acknowledged(proxied: Host, traefik: Traefik) -> None:
    """After each acknowledgement the API names exactly the wanted containers; at rest it is the Compose service again."""
    proxied.hand_over((SERVICE, 8000))
    for names in ((OLD,), (OLD, NEW), (NEW,)):
        proxied.serve(SERVICE, *names)
        proxied.acknowledge()
        assert traefik.servers("blog") == [f"http://{name}:8000" for name in names]
    proxied.ask("steady")
    proxied.acknowledge()
    assert traefik.servers("blog") == [f"http://{SERVICE}:8000"]
    assert "deployer-blog-" not in proxied.own.read_text()
    assert sorted(path.name for path in proxied.directory.iterdir()) == ["deployer-blog.yml", "routers.yml"]


def test_options_that_somebody_added_between_deploys_stay(proxied: Host, traefik: Traefik) -> None:
    """What the file says before a deploy is what the deploy works with: a health check, a sticky cookie, another server."""
    more = "        healthCheck:\n          path: /healthy\n          interval: 10s\n        passHostHeader: false\n"
    proxied.save(own_file(SERVICE, more=more) + '          - url: "http://127.0.0.13:81"\n')
    traefik.wait_for("blog", f"http://{SERVICE}:8000", "http://127.0.0.13:81")
    proxied.hand_over((SERVICE, 8000))
    proxied.serve(SERVICE, OLD, NEW)
    proxied.acknowledge()
    assert traefik.servers("blog") == [f"http://{OLD}:8000", f"http://{NEW}:8000", "http://127.0.0.13:81"]
    text = proxied.own.read_text()
    assert ("path: /healthy" in text, "interval: 10s" in text, "passHostHeader: false" in text) == (True, True, True)


def test_an_edit_during_the_deploy_is_kept_aside(proxied: Host) -> None:
    """Whoever writes into deployer's file meanwhile is told where the text went; the deploy goes on."""
    proxied.hand_over((SERVICE, 8000))
    proxied.serve(SERVICE, OLD)
    proxied.save("# mine\n" + proxied.own.read_text())
    (warning,) = proxied.ask("point").every("warning")
    kept = Path(warning.rpartition(" ")[2])
    assert kept.read_text().startswith("# mine\n")
    assert kept.parent == proxied.folder / ".deployer" / "checkout" / "state"
    proxied.acknowledge()
    assert proxied.ask("point").every("warning") == ()


def test_a_kill_leaves_names_that_serve(proxied: Host, traefik: Traefik) -> None:
    """After SIGKILL the file is whole, the next deploy sees no edit by hand, and brings the steady state back."""
    proxied.hand_over((SERVICE, 8000))
    proxied.ask("serve", SERVICE, OLD)
    with pytest.raises(DeployFailed):
        proxied.ask("die")
    traefik.wait_for("blog", f"http://{OLD}:8000")
    proxied.open()
    assert proxied.ask("steady").every("warning") == ()
    proxied.acknowledge()
    assert traefik.servers("blog") == [f"http://{SERVICE}:8000"]


@pytest.mark.parametrize("traefik", ["2s"], indirect=True)
def test_an_acknowledgement_is_of_this_writing(proxied: Host, traefik: Traefik) -> None:
    """Where the same names are wanted again, the acknowledgement still waits until Traefik has read the file anew.

    Otherwise what was written in between could become true after it.
    """
    proxied.hand_over((SERVICE, 8000))
    proxied.serve(SERVICE, OLD)
    proxied.acknowledge()
    proxied.serve(SERVICE, NEW)
    proxied.serve(SERVICE, OLD)
    proxied.acknowledge()
    for _ in range(30):
        assert traefik.servers("blog") == [f"http://{OLD}:8000"]
        time.sleep(0.1)


def test_a_full_disk_leaves_the_file_as_it_was(proxied: Host) -> None:
    """What cannot be written whole is not put in its place."""
    proxied.hand_over((SERVICE, 8000))
    before = proxied.own.read_text()
    proxied.ask("full")
    with pytest.raises(DeployFailed, match="cannot write to .* on the host"):
        proxied.ask("point")
    assert proxied.own.read_text() == before


def test_a_malformed_file_is_named_when_nothing_is_read(proxied: Host) -> None:
    """One file that Traefik cannot read keeps every change out: the message says where to look."""
    proxied.hand_over((SERVICE, 8000))
    (proxied.directory / "broken.yml").write_text("http: {")
    proxied.serve(SERVICE, OLD)
    with pytest.raises(DeployFailed, match=r"Traefik has not read .*deployer-blog.yml: see its log"):
        proxied.acknowledge("2")


def test_a_definition_that_wins_over_ours_is_told(proxied: Host, traefik: Traefik) -> None:
    """Traefik takes the first of two files that define a service: names that are never served are not acknowledged."""
    proxied.hand_over((SERVICE, 8000))
    proxied.save(own_file("127.0.0.99"), "a.yml")
    traefik.wait_for("blog", "http://127.0.0.99:8000")
    proxied.serve(SERVICE, OLD)
    with pytest.raises(DeployFailed, match="another file in .* defines under the same name"):
        proxied.acknowledge("8")  # by when a busy Traefik has read our file, too


def test_an_api_that_is_down_is_told(proxied: Host) -> None:
    """Without an answer of the API and without an entry point there is no acknowledgement."""
    proxied.api = "http://127.0.0.1:9"
    assert proxied.look().text("proxy_api") == "down"
    proxied.hand_over((SERVICE, 8000))
    proxied.serve(SERVICE, OLD)
    with pytest.raises(DeployFailed, match=r"API does not answer at http://127\.0\.0\.1:9 on the host"):
        proxied.acknowledge("1")


def test_a_client_waits_as_long_as_traefik_may_take(proxied: Host) -> None:
    """The host shows that it is alive meanwhile, however short the client's patience with a silent one is."""
    proxied.api = "http://127.0.0.1:9"

    def wait_in_vain() -> str:
        try:
            proxied.open(patience=4)
            proxied.hand_over((SERVICE, 8000))
            proxied.serve(SERVICE, OLD)
            proxied.acknowledge("9")
        except DeployerError as error:
            proxied.session.close()
            return str(error)
        return "it was acknowledged"

    for _ in range(ATTEMPTS):  # a machine that stops for so long shows no sign of life either
        said = wait_in_vain()
        if "API does not answer" in said:
            break
    assert "API does not answer" in said


def test_the_entry_point_acknowledges_where_the_api_does_not(proxied: Host, traefik: Traefik) -> None:
    """A path that only the newest writing of the file knows is asked for at the entry point, and gone at the end."""
    proxied.api, proxied.entry_point = "", traefik.entry_point
    proxied.hand_over((SERVICE, 8000))
    proxied.serve(SERVICE, OLD)
    proxied.acknowledge()
    assert traefik.servers("blog") == [f"http://{OLD}:8000"]
    proxied.ask("steady")
    proxied.acknowledge()
    assert traefik.servers("blog") == [f"http://{SERVICE}:8000"]
    assert "routers" not in proxied.own.read_text()


@pytest.mark.parametrize("client", ["curl", "wget", "busybox", "python3", "perl"])
def test_whatever_the_host_has_can_ask(
    client: str, proxied: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only_tools: Callable[[str], Path]
) -> None:
    """curl, GNU's or BusyBox's wget, Python and Perl see the API, its 404 and its absence alike."""
    monkeypatch.setenv("PATH", str(only_tools(client)))
    assert (proxied.look().text("proxy_api"), proxied.look().text("proxy_version")[:1]) == ("ok", "3")
    proxied.hand_over((SERVICE, 8000))
    proxied.serve(SERVICE, OLD, NEW)
    proxied.acknowledge()
    (proxied.directory / "broken.yml").write_text("http: {")
    proxied.serve(SERVICE, NEW)
    with pytest.raises(DeployFailed, match="Traefik has not read"):
        proxied.acknowledge("1")


@pytest.fixture
def only_tools(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a PATH of what the host's program needs, with one client for HTTP."""
    tools = "sh git find xargs stat sha256sum dd mv ln df date sed sort rm mkdir rmdir cat cp chmod chown head tail tr "
    tools += "grep id readlink sleep gzip env kill cut wc touch"

    def make(client: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        for tool in tools.split():
            (folder / tool).symlink_to(need(tool, "to run the host's program"))
        name = "wget" if client == "busybox" else client
        python = str(Path(sys.executable).resolve())
        (folder / name).symlink_to(python if client == "python3" else need(client, "to ask Traefik's API"))
        return folder

    return make


def test_the_directory_is_told_as_it_is(host: Host) -> None:
    """Files in subdirectories, a link and one that cannot be read; other endings and temporary names are not Traefik's."""
    (host.directory / "more").mkdir()
    (host.directory / "more" / "b.yaml").write_text("tls: {}\n\n\n")
    (host.directory / "c.toml").symlink_to(host.directory / "routers.yml")
    (host.directory / "dangling.yml").symlink_to("nowhere")
    (host.directory / "notes.txt").write_text("x")
    reply = host.look()
    names = ["c.toml", "dangling.yml", "deployer-blog.yml", "more/b.yaml", "routers.yml"]
    assert sorted(reply.every("proxy_file")) == names
    assert reply.every("proxy_unread") == ("dangling.yml",)
    assert b"tls: {}\n\n\n" in reply.facts[[value for _, value in reply.facts].index(b"more/b.yaml") + 1]
    assert reply.text("proxy_state") == "ok"


def test_without_a_directory_nothing_is_done(host: Host) -> None:
    """A deploy without [traefik] passes through the proxy's functions as if they were not there."""
    host.open()
    assert host.ask("look", "", "").facts == ()
    host.ask("point")
    host.acknowledge("1")
    assert host.look().text("proxy_directory")
    assert host.ask("look", str(host.folder / "nowhere"), "").text("proxy_state") == "absent"
