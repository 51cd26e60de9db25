"""`deployer check` on real hosts: what is right is fine, and each thing that is wrong has its line and its mend."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.dockerd import dockerd_for_tests
from tests.end_to_end.deployment import Deployment, Ran, listing
from tests.end_to_end.hosts import busybox_programs, ordinary_user, programs_without
from tests.nginx import Nginx
from tests.sshd import Sshd, make_key, sshd_for_tests

ORDER = ["config", "source", "dns", "connection", "host_key", "login", "clock", "tools", "parent", "target", "state"]
ON_THE_HOST = ["clock", "tools", "parent", "target", "state", "disk", "inodes", "lock"]


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """A real OpenSSH server, on whose host there is no docker."""
    path = programs_without(tmp_path / "programs", "docker")
    with sshd_for_tests(tmp_path, config=[f"SetEnv PATH={path}"]) as server:
        yield server


@pytest.fixture
def remote(tmp_path: Path, sshd: Sshd) -> Deployment:
    """A site that deploys over that server."""
    site = Deployment(tmp_path, sshd=sshd)
    site.files(index="page", other="other")
    return site


@pytest.fixture
def local(tmp_path: Path) -> Deployment:
    """A site that deploys to this machine, which has no docker."""
    site = Deployment(tmp_path)
    site.files(index="page")
    site.variables["PATH"] = programs_without(tmp_path / "programs", "docker")
    return site


def replace_program(site: Deployment, name: str, script: str) -> None:
    """Let a program of the host be a script of the test's."""
    program = site.directory / "programs" / name
    program.unlink(missing_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def checked(site: Deployment, code: int, *flags: str) -> dict[str, dict[str, str]]:
    """The answer's findings by name; of a name that is there twice, the last."""
    ended = site.command("check", "--json", *flags)
    assert ended.code == code, ended.out + ended.err
    assert "Traceback" not in ended.err
    answer = ended.json
    assert set(answer) == {"app", "checks"}
    for each in answer["checks"]:
        assert set(each) == {"name", "host", "state", "found", "mend"}
        assert bool(each["mend"]) == (each["state"] != "ok"), each
    return {each["name"]: each for each in answer["checks"]}


def states(found: dict[str, dict[str, str]], *but: str) -> set[str]:
    """The states of all findings but these."""
    return {each["state"] for name, each in found.items() if name not in but}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_a_fresh_server_is_fine_and_stays_as_it_is(remote: Deployment, sshd: Sshd) -> None:
    """Before the first deploy there is nothing to mend, and looking leaves no trace on the server."""
    before = listing(remote.parent)

    found = checked(remote, 0)

    assert states(found) == {"ok"}
    assert list(found)[: len(ORDER)] == ORDER
    assert found["login"]["host"] == f"{sshd.user}@127.0.0.1:{sshd.port}"
    assert listing(remote.parent) == before


def test_a_deployed_site_is_fine_and_stays_as_it_is(remote: Deployment) -> None:
    """The live release is named and whole."""
    remote.deploy()
    before = listing(remote.parent)

    found = checked(remote, 0)

    assert states(found) == {"ok"}
    assert remote.live in found["target"]["found"]
    assert listing(remote.parent) == before


def test_lines_for_people(local: Deployment) -> None:
    """One line each on standard output, what to do below it, the sum on standard error; --quiet leaves what is wrong."""
    local.deploy()
    local.state.chmod(0o755)

    ended = local.command("check")
    quiet = local.command("check", "--quiet")

    assert (ended.code, ended.err) == (0, "1 warning\n")
    lines = ended.out.splitlines()
    assert lines[0].split()[:2] == ["fine", "config"]
    warned = next(index for index, line in enumerate(lines) if line.startswith("warning  state"))
    assert lines[warned + 1].split() == [">", "chmod", "700", str(local.state)]
    assert [line.split()[:2] for line in quiet.out.splitlines() if line[:1].isalpha()] == [
        ["local"],
        ["warning", "state"],
    ]
    assert quiet.err == ""


# --- the configuration -----------------------------------------------------------------------------------------------


def test_a_wrong_configuration_is_one_error(local: Deployment) -> None:
    """Exit 2 like a run's, in the same words, and as the same object."""
    local.settings["lock_wait"] = "soon"
    ended = local.command("check", "--json")
    assert ended.code == 2
    (found,) = ended.json["checks"]
    assert (ended.json["app"], found["name"], found["state"]) == (None, "config", "error")
    assert "lock_wait" in found["found"]


def test_a_missing_source_is_found(local: Deployment) -> None:
    """Exit 2, and the host is looked at all the same."""
    local.static["source"] = "not-there"
    found = checked(local, 2)
    assert (found["source"]["state"], found["target"]["state"]) == ("error", "ok")
    local.static["build"] = "no-such-program --all"
    found = checked(local, 1)
    assert (found["build"]["state"], found["source"]["state"]) == ("error", "ok")


# --- the way ---------------------------------------------------------------------------------------------------------


def test_a_host_without_address_is_found(remote: Deployment) -> None:
    """Its name is told, and nothing is said of a host that nobody could ask."""
    found = checked(remote, 4, "--host", "deploy@no-such-host.invalid", "--host-key", "ssh-ed25519 " + "A" * 68)
    assert found["dns"]["state"] == "error"
    assert "no-such-host.invalid" in found["dns"]["found"]
    assert "connection" not in found


def test_a_port_where_nobody_listens_is_found(remote: Deployment) -> None:
    """One error for the host; what is here was looked at."""
    remote.host |= {"port": free_port(), "connect_timeout": 0.5}
    found = checked(remote, 4)
    assert found["connection"]["state"] == "error"
    assert states(found, "connection") == {"ok"}
    assert set(found) == {"config", "source", "dns", "connection"}


def test_a_wrong_host_key_is_found(remote: Deployment, tmp_path: Path) -> None:
    """The connection is fine, the key is not; both fingerprints are told, and nobody logged in."""
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text().split()
    remote.host["host_key"] = [" ".join(other[:2])]
    found = checked(remote, 4)
    assert (found["connection"]["state"], found["host_key"]["state"]) == ("ok", "error")
    assert found["host_key"]["found"].count("SHA256:") == 2
    assert "login" not in found


def test_a_host_key_that_nobody_pinned_is_found(remote: Deployment, sshd: Sshd) -> None:
    """What to pin, after checking it, is in the mend."""
    del remote.host["host_key"]
    found = checked(remote, 4)
    assert found["host_key"]["state"] == "error"
    assert sshd.public() in found["host_key"]["mend"]


def test_a_weak_pinned_key_is_a_warning(remote: Deployment, sshd: Sshd) -> None:
    """It works; a stronger key of the same server is better. Beside an Ed25519 key it is nothing to tell."""
    remote.host["host_key"] = [sshd.pin("rsa")]
    weak = checked(remote, 0)["host_key"]
    assert (weak["state"], "2048 bits" in weak["found"]) == ("warning", True)
    remote.host["host_key"] = [sshd.pin("rsa"), sshd.pin("ed25519")]
    assert checked(remote, 0)["host_key"]["state"] == "ok"


def test_a_refused_login_is_found(remote: Deployment, tmp_path: Path) -> None:
    """The server is the right one, but the key does not let us in: what to put where is in the mend."""
    key = make_key(tmp_path / "stranger")
    remote.host["key"] = str(key)
    found = checked(remote, 4)
    assert [found[name]["state"] for name in ("connection", "host_key", "login")] == ["ok", "ok", "error"]
    assert "authorized_keys" in found["login"]["mend"]
    assert key.with_suffix(".pub").read_text().split()[1] in found["login"]["mend"]


def test_a_key_that_is_not_there_is_found(remote: Deployment, tmp_path: Path) -> None:
    """Exit 2, as for a run: the mistake is here."""
    remote.host["key"] = str(tmp_path / "missing")
    assert checked(remote, 2)["login"]["state"] == "error"


def test_a_forced_command_that_says_no_is_found(tmp_path: Path) -> None:
    """Logged in, and yet no program runs."""
    with sshd_for_tests(tmp_path, options='command="echo no; exit 1"') as sshd:
        site = Deployment(tmp_path, sshd=sshd)
        site.files(index="page")
        found = checked(site, 1)
    assert (found["login"]["state"], found["program"]["state"]) == ("ok", "error")


def test_a_jump_host_is_gone_through(remote: Deployment, sshd: Sshd) -> None:
    """The host is looked at behind it; a jump host that is not there is the connection's error."""
    remote.host["jump"] = f"{sshd.user}@127.0.0.1:{sshd.port}"
    found = checked(remote, 0)
    assert states(found) == {"ok"}
    assert f"through 127.0.0.1:{sshd.port}" in found["connection"]["found"]

    remote.host |= {"jump": f"127.0.0.1:{free_port()}", "connect_timeout": 0.5}
    assert checked(remote, 4)["connection"]["state"] == "error"


def test_one_of_two_hosts_is_dead(remote: Deployment, sshd: Sshd) -> None:
    """One error for the dead host, and everything about the living one."""
    dead, living = f"{sshd.user}@127.0.0.1:{free_port()}", f"{sshd.user}@127.0.0.1:{sshd.port}"
    del remote.host["host_key"]
    flags = ["--host", dead, "--host", living, "--host-key", sshd.pin(), "--connect-timeout", "30"]

    ended = remote.command("check", "--json", "--key", str(sshd.key_file), *flags)

    assert ended.code == 4, ended.out + ended.err
    of_dead, of_living = ([each for each in ended.json["checks"] if each["host"] == host] for host in (dead, living))
    assert [(each["name"], each["state"]) for each in of_dead] == [("dns", "ok"), ("connection", "error")]
    assert {each["state"] for each in of_living} == {"ok"}
    assert [each["name"] for each in of_living][3:] == ["login", *ON_THE_HOST][: len(of_living) - 3]


# --- the host --------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_wrong_is_a_warning(local: Deployment) -> None:
    """Deploys go by the host's clock, whatever it says."""
    replace_program(local, "date", 'case $* in +%s) echo $(($(/bin/date +%s) + 7300));; *) exec /bin/date "$@";; esac')
    clock = checked(local, 0)["clock"]
    assert (clock["state"], "2 h ahead" in clock["found"]) == ("warning", True)


def test_a_missing_tool_is_found(local: Deployment) -> None:
    """By its name; all else that can be asked without it is."""
    (local.directory / "programs" / "sha256sum").unlink()
    found = checked(local, 1)
    assert (found["tools"]["state"], "sha256sum" in found["tools"]["found"]) == ("error", True)
    assert found["parent"]["state"] == "ok"


def test_a_busybox_host_is_fine(tmp_path: Path) -> None:
    """With no other programs than BusyBox's, before and after a deploy."""
    site = Deployment(tmp_path)
    site.files(index="page")
    site.variables["PATH"] = busybox_programs(tmp_path / "programs")
    before = checked(site, 0)
    site.deploy()
    after = checked(site, 0)
    assert "BusyBox" in before["tools"]["found"]
    assert states(before) == states(after) == {"ok"}


def test_a_target_that_cannot_be_is_found(local: Deployment) -> None:
    """No parent, a file in the target's place, a foreign link: each in its own words, and mended by its mend."""
    local.static["target"] = str(local.directory / "nowhere" / "site")
    assert checked(local, 1)["parent"]["mend"].startswith(f"sudo mkdir -p {local.directory}/nowhere && sudo chown ")

    local.static["target"] = str(local.target)
    local.target.write_text("a file")
    assert checked(local, 1)["target"]["mend"] == f"mv {local.target} {local.target}.old"

    local.target.unlink()
    local.target.symlink_to(local.source)
    assert checked(local, 1)["target"]["mend"] == f"rm {local.target}"
    os.system(checked(local, 1)["target"]["mend"])
    assert states(checked(local, 0)) == {"ok"}


def test_a_parent_of_somebody_else_is_found(open_directory: Path, tmp_path: Path, as_root: None) -> None:
    """For a user without rights there: who owns it, and the command for whoever may."""
    site = Deployment(open_directory)
    site.files(index="page")
    site.variables["PATH"] = ordinary_user(
        open_directory / "shell", programs_without(open_directory / "programs", "docker")
    )
    found = checked(site, 1)
    assert "belongs to root" in found["parent"]["found"]
    assert found["parent"]["mend"] == f"sudo chown nobody {site.parent}"


def test_a_plain_directory_needs_a_tool_to_be_adopted_without_a_gap(local: Deployment) -> None:
    """With one it is fine, without any the gap is told before it happens."""
    local.target.mkdir()
    (local.target / "index.html").write_text("by hand")
    with_one = checked(local, 0)["target"]
    for name in ("python3", "perl", "exch"):
        (local.directory / "programs" / name).unlink(missing_ok=True)
    replace_program(local, "mv", '[ "$1" != --exchange ] || exit 1; exec /bin/mv "$@"')
    without = checked(local, 0)["target"]
    assert (with_one["state"], without["state"]) == ("ok", "warning")


def test_a_disk_that_is_nearly_full_is_found(small_disk: Path, local: Deployment) -> None:
    """Little space is a warning, none an error; the same for inodes."""
    local.static["target"] = str(small_disk / "site")
    assert states(checked(local, 0)) == {"ok"}

    about = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(about.f_bavail * about.f_bsize - 550_000))
    assert checked(local, 0)["disk"]["state"] == "warning"
    (small_disk / "filler").write_bytes(bytes(about.f_bavail * about.f_bsize))
    assert checked(local, 1)["disk"]["state"] == "error"
    (small_disk / "filler").unlink()

    for number in range(os.statvfs(small_disk).f_ffree):
        (small_disk / f"{number}").touch()
    assert checked(local, 1)["inodes"]["state"] == "error"


