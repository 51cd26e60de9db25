"""``deployer init`` from outside: by flags and at a terminal, against a real sshd, until the written file deploys."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.end_to_end.deployment import Deployment
from tests.end_to_end.terminal import Terminal
from tests.sshd import Sshd, sshd_for_tests

REQUIREMENT = "git+https://github.com/o/deployer@0123456"
WRONG = "SHA256:" + "A" * 43
WORKFLOW = ".github/workflows/deploy.yml"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd_for_tests(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Deployment:
    """A site in a repository on GitHub, without any configuration."""
    need("git", "to have a repository")
    found = Deployment(tmp_path / "place")
    found.configured = False
    found.working_directory = tmp_path / "place" / "repository"
    found.working_directory.mkdir()
    found.source = found.working_directory / "public"
    found.write("index.html", "one")
    for arguments in (("init", "-q", "-b", "main"), ("remote", "add", "origin", "git@github.com:owner/My_Site.git")):
        subprocess.run(["git", "-C", str(found.working_directory), *arguments], check=True)
    return found


def fingerprint(sshd: Sshd, kind: str = "ed25519") -> str:
    command = ["ssh-keygen", "-lf", str(sshd.host_keys[kind])]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[1]


def flags(site: Deployment, sshd: Sshd) -> tuple[str, ...]:
    host = f"--host={sshd.user}@127.0.0.1:{sshd.port}"
    return (host, f"--key={sshd.key_file}", f"--target={site.target}", f"--deployer={REQUIREMENT}")


def written(site: Deployment) -> dict[str, Any]:
    return tomllib.loads((site.working_directory / "deploy.toml").read_text("utf-8"))


def files(site: Deployment) -> set[str]:
    """What is in the repository beside the site."""
    found = {
        str(path.relative_to(site.working_directory)) for path in site.working_directory.rglob("*") if path.is_file()
    }
    return {name for name in found if not name.startswith((".git/", "public/"))}


def at_terminal(site: Deployment, *arguments: str) -> Terminal:
    command = [sys.executable, "-m", "deployer", "init", *arguments]
    return Terminal(command, directory=site.working_directory, environment=site.environment())


# --- by flags ----------------------------------------------------------------------------------------------------------


def test_an_empty_flag_means_none(site: Deployment, sshd: Sshd) -> None:
    """A site that is built elsewhere is not built here, though its generator is known."""
    (site.working_directory / "mkdocs.yml").write_text("site_name: x\n")
    confirmed = ("--accept-fingerprint", fingerprint(sshd))
    ran = site.command("init", *flags(site, sshd), *confirmed, "--build=", "--source=public")
    assert ran.code == 0, ran.err
    assert "build" not in written(site)["static"]
    assert site.answer("run")["status"] == "deployed"


def test_flags_lead_to_a_deploy(site: Deployment, sshd: Sshd) -> None:
    """With the fingerprint confirmed, the file that is written deploys as it is, and standard output says what was done."""
    ran = site.command("init", *flags(site, sshd), "--accept-fingerprint", fingerprint(sshd), "--json")
    assert ran.code == 0, ran.err
    assert ran.json == {
        "app": "my-site",
        "generator": "plain files",
        "written": ["deploy.toml", WORKFLOW],
        "left_alone": [],
    }
    assert written(site)["host"]["host_key"] == sshd.pin()
    workflow = (site.working_directory / WORKFLOW).read_text("utf-8")
    assert REQUIREMENT in workflow
    for word in ("deployer run", "ssh-copy-id", "gh secret set SERVER_KEY", f"Wrote {WORKFLOW}"):
        assert word in ran.err
    assert site.deploy()["status"] == "deployed"
    assert site.served()[b"index.html"] == ("644", b"one")


def test_what_init_says_next_can_be_done(site: Deployment, sshd: Sshd) -> None:
    """A new user does it line by line, on a site that was never built: then it is live, and there is a way back."""
    build = "mkdir -p out && date +%N > out/index.html"
    confirmed = ("--accept-fingerprint", fingerprint(sshd))
    ran = site.command("init", *flags(site, sshd), *confirmed, "--build", build, "--source", "out", "--no-workflow")
    assert ran.code == 0, ran.err
    lines = [line.strip() for line in ran.err.partition("Next:\n")[2].splitlines()]
    for line in lines:
        if line.startswith("deployer "):
            ended = site.command(line.split()[1])
            assert ended.code == 0, f"{line}: {ended.err}"
        else:
            assert line.startswith(build)
            subprocess.run(["sh", "-c", build], cwd=site.working_directory, check=True)
    assert [line.split()[1] for line in lines if line.startswith("deployer ")] == ["check", "plan", "run"]
    first = site.answer("status")["live_release"]
    assert site.deploy()["previous_release"] == first
    assert site.answer("rollback")["release"] == first


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_any_key_of_the_server_may_be_confirmed(site: Deployment, sshd: Sshd, kind: str) -> None:
    """Whichever a person compared is the one that is pinned, and it deploys."""
    ran = site.command("init", *flags(site, sshd), "--accept-fingerprint", fingerprint(sshd, kind))
    assert ran.code == 0, ran.err
    assert written(site)["host"]["host_key"] == sshd.pin(kind)
    assert site.deploy()["status"] == "deployed"


def test_another_fingerprint_is_refused(site: Deployment, sshd: Sshd) -> None:
    """Whoever answers is not the server that was meant: exit code 4 with what it shows, and nothing is written."""
    ran = site.command("init", *flags(site, sshd), "--accept-fingerprint", WRONG)
    ran.failed(4, WRONG, fingerprint(sshd), fingerprint(sshd, "rsa"), "ssh-keygen -lf")
    assert files(site) == set()


def test_nobody_who_confirms_is_wrong_usage(site: Deployment, sshd: Sshd) -> None:
    """There is no "accept anything": the fingerprint is shown with how to compare and how to accept it."""
    ran = site.command("init", *flags(site, sshd))
    ran.failed(2, f"--accept-fingerprint {fingerprint(sshd)}", "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    assert files(site) == set()


@pytest.mark.parametrize("form", ["pin", "public"])
def test_a_given_host_key_needs_no_scan(site: Deployment, sshd: Sshd, form: str) -> None:
    """As a known_hosts line or bare; the server is not even asked."""
    line = getattr(sshd, form)()
    sshd.stop()
    try:
        ran = site.command("init", *flags(site, sshd), "--host-key", line)
    finally:
        sshd.start()
    assert ran.code == 0, ran.err
    assert written(site)["host"]["host_key"] == line


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--host-key", "elsewhere ssh-ed25519 {key}"), ("hold none for [127.0.0.1]:",)),
        (("--host-key", "ssh-ed25519 AAAAC3Nza"), ("cut off",)),
        (("--host-key", "{line}", "--accept-fingerprint", WRONG), ("nothing is to scan",)),
        (("--accept-fingerprint", "SHA256:short"), ("--accept-fingerprint must be",)),
        (("--accept-fingerprint", "MD5:aa:bb"), ("--accept-fingerprint must be",)),
        (("--jump", "gate"), ("behind a jump host", "--host-key")),
        (("--environment", "staging"), ("environments",)),
        (("--keep", "1"), ("--keep must be",)),
        (("--app", "My Site"), ("--app must be",)),
        (("--config", "no/where/deploy.toml"), ("there is no folder",)),
    ],
)
def test_what_cannot_be_right_is_refused(
    site: Deployment, sshd: Sshd, more: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """Exit code 2 that names the flag, and nothing is written."""
    given = [text.format(key=sshd.public().split()[1], line=sshd.pin()) for text in more]
    site.command("init", *flags(site, sshd), *given).failed(2, *words)
    assert files(site) == set()


def test_missing_flags_are_named_together(site: Deployment) -> None:
    """Without a terminal, everything that has no safe default must be given."""
    site.source.rename(site.working_directory / "elsewhere")
    site.command("init").failed(2, "--host, --source, --target, --host-key or --accept-fingerprint")
    assert files(site) == {"elsewhere/index.html"}


def test_variables_count_as_flags(site: Deployment, sshd: Sshd) -> None:
    """The private key itself among them never gets into the file."""
    variables = {
        "DEPLOYER_HOST": f"{sshd.user}@127.0.0.1:{sshd.port}",
        "DEPLOYER_KEEP": "9",
        "DEPLOYER_KEY": sshd.key_file.read_text("utf-8"),
        "DEPLOYER_ENVIRONMENT": "staging",
        "DEPLOYER_HOST_KEY": sshd.pin(),
        "DEPLOYER_TARGET": str(site.target),
    }
    ran = site.command("init", "--no-workflow", variables=variables)
    assert ran.code == 0, ran.err
    data = written(site)
    assert (data["static"]["keep"], data["host"].get("key")) == (9, None)
    assert "PRIVATE" not in (site.working_directory / "deploy.toml").read_text("utf-8")


def test_servers_that_cannot_be_scanned(site: Deployment, sshd: Sshd) -> None:
    """Nobody listens, or somebody who speaks no SSH: exit code 4 that says which."""
    more = ("--target=/www/x", "--accept-fingerprint", WRONG, "--no-workflow", "--connect-timeout=2")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        site.command("init", f"--host=x@127.0.0.1:{port}", *more).failed(4, "nothing listens at")
        silent.listen()
        site.command("init", f"--host=x@127.0.0.1:{port}", *more).failed(4, "does not finish an SSH key exchange")
    site.command("init", "--host=x@no-such-host.invalid", *more).failed(4, "no-such-host.invalid")
    assert files(site) == set()


def test_several_servers_are_pinned_each(site: Deployment, sshd: Sshd, tmp_path: Path) -> None:
    """Each with the key that it shows, when each fingerprint is confirmed."""
    with sshd_for_tests(tmp_path) as other:
        hosts = [f"--host={sshd.user}@127.0.0.1:{port}" for port in (sshd.port, other.port)]
        accept = ["--accept-fingerprint", fingerprint(sshd), "--accept-fingerprint", fingerprint(other)]
        ran = site.command("init", *hosts, *accept, f"--target={site.target}", "--no-workflow")
        assert ran.code == 0, ran.err
        assert [host["host_key"] for host in written(site)["host"]] == [sshd.pin(), other.pin()]


def test_this_machine_needs_no_key_and_no_workflow(site: Deployment) -> None:
    """GitHub's machines cannot deploy to it; the written file can."""
    ran = site.command("init", "--host=local", f"--target={site.target}")
    assert ran.code == 0, ran.err
    assert "No workflow was written" in ran.err
    assert files(site) == {"deploy.toml"}
    assert site.deploy()["status"] == "deployed"


