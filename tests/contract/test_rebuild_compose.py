"""The host's part in Docker and Compose, with a real engine: what it finds, and what it does to images.

The projects are the ones that deployer has to serve: a blog behind a proxy, an application with a database beside it that
is run by the old name of Compose, and a service with a name and secrets of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from deployer.errors import DeployFailed
from deployer.host import assemble
from deployer.plan import Reply
from deployer.rebuild.services import Port, Service, Volume, obstacles, read_services
from deployer.rebuild.space import check_space
from tests.conftest import need
from tests.engine import Engine
from tests.roots import pack

pytestmark = pytest.mark.timeout(180)

SECRET = "hush-4711"
BLOG = """
services:
  blog:
    image: main:latest
    build: {{context: ., args: {{TOKEN: {secret}}}}}
    restart: always
    stop_signal: SIGKILL
    command: [sleep, "6000"]
    environment: {{PASSWORD: {secret}}}
    deploy: {{replicas: {replicas}, labels: {{key: {secret}}}}}
    healthcheck: {{test: [CMD, "true", {secret}], interval: 1h}}
    networks: [traefik_proxy]
networks:
  traefik_proxy: {{external: true}}
"""
WITH_DATABASE = """
version: "3"
services:
  app:
    image: app:latest
    command: [sleep, "6000"]
    stop_signal: SIGKILL
  mongo:
    image: mongo:6
    command: [sleep, "6000"]
    stop_signal: SIGKILL
    container_name: app-mongo
    ports: ["127.0.0.1:0:27017"]
    volumes: ["../data/mongo:/data/db"]
"""
NAMED = """
services:
  bot:
    image: bot:latest
    command: [sleep, "6000"]
    stop_signal: SIGKILL
    container_name: the-bot
    environment: ["TOKEN=${TOKEN}"]
"""
EVERYTHING = """
services:
  a:
    image: main:latest
    build: {context: ., args: {TOKEN: hush}, secrets: [s]}
    command: ["hush", "}", "hush {"]
    environment: {"A": "hush\\n      \\"image\\": \\"hush\\"", "image": hush}
    labels: {image: hush}
    healthcheck: {test: ["NONE"]}
    deploy: {mode: replicated, replicas: 3, labels: {replicas: hush}, resources: {limits: {cpus: "0.5"}}}
    secrets: [s]
    ports: ["8080:80", "9000-9010:90/udp"]
    volumes: ["data:/d:ro", "/x", {type: tmpfs, target: /t}]
    networks: {n: {ipv4_address: 10.9.0.9}}
    devices: ["/dev/null:/dev/n"]
    logging: {driver: json-file, options: {image: hush}}
    stop_grace_period: 90s
  b:
    build: .
    healthcheck: {test: "curl hush", interval: 5s}