def test_a_read_only_file_system_is_found(small_disk: Path, local: Deployment) -> None:
    """Also where the user is root, who may write everywhere else."""
    local.static["target"] = str(small_disk / "site")
    mounted = os.system(f"{need('mount', 'to mount read-only')} -o remount,ro {small_disk}")
    assert mounted == 0
    parent = checked(local, 1)["parent"]
    assert "read-only" in parent["found"]


def test_a_mount_point_is_no_target(small_disk: Path, local: Deployment) -> None:
    """It cannot be renamed; a directory in it can."""
    local.static["target"] = str(small_disk)
    target = checked(local, 1)["target"]
    assert f"{small_disk}/current" in target["mend"]


def test_what_a_deploy_left_is_found(local: Deployment) -> None:
    """A living lock, a dead one, an interrupted switch, a hot fix in the live release: warnings that say what to do."""
    local.deploy()
    live = local.target.readlink().name
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    entry = local.state / "lock" / "abc"
    entry.mkdir(parents=True)
    start = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    (entry / "owner").write_text(f"{os.getpid()} {start} {boot} {os.readlink('/proc/self/ns/pid')}\nanna@laptop\n")
    (entry / "lease").touch()
    (local.state / "pending").write_text(f"{live} \n")
    found = checked(local, 0)
    assert "held by anna@laptop" in found["lock"]["found"]
    assert "interrupted" not in found

    (entry / "owner").write_text(f"{os.getpid()} 1 {boot} {os.readlink('/proc/self/ns/pid')}\nanna@laptop\n")
    (local.target / "index.html").write_text("hot fix")
    found = checked(local, 0)
    assert {name for name, each in found.items() if each["state"] == "warning"} == {"lock", "interrupted", "target"}

    local.deploy()
    assert states(checked(local, 0)) == {"ok"}