def test_a_site_that_is_the_whole_repository(site: Deployment) -> None:
    """Neither Git's files nor deploy.toml are served."""
    (site.source / "index.html").rename(site.working_directory / "index.html")
    (site.working_directory / ".gitignore").touch()
    assert site.command("init", "--host=local", f"--target={site.target}").code == 0
    assert site.deploy()["files_total"] == 1
    assert set(site.served()) - {b"public"} == {b"index.html"}


def test_paths_are_those_of_the_files_folder(site: Deployment) -> None:
    """A flag's path starts from the working directory, the file's from its own folder; one at home keeps its tilde."""
    web = site.working_directory / "web"
    site.source.rename(web) if not web.exists() else None
    (web / "out").mkdir()
    key = site.home / "key"
    key.touch()
    ran = site.command(
        "init",
        "--config=web/deploy.toml",
        "--source=web/out",
        f"--key={key}",
        "--host=local",
        f"--target={site.target}",
    )
    assert ran.code == 0, ran.err
    data = tomllib.loads((web / "deploy.toml").read_text("utf-8"))
    assert (data["app"], data["static"]["source"]) == ("web", "out")
    assert "deployer run --config web/deploy.toml" in ran.err


# --- files that are there ----------------------------------------------------------------------------------------------


def test_a_second_init_writes_nothing(site: Deployment, sshd: Sshd) -> None:
    """Exit code 2 that names both files, before anything is scanned or asked."""
    arguments = ("init", *flags(site, sshd), "--host-key", sshd.pin())
    assert site.command(*arguments).code == 0
    before = {name: (site.working_directory / name).read_bytes() for name in files(site)}
    site.command(*arguments).failed(2, "deploy.toml and .github/workflows/deploy.yml are there already")
    assert {name: (site.working_directory / name).read_bytes() for name in files(site)} == before