networks: {n: {driver: bridge, driver_opts: {name: hush}}}
volumes: {data: {driver: local, driver_opts: {o: "password=hush"}}}
secrets: {s: {environment: HUSH}}
configs: {c: {content: hush}}
x-name: hush
"""
_TAIL = """
live="" path=$1 app=blog parent=$2 state=$2/state work=$2/work compose_wanted=$3 release=''
mkdir -p "$state/undo" "$work" "$state/records/R1" "$state/records/R2"
for each in R1 R2; do [ -e "$state/records/$each/facts" ] || printf 'commit abc\\n' >"$state/records/$each/facts"; done
recorded_as() { fact status "$?"; }
while IFS= read -r words; do
eval "$words"
recorded_as
done
"""


@dataclass
class Host:
    """A checkout at ``path``, and the program's functions that work in it."""

    engine: Engine
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    wanted: str = ""
    shell: tuple[str, ...] = ("sh",)
    user: int | None = None

    @property
    def path(self) -> Path:
        return self.folder / "checkout"

    @property
    def state(self) -> Path:
        return self.folder / "host" / "state"

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def blog(self, *, secret: str = SECRET, replicas: int = 1) -> None:
        """The blogger's project, as it is in the checkout."""
        self.write("docker-compose.yml", BLOG.format(secret=secret, replicas=replicas))

    def up(self, *arguments: str) -> None:
        """As ``make up`` does."""
        self.engine.compose(self.path, *arguments, "up", "--detach", "--no-build", "--quiet-pull")

    def build(self, version: str, *tags: str) -> str:
        """An image such as ``make build`` makes, in a tenth of the time; the result is its id."""
        first, *others = tags or ("main:latest",)
        image = self.engine.docker("import", f"--change=LABEL version={version}", "-", first, archive=_root())
        for tag in others:
            self.engine.docker("tag", image, tag)
        return image

    def output(self, *words: str) -> tuple[bytes, str]:
        """What the program says to the client, and on standard error, when these words run in it one after the other."""
        program = self.folder / "program"
        program.write_text(
            assemble("deployer.rebuild.host", ("ahead.sh", "compose.sh", "project.sh", "images.sh")) + _TAIL
        )
        place = self.folder / "host"
        place.mkdir(exist_ok=True)
        if self.user is not None:
            os.chown(place, self.user, -1)
        given = "".join(f"{line}\n" for line in ("M", *words)).encode()
        # A login has its own time zone and locale, not those of whoever runs the tests.
        environment = {name: value for name, value in self.engine.environment.items() if name not in {"TZ", "LC_ALL"}}
        done = subprocess.run(
            [*self.shell, program, self.path, place, self.wanted],
            input=given,
            capture_output=True,
            env=environment | dict(self.variables),
            check=False,
            user=self.user,
            cwd="/",
        )
        return done.stdout, done.stderr.decode()

    def run(self, *words: str) -> Reply:
        """The facts that it answers. The last ``status`` is that of the last words."""
        return parse(self.output(*words)[0])

    def facts(self) -> Reply:
        return self.run("compose_facts")

    def image(self, reference: str) -> str:
        return self.engine.docker("image", "inspect", "--format={{.Id}}", reference, check=False)


@cache
def _root() -> bytes:
    return pack("busybox:latest")[0]


def parse(said: bytes) -> Reply:
    """The facts in the line protocol's answers."""
    facts = []
    while said:
        line, _, said = said.partition(b"\n")
        # A raw fact does not end its line.
        mark, kind, name, *rest = line.split(b" ", 3)
        assert mark == b"M"
        value = rest[0] if rest else b""
        if kind == b"#":
            value, said = said[: int(value)], said[int(value) :]
        facts.append((name.decode(), value))
    return Reply(tuple(facts))


@pytest.fixture
def host(engine: Engine, tmp_path: Path) -> Host:
    engine.provide("busybox:latest")
    host = Host(engine, tmp_path)
    host.path.mkdir()
    return host


@pytest.fixture
def cold(started_engine: Engine, tmp_path: Path) -> Host:
    """For tests that start nothing and make no image, so that nothing has to be cleaned up."""
    (tmp_path / "checkout").mkdir()
    return Host(started_engine, tmp_path)


@pytest.fixture
def live(host: Host) -> Host:
    """The blogger's project, running."""
    host.engine.docker("network", "create", "traefik_proxy")
    host.blog()
    host.build("1")
    host.up()
    return host


# --- what it finds -------------------------------------------------------------------------------------------------------


def test_a_live_project_is_found_with_its_containers_and_images(live: Host) -> None:
    """Containers with image, state and health; the image with its size; the room on Docker's disk; quickly."""
    began = time.monotonic()
    facts = live.facts()
    assert time.monotonic() - began < 15  # 0.3 s on a quiet machine
    image = live.image("main:latest")
    identifier = live.engine.docker("ps", "--quiet", "--no-trunc")
    assert facts.text("compose_file") == f"{live.path}/docker-compose.yml"
    assert (facts.text("docker"), facts.text("project")) == ("ok", "checkout")
    assert re.match(r"v?\d+\.\d+", facts.text("compose"))
    assert facts.every("container") == (f"blog checkout-blog-1 {identifier} {image} running starting 0",)
    assert facts.every("image")[0].startswith(f"blog {image} main:latest ")
    assert int(facts.every("image")[0].split()[-1]) > 100_000
    assert facts.number("docker_free_kilobytes") > 0
    assert facts.every("warning") == ()
    (service,) = read_services(facts.text("rendered"))
    assert (service.name, service.image, service.built, service.checked, obstacles(service)) == (
        "blog", "main:latest", True, True, (),
    )  # fmt: skip