def test_a_release_that_failed_its_gate_is_told(local: Deployment) -> None:
    """Kept for whoever wants to look into it, and where to look."""
    local.deploy()
    local.files(index="worse")
    failed = local.run("--health-url", f"http://127.0.0.1:{free_port()}/", "--timeout", "0.5")
    assert failed.code == 5, failed.err
    found = checked(local, 0)["failed"]
    assert (found["state"], found["mend"].startswith("deployer logs 2")) == ("warning", True)


@pytest.mark.parametrize("command", ["another app", "another version"])
def test_state_that_a_run_would_refuse_is_found(local: Deployment, command: str) -> None:
    """With the code that the run would end with."""
    local.deploy()
    if command == "another app":
        local.settings["app"] = "intruder"
    else:
        (local.state / "version").write_text("")
    code = 2 if command == "another app" else 1
    assert checked(local, code)["state"]["state"] == "error"
    assert local.run().code == code


# --- containers ------------------------------------------------------------------------------------------------------


def docker(site: Deployment, *containers: tuple[str, str, str]) -> None:
    """A docker on the host that runs these: name, what it mounts, and where."""
    lines = [
        json.dumps(
            {"name": f"/{name}", "mounts": [{"Type": "bind", "Source": source, "Destination": inside, "RW": False}]}
        )
        for name, source, inside in containers
    ]
    (site.directory / "containers").write_text("".join(f"{line}\n" for line in lines))
    replace_program(site, "docker", f'case $1 in ps) echo abc;; inspect) cat "{site.directory}/containers";; esac')


