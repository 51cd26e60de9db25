"""A site on three servers: the same release everywhere, all or none, whatever happens to one of them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.end_to_end.deployment import Deployment, Ran
from tests.end_to_end.fleet import Fleet, Member, servers
from tests.end_to_end.processes import connections, is_idle, opened
from tests.end_to_end.site import wait_until
from tests.relay import Relay

pytestmark = pytest.mark.timeout(300)
SECONDS = 60.0  # for what is over in a moment; a machine that is busy gets its time
SELDOM = {"budget": 1000, "rate": 5}  # so that the deploy has nothing to do in between, however slow the machine is
NO_PATIENCE = {"connect_timeout": 1}  # with a host that is dead; those that live need not be so quick
PAGES = {f"page{number}": f"page {number}" for number in range(20)}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Member]]:
    """Three servers that serve all tests."""
    with servers(tmp_path_factory.mktemp("fleet"), 3) as members:
        yield members


@pytest.fixture
def fleet(three: list[Member], tmp_path: Path) -> Iterator[Fleet]:
    """A site of this test's own on the three."""
    site = Deployment(tmp_path)
    site.configured = False
    site.static["target"] = "/www/site"
    site.settings["url"] = f"http://127.0.0.1:{three[0].web.server_port}/site/"
    site.settings["probe"] = {"budget": 1000}
    fleet = Fleet(site, [replace(member, name="site") for member in three])
    yield fleet
    fleet.members = [replace(member, name="site") for member in three]
    fleet.stop()


def steps_of(answer: dict[str, object]) -> list[str]:
    steps = answer["steps"]
    assert isinstance(steps, list)
    return [step["name"] for step in steps]