def test_secrets_of_the_compose_file_stay_on_the_host(live: Host) -> None:
    """Environment, build arguments, labels and health check are not sent, and nothing of them is left in a file."""
    said, errors = live.output("compose_facts", "remember_images", "note_images R1")
    assert b"rendered_hash" in said
    assert SECRET not in said.decode() + errors
    files = [file for file in (live.folder / "host").rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if SECRET in file.read_text()]


@pytest.mark.parametrize("awk", ["awk", "busybox"])
def test_the_outline_has_what_a_roll_asks_for_and_nothing_secret(cold: Host, tmp_path: Path, awk: str) -> None:
    """Whatever the file has, in whichever place; by any awk."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "awk").symlink_to(need(awk, "to run the host's program"))
    cold.variables = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HUSH": "hush"}
    cold.write("compose.yaml", EVERYTHING)
    said, _ = cold.output("compose_facts")
    assert b"hush" not in said
    one, two = read_services(parse(said).text("rendered"))
    assert one == Service(
        "a", "main:latest", built=True, replicas=3, mode="replicated",
        ports=(Port("8080", "80"), Port("9000-9010", "90", "udp")),
        volumes=(Volume("volume", "data", "/d", read_only=True), Volume("volume", "", "/x"), Volume("tmpfs", "", "/t")),
        devices=("/dev/null",), networks=("n",), addresses=("10.9.0.9",), stop_grace_period="1m30s",
    )  # fmt: skip
    assert two == Service("b", built=True, networks=("default",), checked=True)


def test_every_shell_finds_the_same(live: Host) -> None:
    """Debian's, Alpine's, and the one that people log in to."""
    found = []
    for shell in (["dash"], ["bash"], ["busybox", "ash"]):
        live.shell = (need(shell[0], "to run the host's program"), *shell[1:])
        found.append([fact for fact in live.facts().facts if "free" not in fact[0]])
    assert len(found[0]) > 10
    assert found[0] == found[1] == found[2]


def test_the_hash_is_that_of_file_and_environment(live: Host) -> None:
    """The same gives the same; another value of any variable, secret or not, gives another."""
    first = live.facts().text("rendered_hash")
    assert len(first) == 64
    assert live.facts().text("rendered_hash") == first
    live.blog(secret="another")
    assert live.facts().text("rendered_hash") != first


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        (":", False),
        ("touch other.yml", False),
        ("echo TAG=v8 >.env", True),
        ("sed -i s/main/other/ compose.yaml", True),
        ("echo 'services: {}' >compose.override.yaml", True),
        ("echo 'include: [more.yaml]' >>compose.yaml", True),
    ],
)
def test_compose_is_asked_again_when_it_may_say_something_else(cold: Host, change: str, asked: bool) -> None:
    """Once is enough, unless a file changed of those that it reads, or it reads files that nobody knows."""
    cold.write("compose.yaml", "services: {blog: {image: 'main:${TAG-v7}'}}\n")
    again = "compose() { fact asked yes; return 1; }"
    facts = cold.run(
        "find_compose",
        "render",
        again,
        f"(cd '{cold.path}' && {change})",
        "find_compose",
        "render",
        "fact hash $rendered_hash",
    )
    assert (facts.text("asked") == "yes") == asked
    assert (len(facts.text("hash")) == 64) != asked


def test_the_environment_is_the_logins(cold: Host) -> None:
    """Compose sees the user's TZ and LC_ALL (or none), not the ones that the host's program sets for itself."""
    cold.write("compose.yaml", "services: {blog: {image: 'busybox:${TZ-none}-${LC_ALL-none}'}}")
    assert read_services(cold.facts().text("rendered"))[0].image == "busybox:none-none"
    cold.variables = {"TZ": "Europe/Berlin", "LC_ALL": "C.UTF-8"}
    assert read_services(cold.facts().text("rendered"))[0].image == "busybox:Europe/Berlin-C.UTF-8"


def test_a_project_that_does_not_run_yet_goes_by_composes_rules(cold: Host) -> None:
    """The directory's name is the project's; override file and .env count, as for `docker compose up` there."""
    cold.write("compose.yaml", "services: {blog: {image: 'main:${TAG}'}}")
    cold.write("compose.override.yaml", "services: {blog: {container_name: fixed}}")
    cold.write(".env", "TAG=v7\n")
    facts = cold.facts()
    (service,) = read_services(facts.text("rendered"))
    assert (service.image, service.container_name) == ("main:v7", "fixed")
    assert (facts.text("project"), facts.every("container"), facts.every("image")) == ("checkout", (), ())
    assert facts.number("docker_free_kilobytes") > 0


def test_a_project_is_found_as_it_was_started(host: Host) -> None:
    """By another name, files, variables file and through a link: a call of Compose then leaves its containers alone."""
    host.write("docker-compose.yml", "services: {blog: {image: busybox:latest, command: [sleep, '6000'], init: true}}")
    host.write("production.yml", "services: {blog: {environment: {WHO: '${WHO}'}}}")
    host.write("production.env", "WHO=me\n")
    (host.folder / "link").symlink_to(host.path)
    named = ("-p", "shop", "--env-file", "production.env", "-f", "docker-compose.yml", "-f", "production.yml")
    host.engine.compose(host.folder / "link", *named, "up", "--detach")
    facts = host.run("compose_facts", "needs_replacing blog")
    assert facts.text("project") == "shop"
    assert [text.split()[1] for text in facts.every("container")] == ["shop-blog-1"]
    assert facts.number("status") == 1  # it runs as it should
    # The next commit gives the file its new name, and has everything in it.
    (host.path / "docker-compose.yml").rename(host.path / "compose.yaml")
    (host.path / "production.yml").unlink()
    facts = host.facts()
    assert (facts.text("project"), facts.text("compose_error"), len(facts.every("container"))) == ("shop", "", 1)


def test_a_checkout_that_was_moved_keeps_its_containers(live: Host) -> None:
    """Compose goes by the project's name then, and so do we."""
    moved = live.folder / "elsewhere" / "checkout"
    moved.parent.mkdir()
    live.path.rename(moved)
    facts = Host(live.engine, moved.parent).facts()
    assert (facts.text("project"), len(facts.every("container"))) == ("checkout", 1)