def test_a_workflow_is_added_to_a_file_that_is_there(site: Deployment, sshd: Sshd) -> None:
    """The file stays as it is, and says what the workflow is for."""
    assert site.command("init", *flags(site, sshd), "--host-key", sshd.pin(), "--no-workflow", "--app=blog").code == 0
    before = (site.working_directory / "deploy.toml").read_bytes()
    ran = site.command("init", "--deployer", REQUIREMENT, "--keep=9", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["written"], ran.json["left_alone"]) == ([WORKFLOW], ["deploy.toml"])
    assert (site.working_directory / "deploy.toml").read_bytes() == before
    assert "flags are not added to deploy.toml" in ran.err
    assert "group: deploy-blog" in (site.working_directory / WORKFLOW).read_text("utf-8")


def test_a_workflow_that_is_there_stays(site: Deployment, sshd: Sshd) -> None:
    """And deploy.toml is written beside it."""
    workflow = site.working_directory / WORKFLOW
    workflow.parent.mkdir(parents=True)
    workflow.write_text("mine", "utf-8")
    ran = site.command("init", *flags(site, sshd), "--host-key", sshd.pin(), "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["written"], ran.json["left_alone"]) == (["deploy.toml"], [WORKFLOW])
    assert workflow.read_text("utf-8") == "mine"


def test_a_file_that_cannot_be_written(site: Deployment, sshd: Sshd) -> None:
    """One line that says which and why, and what was written before it."""
    (site.working_directory / ".github").touch()
    ran = site.command("init", *flags(site, sshd), "--host-key", sshd.pin())
    ran.failed(2, f"cannot write {WORKFLOW}: ", "deploy.toml was written")


# --- at a terminal -----------------------------------------------------------------------------------------------------


def test_a_person_is_asked(site: Deployment, sshd: Sshd) -> None:
    """With good proposals, so that little more than the server must be typed; then the file deploys."""
    with at_terminal(site, f"--key={sshd.key_file}", f"--deployer={REQUIREMENT}") as terminal:
        terminal.answer("Name of the app [my-site]:", "My Site!")
        terminal.expect("--app must be")
        terminal.answer("Name of the app [my-site]:", "")
        terminal.answer("Server, as [user@]address[:port]:", "127.0.0.1:1")
        terminal.answer("Login name there", sshd.user)
        terminal.expect("nothing listens at 127.0.0.1:1")
        terminal.answer("Server, as [user@]address[:port]:", f"127.0.0.1:{sshd.port}")
        terminal.answer("Login name there", sshd.user)
        terminal.expect(fingerprint(sshd))
        terminal.expect("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
        terminal.answer("Is it the same? [y/N]:", "y")
        terminal.answer("Directory with the finished site [public]:", "")
        terminal.answer("Command that builds it (empty for none):", "echo built")
        terminal.answer("Directory on the server that is served [/www/my-site]:", str(site.target))
        terminal.answer("URL that visitors use (empty for none):", "")
        terminal.expect("deployer run")
        assert terminal.ended() == 0, terminal.said
    assert written(site)["static"]["build"] == "echo built"
    assert files(site) == {"deploy.toml", WORKFLOW}
    assert site.deploy()["status"] == "deployed"


@pytest.mark.parametrize("answer", ["n", ""])
def test_a_key_that_is_not_confirmed_ends_it(site: Deployment, sshd: Sshd, answer: str) -> None:
    """No is the default, and nothing is written."""
    with at_terminal(site, *flags(site, sshd), "--app=x") as terminal:
        terminal.answer("Is it the same? [y/N]:", answer)
        assert terminal.ended() == 4, terminal.said
    assert files(site) == set()


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_a_person_may_leave(site: Deployment, sshd: Sshd, key: str) -> None:
    """Ctrl-C and Ctrl-D are an interrupt without a traceback, and nothing is written."""
    with at_terminal(site, *flags(site, sshd), "--app=x") as terminal:
        assert terminal.leave("Is it the same? [y/N]:", key) == 130, terminal.said
    assert files(site) == set()
    assert "Traceback" not in terminal.said


def test_the_users_own_known_hosts_is_heard(site: Deployment, sshd: Sshd) -> None:
    """A key that it has is said to be known; another one for this server ends everything."""
    known = site.home / ".ssh" / "known_hosts"
    known.parent.mkdir()
    known.write_text(f"{sshd.pin()}\n", "utf-8")
    with at_terminal(site, *flags(site, sshd), "--app=x", "--source=public", "--build=true", "--url=") as terminal:
        terminal.expect("is the one that ~/.ssh/known_hosts has")
        assert terminal.leave("Is it the same?", "\x03") == 130
    other = Path(f"{sshd.key_file}.pub").read_text("utf-8").split()[1]
    known.write_text(f"[127.0.0.1]:{sshd.port} ssh-ed25519 {other}\n", "utf-8")
    with at_terminal(site, *flags(site, sshd), "--app=x") as terminal:
        terminal.expect("is not the pinned one")
        assert terminal.ended() == 4


def test_proposals_can_be_declined(site: Deployment, sshd: Sshd) -> None:
    """A hyphen stands for none where something was found; answers by flags are not asked for."""
    (site.working_directory / "hugo.toml").write_text('baseURL = "https://a.net/"', "utf-8")
    with at_terminal(site, *flags(site, sshd), "--app=x", "--host-key", sshd.pin()) as terminal:
        terminal.expect("Found: Hugo (hugo.toml)")
        terminal.answer("Directory with the finished site [public]:", "")
        terminal.answer("Command that builds it (- for none) [hugo --minify]:", "-")
        terminal.answer("URL that visitors use (- for none) [https://a.net/]:", "-")
        assert terminal.ended() == 0, terminal.said
    assert "url" not in written(site)
    assert "build" not in written(site)["static"]
    assert json.dumps(REQUIREMENT) in (site.working_directory / WORKFLOW).read_text("utf-8")