def start(fleet: Fleet, name: str = "deploy.toml") -> subprocess.Popen[bytes]:
    """Begin a deploy, whose configuration stays in the file of this name."""
    fleet.configure()
    file = fleet.site.directory / "deploy.toml"
    return subprocess.Popen(
        [sys.executable, "-m", "deployer", "run", "--json", "--config", file.rename(file.with_name(name))],
        cwd=fleet.site.directory,
        env=fleet.site.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end_of(running: subprocess.Popen[bytes], seconds: float = SECONDS) -> Ran:
    """How a deploy ends, and what it has said."""
    out, err = running.communicate(timeout=seconds)
    return Ran(running.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def test_all_hosts_get_the_same_release(fleet: Fleet) -> None:
    """One answer; the same directory name, contents and modification times on all; unchanged files stay what they were."""
    first = fleet.deploy(index="one", **PAGES)
    before = [member.files() for member in fleet.members]
    second = fleet.deploy(index="two", **PAGES)

    assert (first["status"], second["status"]) == ("deployed", "deployed")
    assert second["hosts"] == [member.label for member in fleet.members]
    assert second["previous_release"] == first["release"]
    assert len(fleet.lives()) == 1
    assert fleet.texts() == ["two"] * 3
    one, *others = [member.times() for member in fleet.members]
    assert all(other == one for other in others)
    for member, old in zip(fleet.members, before, strict=True):
        now = member.files()
        assert now["page1.html"] == old["page1.html"]
        assert now["index.html"][1] > old["index.html"][1]
    assert (second["files_total"], second["files_uploaded"]) == (21, 3)
    assert (first["files_total"], first["files_uploaded"]) == (21, 63)
    assert fleet.all_unlocked()
    assert second["probe"]["dropped"] == 0


def test_each_host_has_its_steps(fleet: Fleet) -> None:
    """Uploads go on at the same time, then one host after the other is switched and checked."""
    names = steps_of(fleet.deploy(index="one"))

    one, two, three = [member.label for member in fleet.members]
    for name in ("connect", "upload", "assemble", "log", "finish"):
        assert {f"{name} {host}" for host in (one, two, three)} <= set(names), name
    last = max(names.index(f"assemble {host}") for host in (one, two, three))
    switches = [f"{step} {host}" for host in (one, two, three) for step in ("switch", "check")]
    assert names[last + 1 :][: len(switches)] == switches


def test_nothing_to_do_on_any_is_unchanged(fleet: Fleet) -> None:
    """Connect, compare, and that is all: no host is written to but its journal, and no lock stays."""
    release = fleet.deploy(index="one")["release"]
    before = [member.files() for member in fleet.members]

    answer = fleet.deploy()

    assert (answer["status"], answer["release"], answer["files_uploaded"]) == ("unchanged", release, 0)
    assert sorted(name.split(" ")[0] for name in steps_of(answer)) == ["compare", *["connect"] * 3, "scan"]
    assert [member.files() for member in fleet.members] == before
    assert [member.journal()[-1].state for member in fleet.members] == ["unchanged"] * 3
    assert fleet.all_unlocked()


@pytest.mark.parametrize("index", ["one", "two"])
def test_a_new_host_makes_all_equal(fleet: Fleet, index: str) -> None:
    """An empty host joins, with a change or without: no file keeps a time that the new host could not have."""
    everybody = fleet.members
    fleet.members = everybody[:2]
    fleet.deploy(index="one", **PAGES)
    before = [member.files() for member in fleet.members]
    fleet.members = everybody

    answer = fleet.deploy(index=index, **PAGES)

    assert answer["status"] == "deployed"
    assert fleet.texts() == [index] * 3
    assert len(fleet.lives()) == 1
    one, *others = [member.times() for member in everybody]
    assert all(other == one for other in others)
    for member, old in zip(everybody, before, strict=False):
        assert not {about[2] for about in member.files().values()} & {about[2] for about in old.values()}
        assert member.files()["page1.html"][1] > old["page1.html"][1]
    # What a host had was copied there; only the new one got everything.
    assert answer["files_uploaded"] == 21 + (2 if index == "two" else 0)


def test_a_new_host_takes_no_retained_file_from_the_others(fleet: Fleet) -> None:
    """What open pages still ask for stays where it was, when a host joins without any change of the site."""
    everybody = fleet.members
    fleet.site.settings["static.retain_assets"] = {"patterns": ["old*"], "days": 7}
    fleet.members = everybody[:2]
    fleet.deploy(index="one", old="asset")
    fleet.deploy(index="one")
    fleet.members = everybody

    fleet.deploy()

    assert [(member.target / "old.html").exists() for member in everybody] == [True, True, False]
    assert len(fleet.lives()) == 1


def test_a_host_whose_release_was_written_to_makes_all_equal(fleet: Fleet) -> None:
    """Somebody's own edit on one host: it is put right, and its new time is everybody's."""
    fleet.deploy(index="one", **PAGES)
    (fleet.members[1].target / "page3.html").write_text("edited")

    answer = fleet.deploy()

    assert answer["status"] == "deployed"
    assert fleet.members[1].text("page3.html") == "page 3"
    one, *others = [member.times() for member in fleet.members]
    assert all(other == one for other in others)


def test_plain_directories_are_adopted_under_one_name(fleet: Fleet) -> None:
    """A site that was copied to two of three hosts: it is kept on those, under the same name, to go back to."""
    for member in fleet.members[:2]:
        member.target.mkdir()
        (member.target / "index.html").write_text("copied")

    fleet.deploy(index="one")

    kept = [sorted(path.name for path in (member.state / "records").iterdir()) for member in fleet.members]
    assert kept[0] == kept[1]
    assert kept[2] == kept[0][1:]
    one, *others = [member.times() for member in fleet.members]
    assert all(other == one for other in others)


def test_a_plan_says_what_would_happen_where(fleet: Fleet) -> None:
    """Each change says its host; nothing is written anywhere."""
    everybody = fleet.members
    fleet.members = everybody[:2]
    fleet.deploy(index="one")
    fleet.members = everybody
    fleet.configure()

    answer = fleet.site.answer("plan")

    assert [(change["action"], change["host"]) for change in answer["changes"]] == [("add", everybody[2].label)]
    assert f"switch {everybody[0].label}" in [step["name"] for step in answer["steps"]]
    assert not everybody[2].state.exists()
    assert f"{everybody[2].label}:" in fleet.site.command("plan").err


def test_a_failed_gate_brings_all_back(fleet: Fleet) -> None:
    """Exit 5: the hosts before went back, the ones behind were never switched, and the message says so of each."""
    fleet.deploy(index="good")
    old = fleet.lives()
    one, two, three = fleet.members
    two.web.breaks = True
    fleet.site.files(index="bad")

    ended = fleet.site.run()

    ended.failed(5, f"on {two.label}", "500", f"{one.label}: ", f"{three.label}: ", "as before")
    assert ended.json["status"] == "rolled_back"
    assert fleet.lives() == old
    assert fleet.texts() == ["good"] * 3
    last = [[event for event in member.journal() if event.step == "switch"][-1].state for member in fleet.members]
    assert last == ["reverted", "reverted", "done"]
    assert (
        len([event for event in three.journal() if event.step == "switch"]) == 2
    )  # begun and done, of the first deploy
    assert fleet.all_unlocked()
    two.web.breaks = False
    assert fleet.deploy()["status"] == "deployed"
    assert fleet.texts() == ["bad"] * 3


def test_a_dead_host_stops_the_deploy_before_it_begins(fleet: Fleet) -> None:
    """Exit 4, and the others are not even locked."""
    fleet.deploy(index="one")
    before = [len(member.journal()) for member in fleet.members]
    with Relay(to=fleet.members[1].sshd.port, rtt=0) as relay:
        fleet.members[1] = replace(fleet.members[1], way=relay.port, more=NO_PATIENCE)
        relay.cut()
        fleet.site.files(index="two")
        fleet.configure()

        ended = fleet.site.run()

    ended.failed(4, str(relay.port))
    assert fleet.texts() == ["one"] * 3
    assert [len(member.journal()) for member in fleet.members] == before


Fault = Callable[[Member, Relay], None]


def kill(member: Member, _relay: Relay) -> None:
    """Kill what sshd runs for the deploy."""
    member.kill_sessions()


def cut(_member: Member, relay: Relay) -> None:
    """Break the connection on its way."""
    relay.cut()


@pytest.fixture(params=[kill, cut])
def fault(request: pytest.FixtureRequest) -> Fault:
    chosen: Fault = request.param
    return chosen


def strike(fault: Fault, member: Member, relay: Relay, running: subprocess.Popen[bytes]) -> None:
    """The fault, and whatever time its news needs to be taken in by the deploy that runs.

    It closes what it hears to be broken, after it has told all of its threads; when these wait again, they know.
    """
    broken = connections(running.pid, relay.port)
    assert broken
    fault(member, relay)
    assert wait_until(lambda: not broken & set(opened(running.pid)), SECONDS), "the loss has not come to its end"
    assert wait_until(lambda: running.poll() is not None or is_idle(running.pid), SECONDS), "it is never idle"


def recover(fleet: Fleet, three: list[Member]) -> None:
    """The next run, over the plain ways, needs no repair and makes all equal."""
    fleet.members = [replace(member, name="site") for member in three]
    assert fleet.deploy(index="three")["status"] == "deployed"
    assert fleet.texts() == ["three"] * 3
    one, *others = [member.times() for member in fleet.members]
    assert all(other == one for other in others)


def test_a_host_that_is_lost_before_its_switch_takes_all_back(fleet: Fleet, three: list[Member], fault: Fault) -> None:
    """It is gone while the first one is checked: exit 1, the first goes back, and the second is not switched at all."""
    fleet.deploy(index="one")
    old = fleet.lives()
    fleet.site.settings["probe"] = SELDOM
    one, two, last = fleet.members
    with Relay(to=last.sshd.port, rtt=0) as relay:
        fleet.members[2] = replace(last, way=relay.port)
        one.web.when_live(one.target, "two", lambda: strike(fault, last, relay, running))
        fleet.site.files(index="two")

        running = start(fleet)
        ended = end_of(running)

        ended.failed(1, fleet.members[2].label, f"{one.label}: ", "is live again", f"{two.label}: ", "as before")
    assert ended.json["status"] == "failed"
    assert wait_until(lambda: fleet.lives() == old and fleet.all_unlocked(), SECONDS)
    assert [event.state for event in one.journal() if event.step == "switch"][-1] == "reverted"
    assert [event.state for event in two.journal() if event.step == "switch"] == ["begin", "done"]
    recover(fleet, three)


def test_a_host_that_is_lost_after_its_switch_is_unknown(fleet: Fleet, three: list[Member], fault: Fault) -> None:
    """It is gone while the second is checked: exit 7 names it, the others go back, and it undoes its switch by itself."""
    fleet.deploy(index="one")
    old = fleet.lives()
    fleet.site.settings["probe"] = SELDOM
    one, two, last = fleet.members
    with Relay(to=one.sshd.port, rtt=0) as relay:
        fleet.members[0] = replace(one, way=relay.port)
        # The third's turn comes behind the second's answer.
        two.web.when_live(two.target, "two", lambda: strike(fault, one, relay, running))
        fleet.site.files(index="two")

        running = start(fleet)
        ended = end_of(running)

        lost = fleet.members[0].label
        ended.failed(7, f"{lost} was lost after its switch", f"{lost}: what is live is not known", f"{two.label}: ")
    assert wait_until(lambda: fleet.lives() == old and fleet.all_unlocked(), SECONDS)
    assert [event.state for event in two.journal() if event.step == "switch"][-1] == "reverted"
    assert [event.state for event in last.journal() if event.step == "switch"] == ["begin", "done"]
    recover(fleet, three)


def test_an_interrupt_between_two_switches_takes_all_back(fleet: Fleet) -> None:
    """Exit 130: the first host had the new release already, and has the old one again."""
    fleet.deploy(index="one")
    old = fleet.lives()
    fleet.site.files(index="two")
    two = fleet.members[1]
    two.web.when_live(two.target, "two", lambda: running.send_signal(signal.SIGTERM))
    running = start(fleet)
    running.communicate(timeout=SECONDS)

    assert running.returncode == 130
    assert wait_until(lambda: fleet.lives() == old and fleet.all_unlocked(), SECONDS)


def test_a_rollback_goes_back_on_all(fleet: Fleet) -> None:
    """To what was live before on the first; a release that one host has not is refused, and that host is named."""
    first = fleet.deploy(index="one")["release"]
    fleet.deploy(index="two")
    before = fleet.members[0].times()

    answer = fleet.site.answer("rollback")

    assert (answer["status"], answer["release"]) == ("rolled_back", first)
    assert fleet.texts() == ["one"] * 3
    assert len(fleet.lives()) == 1
    assert fleet.members[0].times() != before

    third = fleet.deploy(index="three")["release"]
    fleet.site.answer("rollback", first)
    (record,) = (fleet.members[2].state / "records").glob(f"{third}.*")
    record.rename(fleet.members[2].state / "gone")
    ended = fleet.site.command("rollback", third, "--json")
    ended.failed(1, f"{fleet.members[2].label} has no release {third}")
    assert fleet.texts() == ["one"] * 3
    assert fleet.all_unlocked()


def test_a_rollback_passes_a_host_that_is_there_already(fleet: Fleet) -> None:
    """After a deploy to some hosts only, going back brings all to the same release."""
    first = fleet.deploy(index="one")["release"]
    everybody = fleet.members
    fleet.members = everybody[:2]
    fleet.deploy(index="two")
    fleet.members = everybody
    fleet.configure()

    answer = fleet.site.answer("rollback", first)

    assert (answer["status"], fleet.texts()) == ("rolled_back", ["one"] * 3)
    assert len(fleet.lives()) == 1
    assert fleet.all_unlocked()


def test_looking_shows_every_host(fleet: Fleet) -> None:
    """Status, releases and logs have all hosts' facts in one object, and headings for people."""
    release = fleet.deploy(index="one")["release"]
    names = [member.label for member in fleet.members]

    status = fleet.site.answer("status")
    assert [(host["host"], host["live_release"], host["health"]["ok"]) for host in status["hosts"]] == [
        (name, release, True) for name in names
    ]
    releases = fleet.site.answer("releases")["hosts"]
    assert [host["host"] for host in releases] == names
    assert [[(row["release"], row["live"]) for row in host["releases"]] for host in releases] == [[(release, True)]] * 3
    logs = fleet.site.answer("logs")["hosts"]
    assert [(host["host"], host["release"]) for host in logs] == [(name, release) for name in names]
    assert all(host["journal"] and "upload" in host["output"] for host in logs)
    for command in ("status", "releases", "logs"):
        said = fleet.site.command(command).out
        assert all(f"{name}:\n" in said for name in names), command


@pytest.mark.parametrize(
    ("command", "key"),
    [("status", "live_release"), ("releases", "releases"), ("logs", "journal"), ("unlock", "unlocked")],
)
def test_a_dead_host_does_not_hide_the_others(fleet: Fleet, command: str, key: str) -> None:
    """Every command that looks shows those that answer, names the other one, and ends with its error's code."""
    fleet.deploy(index="one")
    with Relay(to=fleet.members[1].sshd.port, rtt=0) as relay:
        fleet.members[1] = replace(fleet.members[1], way=relay.port, more=NO_PATIENCE)
        relay.cut()
        fleet.configure()
        ended = fleet.site.command(command, "--json")
        told = fleet.site.command(command)
    ended.failed(4, str(relay.port))
    assert [host["host"] for host in ended.json["hosts"]] == [member.label for member in fleet.members]
    assert [key in host for host in ended.json["hosts"]] == [True, False, True]
    missing = ended.json["hosts"][1]
    assert (set(missing), str(relay.port) in missing["error"]) == ({"host", "error"}, True)
    told.failed(4, str(relay.port))
    one, two, three = (f"{member.label}:\n" for member in fleet.members)
    if command != "unlock":  # it has nothing to print that a program could not do without
        assert f"{two}could not be looked at\n{three}" in told.out
        assert told.out.startswith(one)


def test_no_host_that_answers_is_an_error_of_each(fleet: Fleet) -> None:
    """The answer names them all, and the exit code is that of a host that cannot be reached."""
    port = fleet.members[0].sshd.port
    with Relay(to=port, rtt=0) as one, Relay(to=port, rtt=0) as two:
        ways = zip(fleet.members, (one, two), strict=False)
        fleet.members = [replace(member, way=relay.port, more=NO_PATIENCE) for member, relay in ways]
        one.cut()
        two.cut()
        fleet.configure()
        ended = fleet.site.command("releases", "--json")
    assert ended.code == 4
    assert [set(host) for host in ended.json["hosts"]] == [{"host", "error"}] * 2
    assert len(ended.errors) == 2


def test_unlock_takes_every_lock_away(fleet: Fleet) -> None:
    """A deploy that hangs holds them all; unlocking says of each host whose it was."""
    fleet.deploy(index="one")
    one = fleet.members[0]
    fleet.site.files(index="two")
    one.web.when_live(one.target, "two", lambda: hanging.send_signal(signal.SIGSTOP))
    hanging = start(fleet)
    try:
        assert wait_until(lambda: one.web.hook is None, SECONDS)
        answer = fleet.site.answer("unlock")
    finally:
        hanging.send_signal(signal.SIGCONT)
        hanging.communicate(timeout=SECONDS)
    assert [host["unlocked"] for host in answer["hosts"]] == [True] * 3
    assert [host["host"] for host in answer["hosts"]] == [member.label for member in fleet.members]
    assert hanging.returncode != 0


def test_a_lock_on_one_host_is_waited_for(fleet: Fleet) -> None:
    """Exit 3 names the host whose lock is held, and the others' locks are given back."""
    fleet.deploy(index="one")
    last = fleet.members[2]
    lock = last.state / "lock" / "somebody"
    lock.mkdir(parents=True)
    fleet.site.settings["lock_wait"] = 0
    (lock / "owner").write_text("anna since noon\n")
    (lock / "lease").touch()
    fleet.site.files(index="two")
    fleet.configure()

    ended = fleet.site.run()

    ended.failed(3, last.label)
    assert fleet.texts() == ["one"] * 3
    assert all(member.is_unlocked() for member in fleet.members[:2])


def test_a_lock_that_is_given_back_is_waited_for(fleet: Fleet) -> None:
    """The deploy says which, and goes on as soon as it is free; the lock of the first host is held meanwhile."""
    fleet.deploy(index="one")
    first, _, last = sorted(fleet.members, key=lambda member: member.label)
    lock = last.state / "lock" / "somebody"
    lock.mkdir(parents=True)
    (lock / "lease").touch()
    fleet.site.files(index="two")
    fleet.site.settings["lock_wait"] = 200
    waiting = start(fleet)
    assert waiting.stderr
    # Before it says so, all hosts are asked at once, and a lock that comes free is simply taken.
    words = f"holds the lock on {last.label}: another deploy; all hosts are asked again".encode()
    said = next((line for line in waiting.stderr if words in line), b"")
    assert said
    assert wait_until(lambda: any(first.state.glob("lock/*/owner")) and any(last.state.glob("claim.*")), SECONDS)
    shutil.rmtree(lock)
    _, said = waiting.communicate(timeout=SECONDS)
    assert waiting.returncode == 0, said
    assert fleet.texts() == ["two"] * 3
    assert fleet.all_unlocked()


def test_deploys_that_name_the_hosts_in_another_order_never_wait_for_each_other(fleet: Fleet) -> None:
    """Six at once, each with a site of its own: one after the other goes live, on all hosts, and none is left locked."""
    everybody, running = fleet.members, []
    fleet.site.settings["lock_wait"] = 200
    for number in range(6):
        fleet.members = everybody[number % 3 :] + everybody[: number % 3]
        fleet.site.static["source"] = f"source-{number}"
        fleet.site.write(f"../source-{number}/index.html", f"number {number}")
        running.append(start(fleet, f"deploy-{number}.toml"))
    said = [each.communicate(timeout=250)[1] for each in running]
    assert [each.returncode for each in running] == [0] * 6, said
    assert len(fleet.lives()) == len(set(fleet.texts())) == 1
    for member in everybody:
        events = member.journal()
        assert sum((event.step, event.state) == ("switch", "done") for event in events) == 6
    assert fleet.all_unlocked()


def test_every_address_is_probed(fleet: Fleet) -> None:
    """Each host's web server gets its own probe's requests, and the figures are of all together."""
    fleet.deploy(index="one")
    for member in fleet.members:
        member.web.visited.clear()
    fleet.site.settings["probe"] = {"budget": 0, "rate": 40}

    answer = fleet.deploy(index="two")

    seen = [len(member.web.visited) for member in fleet.members]
    assert min(seen) >= 5
    assert answer["probe"]["requests"] > max(seen)
    assert answer["probe"]["dropped"] == 0


def test_hosts_behind_one_address_share_a_probe(fleet: Fleet) -> None:
    """Without addresses of their own, the URL's one is probed once."""
    fleet.deploy(index="one")
    one, two, three = fleet.members
    fleet.more["connect_to"] = one.web.address
    for member in fleet.members:
        member.web.visited.clear()

    answer = fleet.deploy(index="two")

    assert answer["status"] == "deployed"
    assert answer["probe"]["requests"] <= len(one.web.visited)
    assert two.web.visited == three.web.visited == []