def test_another_checkout_with_a_folder_of_the_same_name_is_not_ours(live: Host) -> None:
    """One project for Compose, but neither its containers nor its images are touched or counted."""
    other = live.folder / "other" / "checkout"
    other.mkdir(parents=True)
    (other / "compose.yaml").write_text("services: {job: {image: job:latest, init: true, command: [sleep, '6000']}}")
    live.build("1", "job:latest")
    live.engine.compose(other, "up", "--detach")
    facts = live.facts()
    assert [text.split()[0] for name in ("container", "image") for text in facts.every(name)] == ["blog", "blog"]
    live.run("remember_images")
    moved = live.build("2", "job:latest")
    live.run("restore_images")
    assert live.image("job:latest") == moved


def test_two_projects_of_one_file_are_told(live: Host) -> None:
    """The one with more containers that run is ours; containers of `docker compose run` are nobody's."""
    live.engine.compose(live.path, "-p", "second", "up", "--detach", "--no-build")
    live.engine.compose(live.path, "-p", "checkout", "up", "--detach", "--no-build", "--scale=blog=2")
    live.engine.compose(live.path, "-p", "third", "run", "--detach", "blog")
    facts = live.facts()
    assert facts.text("project") == "checkout"
    assert len(facts.every("container")) == 2
    (warning,) = facts.every("warning")
    assert "checkout and second" in warning


def test_the_old_name_and_a_file_in_a_folder(host: Host, tmp_path: Path) -> None:
    """docker-compose.yml in docker/, started by `docker-compose`; the database cannot roll, and need not."""
    host.write("docker/docker-compose.yml", WITH_DATABASE)
    host.build("1", "app:latest", "mongo:6")
    old = shutil.which("docker-compose")
    command = [old or need("docker-compose", "the old name of Compose"), "-f", "docker/docker-compose.yml", "up", "-d"]
    subprocess.run(command, cwd=host.path, env=host.engine.environment, check=True, capture_output=True)
    facts = host.run(
        "plugins=''; works() { [ \"$1\" = docker-compose ] && compose_version=2.26 composer=$1; }", "compose_facts"
    )
    app, mongo = read_services(facts.text("rendered"))
    assert (facts.text("project"), facts.text("compose")) == ("docker", "2.26")
    assert obstacles(app) == ()
    assert [text.partition(" ")[0] for text in obstacles(mongo)] == ["it", "it"]
    assert mongo.volumes[0].source == str(tmp_path / "checkout" / "data" / "mongo")
    assert [text.split()[:2] for text in facts.every("container")] == [["app", "docker-app-1"], ["mongo", "app-mongo"]]
    mongo_id = host.engine.docker("ps", "--quiet", "--filter=name=app-mongo")
    host.build("2", "app:latest")
    assert host.run("find_compose", "needs_replacing mongo").number("status") == 1
    assert host.run("find_compose", "needs_replacing app").number("status") == 0
    assert host.engine.docker("ps", "--quiet", "--filter=name=app-mongo") == mongo_id