def test_containers_are_told_how_they_see_the_target(local: Deployment) -> None:
    """One that mounts the target itself is an error with the volume to write, one that mounts its parent is right."""
    docker(local, ("front", str(local.parent), "/usr/share/nginx/html"))
    assert checked(local, 0)["mounts"]["found"].endswith("/usr/share/nginx/html/site")

    docker(local, ("front", str(local.target), "/usr/share/nginx/html"), ("other", "/elsewhere", "/data"))
    mounts = checked(local, 1)["mounts"]
    assert mounts["found"].startswith(f"front mounts {local.target} itself")
    assert f"{local.parent}:{local.parent}:ro" in mounts["mend"]


def test_a_real_dockers_containers_are_read(local: Deployment) -> None:
    """What the engine itself says of its containers: a bind mount of the target, one of its parent, and none."""
    with dockerd_for_tests() as engine:
        (local.directory / "programs" / "docker").symlink_to(need("docker", "to ask the engine"))
        local.variables["DOCKER_HOST"] = engine.host
        assert "no running container" in checked(local, 0)["mounts"]["found"]

        local.deploy()
        engine.run("front", f"--volume={local.parent}:/html:ro", "--volume=data:/data")
        engine.run("none")
        assert checked(local, 0)["mounts"]["found"] == f"front mounts {local.parent} and has the site at /html/site"

        engine.run("pinned", f"--volume={local.target}:/html")
        ended = local.command("check", "--json")
        (error,) = [each for each in ended.json["checks"] if each["state"] == "error"]
        assert error["found"].startswith(f"pinned mounts {local.target} itself")


