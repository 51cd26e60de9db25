"""A dry run on every way: it reads the real host, and leaves it exactly as it was."""

from __future__ import annotations

import pytest

from deployer.deploy import Result
from deployer.plan import Plan
from deployer.ports import Strategy
from deployer.static import requests
from deployer.static.rollback import StaticRollback
from deployer.transports.dryrun import DryRun
from tests.contract.conftest import Way
from tests.contract.site import Site

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def site(way: Way) -> Site:
    return Site(way)


def dry(site: Site, strategy: Strategy | None = None) -> tuple[Result, DryRun]:
    transport = DryRun(site.way.transport())
    return site.run(strategy, transport=transport, dry=True), transport


def test_a_dry_run_of_a_first_deploy_changes_nothing(site: Site) -> None:
    """Not even the state's directory is made; the plan says what would happen, and what would be written is recorded."""
    before = site.snapshot()
    result, transport = dry(site)
    assert (result.status, result.error) == ("planned", None)
    assert site.snapshot() == before
    assert {request.verb for request in transport.recorded} == {"lock", "conclude", "copy"}
    assert isinstance(result.plan, Plan)
    assert [(change.action, change.path) for change in result.plan.changes] == [("add", "index.html")]


def test_a_dry_run_plans_what_a_run_does(site: Site) -> None:
    """Between a dry run and a run nothing differs but the doing."""
    site.write("gone.html", b"gone")
    site.deployed()
    (site.source / "gone.html").unlink()
    site.write("index.html", b"two")
    site.write("new.html", b"new")
    before = site.snapshot()
    planned, _ = dry(site)
    assert site.snapshot() == before
    done = site.deployed()
    assert planned.plan is not None
    assert done.plan is not None
    assert planned.plan.changes == done.plan.changes
    assert [step.name for step in planned.plan.steps] == [step.name for step in done.plan.steps]
    for name in ("files_total", "files_uploaded", "files_deleted"):
        assert planned.figures[name] == done.figures[name]


def test_a_dry_rollback_changes_nothing(site: Site) -> None:
    """It names the release that would go live."""
    first = site.deployed()
    site.write("index.html", b"two")
    site.deployed()
    before = site.snapshot()
    result, _ = dry(site, StaticRollback(site.way.config(), "", label="anna", log=str))
    assert (result.status, result.release) == ("planned", first.release)
    assert site.snapshot() == before


def test_a_dry_run_does_not_wait_for_a_lock(site: Site) -> None:
    """It only reads, so another deploy does not matter."""
    owner = site.session()
    owner.perform(site.ask(), requests.lock(1, "anna"))
    assert dry(site)[0].status == "planned"