def test_a_service_with_a_name_and_secrets_of_the_servers_environment(host: Host) -> None:
    """It cannot roll; its secret, which only `up` may have, warns of nothing as long as the images are the same."""
    host.write("docker-compose.yml", NAMED)
    host.build("1", "bot:latest")
    host.variables = {"TOKEN": SECRET}
    subprocess.run(
        ["docker", "compose", "up", "-d"],
        cwd=host.path, env=host.engine.environment | {"TOKEN": SECRET}, check=True, capture_output=True,
    )  # fmt: skip
    said, _ = host.output("compose_facts")
    (service,) = read_services(parse(said).text("rendered"))
    assert "container_name: the-bot" in obstacles(service)[0]
    assert SECRET.encode() not in said
    host.variables = {}
    facts = host.facts()
    assert (facts.every("warning"), facts.every("unset")) == ((), ("TOKEN",))


def test_a_variable_that_only_make_up_has_is_told(host: Host) -> None:
    """`image: main:${VERSION}` with VERSION from the Makefile: what runs has another reference than what we would run."""
    host.write(
        "docker-compose.yml", "services: {blog: {image: 'main:${VERSION}', command: [sleep, '6000'], init: true}}"
    )
    host.build("1", "main:v1")
    subprocess.run(
        ["docker", "compose", "up", "-d"],
        cwd=host.path, env=host.engine.environment | {"VERSION": "v1"}, check=True, capture_output=True,
    )  # fmt: skip
    facts = host.facts()
    (warning,) = facts.every("warning")
    assert facts.every("unset") == ("VERSION",)
    assert "blog (main: instead of main:v1)" in warning
    assert "a variable in the Compose file is not set" in obstacles(read_services(facts.text("rendered"))[0])[0]
    host.write(".env", "VERSION=v1\n")
    assert host.facts().every("warning") == ()


# --- what is wrong ---------------------------------------------------------------------------------------------------------


def test_without_a_compose_file_docker_is_not_asked(cold: Host) -> None:
    """A checkout may be deployed by other means, on a host without Docker."""
    facts = cold.facts()
    assert [name for name, _ in facts.facts] == ["compose_file", "status"]
    assert facts.text("compose_file") == ""


def test_a_missing_and_an_ambiguous_compose_file_are_told(cold: Host) -> None:
    """With the key that decides."""
    cold.write("docker/docker-compose.yml", NAMED)
    cold.write("deploy/compose.yaml", NAMED)
    assert re.search("several Compose files.*rebuild.compose_file", cold.facts().text("compose_error"))
    cold.wanted = "docker/compose.yml"
    assert "does not exist on the host" in cold.facts().text("compose_error")
    cold.wanted = "docker/docker-compose.yml"
    facts = cold.facts()
    assert (facts.text("compose_error"), facts.text("project")) == ("", "docker")


def test_an_invalid_compose_file_is_told_in_composes_words(cold: Host) -> None:
    """By the facts before the build, and as a failure after it."""
    cold.write("compose.yaml", "services: {blog: {imagx: a}}")
    facts = cold.facts()
    assert re.search("compose.yaml is invalid: .*imagx", facts.text("compose_error"))
    assert facts.text("rendered") == ""
    said, _ = cold.output("compose_facts", "note_images R1")
    assert b"M ! failed the Compose file" in said