def test_a_docker_that_hangs_is_not_waited_for(local: Deployment) -> None:
    """A few seconds, then a warning; the rest is told."""
    replace_program(local, "docker", "exec sleep 90")
    began = time.monotonic()
    found = checked(local, 0)
    assert time.monotonic() - began < 45
    assert (found["mounts"]["state"], states(found, "mounts")) == ("warning", {"ok"})


# --- the web ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def serve(local: Deployment, tmp_path: Path) -> Iterator[Callable[[str], Nginx]]:
    """Start nginx before the target's parent, with further directives in its server block."""
    need("nginx", "to serve the target as visitors get it")
    started: list[Nginx] = []

    def start(directives: str = "") -> Nginx:
        nginx = Nginx(local.parent, tmp_path / f"nginx{len(started)}", server_directives=directives)
        started.append(nginx.__enter__())
        local.settings["url"] = f"{nginx.url}site/"
        return nginx

    yield start
    for nginx in started:
        nginx.__exit__(None, None, None)


def test_releases_behind_the_web_server_are_found(local: Deployment, serve: Callable[..., Nginx]) -> None:
    """nginx serves .deployer beside the site unless it is told not to; the rule that the check prints helps."""
    serve()
    local.deploy()
    found = checked(local, 0)
    assert (found["url"]["state"], found["hidden"]["state"]) == ("ok", "warning")
    assert local.target.readlink().name not in json.dumps(found)
    rule = found["hidden"]["mend"].split("server block: ")[1].split("}")[0] + "}"

    serve(rule)

    found = checked(local, 0)
    assert (found["url"]["state"], found["hidden"]["state"]) == ("ok", "ok")


def test_a_url_that_does_not_answer_well_is_found(local: Deployment, serve: Callable[..., Nginx]) -> None:
    """Before the first deploy any answer will do; with a live release the gate would fail; no server is an error."""
    nginx = serve()
    assert "404" in checked(local, 0)["url"]["found"]
    local.deploy()
    local.settings["url"] = f"{nginx.url}elsewhere/"
    assert "404 instead of 200" in checked(local, 1)["url"]["found"]
    local.settings["url"] = f"http://127.0.0.1:{free_port()}/site/"
    found = checked(local, 1)
    assert (found["url"]["state"], "hidden" in found) == ("error", False)
    local.settings["url"] = "http://no-such-name.invalid/site/"
    assert checked(local, 1)["url"]["state"] == "error"


def test_check_needs_no_directory_of_its_own(tmp_path: Path) -> None:
    """Without any configuration it says what is missing, and how to begin."""
    site = Deployment(tmp_path)
    site.configured = False
    ended: Ran = site.command("check")
    assert ended.code == 2
    assert ended.out.startswith("error    config")