def test_docker_that_is_absent_down_or_denied_is_told_apart(cold: Host, tmp_path: Path) -> None:
    """By what is there, not by the words of its message."""
    cold.write("compose.yaml", NAMED)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "date", "stat", "grep", "sed", "mkdir", "awk", "sort", "df", "id", "cut", "tr"):
        (tools / tool).symlink_to(need(tool, "to run the host's program"))
    cold.variables = {"PATH": str(tools)}
    assert cold.facts().text("docker") == "none"
    cold.variables = {"DOCKER_HOST": f"unix://{tmp_path}/no-socket"}
    assert cold.facts().text("docker") == "down"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
        cold.variables = {"DOCKER_HOST": f"unix://{tmp_path}/dead"}
        facts = cold.facts()
        assert facts.text("docker") == "down"
        assert facts.text("docker_said")
    assert facts.raw("rendered") is None


def test_a_user_who_may_not_use_docker_is_told(started_engine: Engine) -> None:
    """Docker runs, but its socket is not for this user."""
    need("root", "to become another user", present=os.geteuid() == 0)
    with tempfile.TemporaryDirectory() as folder:
        host = Host(started_engine, Path(folder), user=65534)
        host.write("compose.yaml", NAMED)
        os.chown(folder, 65534, 65534)
        assert host.facts().text("docker") == "denied"


def test_compose_1_is_too_old_to_roll_but_its_images_are_kept(live: Host, tmp_path: Path) -> None:
    """Its services are known by what runs."""
    program = tmp_path / "docker-compose"
    program.write_text('#!/bin/sh\ncase "$*" in "version --short") echo 1.29.2 ;; *) exit 1 ;; esac\n')
    program.chmod(0o755)
    facts = live.run(
        f"plugins=''; works() {{ compose_version=$({program} version --short) && composer={program}; }}",
        "compose_facts", "note_images R1",
    )  # fmt: skip
    assert facts.text("compose") == "1.29.2"
    assert "too old" in facts.text("compose_error")
    assert (live.state / "records/R1/images").read_text() == f"blog {live.image('main:latest')} main:latest\n"


def test_what_compose_1_has_made_is_found_and_told(host: Host) -> None:
    """Its label has the file's path as it was given; Compose 2 will replace these containers once, the database too."""
    host.write("docker/docker-compose.yml", WITH_DATABASE)
    labels = {
        "project": "shop", "service": "mongo", "oneoff": "False", "version": "1.29.2", "config-hash": "old",
        "project.config_files": "docker/docker-compose.yml", "project.working_dir": f"{host.path}/docker",
    }  # fmt: skip
    marks = [f"--label=com.docker.compose.{name}={value}" for name, value in labels.items()]
    host.engine.docker("run", "--detach", "--init", "--name=shop_mongo_1", *marks, "busybox:latest", "sleep", "6000")
    facts = host.facts()
    assert (facts.text("project"), facts.every("container")[0].split()[:2]) == ("shop", ["mongo", "shop_mongo_1"])
    assert "containers of mongo were made by docker-compose 1" in facts.every("warning")[-1]


def test_a_disk_without_room_for_the_next_images_is_told(live: Host) -> None:
    """The sizes of what is built or rolled, each image once, against what Docker's disk has."""
    facts = live.facts()
    services = read_services(facts.text("rendered"))
    check_space(facts, services, {"blog"})
    full = Reply((*facts.facts, ("docker_free_kilobytes", b"10")))
    with pytest.raises(DeployFailed, match=r"has 0 MB free, .* may take \d+ MB, .*blog") as raised:
        check_space(full, services, ())
    assert "docker system df" in raised.value.hint


# --- images ----------------------------------------------------------------------------------------------------------------


def test_a_release_holds_its_images_and_a_failed_one_gives_the_reference_back(live: Host) -> None:
    """After undo the reference means what runs, the failed release's tags and image are gone, and again is silent."""
    old = live.image("main:latest")
    live.run("remember_images", "note_images R1")
    (live.state / "undo/images").unlink()  # R1 is confirmed
    live.run("remember_images")
    new = live.build("2")
    facts = live.run("note_images R2")
    assert facts.every("image")[-1] == f"blog {new} main:latest changed"
    assert (live.state / "records/R2/images").read_text() == f"blog {new} main:latest\n"
    assert (live.state / "records/R2/facts").read_text() == f"commit abc\nhash {facts.text('rendered_hash')}\n"
    assert live.image("deployer/blog/blog:R2") == new
    for _ in range(2):
        assert live.run("restore_images").number("status") == 0
        assert (live.image("main:latest"), live.image("deployer/blog/blog:R2")) == (old, "")
    assert live.image("deployer/blog/blog:R1") == old
    assert live.image(new) == ""
    assert live.run("find_compose", "needs_replacing blog").number("status") == 1


def test_undo_waits_for_an_engine_that_is_down(live: Host) -> None:
    """What is to be undone stays written down."""
    live.run("remember_images")
    live.variables = {"DOCKER_HOST": "unix:///nowhere"}
    assert live.run("restore_images").number("status") == 1
    assert (live.state / "undo/images").exists()


def test_what_serves_comes_back_even_when_its_reference_had_moved_before(live: Host) -> None:
    """An image that was built and never brought up is not what a failed deploy leaves to the next `make up`."""
    old = live.image("main:latest")
    assert live.build("never-up") != old
    live.run("remember_images", "restore_images")
    assert live.image("main:latest") == old


def test_a_kept_release_comes_back_by_image_id(live: Host) -> None:
    """Even when its tag has moved; going back can be undone, too."""
    old = live.image("main:latest")
    live.run("note_images R1")
    (live.state / "undo/images").unlink()
    new = live.build("2")
    live.up()
    assert live.run("use_images R1").every("missing") == ()
    assert live.image("main:latest") == old
    live.run("restore_images")
    assert live.image("main:latest") == new


def test_a_pruned_image_is_told_before_anything_moves(live: Host) -> None:
    """A plain `docker image prune` keeps what our tags hold; with --all it is gone, and missing."""
    live.run("note_images R1")
    kept = live.image("main:latest")
    new = live.build("2")
    live.up()
    live.engine.docker("image", "prune", "--force")
    assert live.image(kept) == kept
    live.engine.docker("image", "prune", "--all", "--force", "--filter=label=version=1")
    facts = live.run("use_images R1")
    assert facts.every("missing") == ("blog",)
    assert live.image("main:latest") == new


def test_a_dropped_release_takes_only_its_own_images(live: Host) -> None:
    """An image with another tag, another app's and another release's stay, and so does what a container uses."""
    live.run("note_images R1")
    new = live.build("2")
    live.run("note_images R2")
    other = live.build("3", "deployer/other/blog:R1", "mine:latest")
    only = live.build("4", "deployer/blog/job:R1")
    live.engine.docker("tag", new, "deployer/blog/third:R1")
    live.run("forget_images R1")
    assert (live.image("deployer/blog/third:R1"), live.image(only)) == ("", "")
    assert {live.image("deployer/blog/blog:R2"), live.image("main:latest")} == {new}
    assert {live.image("deployer/other/blog:R1"), live.image("mine:latest")} == {other}
    assert live.engine.docker("inspect", "--format={{.State.Status}}", "checkout-blog-1") == "running"


def test_a_service_name_that_is_no_reference_is_kept_all_the_same(host: Host) -> None:
    """Compose allows capitals, underscores and dots at places where Docker's references do not."""
    names = ("Web", "_job", "a.b-")
    host.write("compose.yaml", "services: {" + ", ".join(f"{name}: {{image: main:latest}}" for name in names) + "}")
    image = host.build("1")
    host.run("note_images R1")
    kept = host.engine.docker(
        "image", "ls", "--filter=reference=deployer/blog/*:R1", "--format={{.Repository}}"
    ).split()
    assert (len(set(kept)), len((host.state / "records/R1/images").read_text().splitlines())) == (3, 3)
    host.run("forget_images R1")
    assert host.engine.docker("image", "ls", "--quiet", "--filter=reference=deployer/blog/*") == ""
    assert host.image("main:latest") == image


def test_a_service_is_replaced_only_when_up_would(live: Host) -> None:
    """Not when nothing changed, whatever the number of replicas; for an image, for its configuration, and when it is new."""

    def answers() -> list[str]:
        both = live.run("find_compose", "needs_replacing blog", "differs blog")  # with a dry run, and without
        return [{"0": "replaced", "1": "left alone"}[status] for status in both.every("status")[1:]]

    live.engine.compose(live.path, "up", "--detach", "--no-build", "--scale=blog=2")
    assert answers() == ["left alone"] * 2
    live.blog(secret="another")
    assert answers() == ["replaced"] * 2
    live.blog()
    live.build("2")
    assert answers() == ["replaced"] * 2
    live.engine.compose(live.path, "down", "--timeout=0")
    assert answers() == ["replaced"] * 2
