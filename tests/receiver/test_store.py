"""The tables as queue and history: the same rules on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import random
import stat
import threading
import time
from pathlib import Path

import pytest

from receiver.errors import InvalidConfig, StoreUnavailable
from receiver.hooks import Event, Ignored, Wanted
from receiver.store import Database, Job, Source, Status, history, upkeep
from receiver.store.intake import RETRY_SECONDS, Arrival, Fate, Recorded, record
from receiver.store.jobs import LEASE_SECONDS, Settled, cancel, claim, recover, renew, request, requeue, settle
from receiver.store.queueing import Request
from receiver.store.schema import metadata

MAIN = "refs/heads/main"
A, B, C = ("a" * 40, "b" * 40, "c" * 40)
_numbers = itertools.count(1)


def arrival(
    guid: str = "",
    *,
    digest: str = "",
    ref: str = MAIN,
    commit: str = A,
    apps: tuple[str, ...] = ("blog",),
    run: int = 0,
) -> Arrival:
    number = next(_numbers)
    event = Event("push", "octo/blog", ref=ref, commit=commit, run_id=run)
    verdicts = tuple((app, Wanted(ref, commit, run)) for app in apps)
    return Arrival(guid or f"guid-{number}", digest or f"{number:064x}", event, time.time(), verdicts)


def store(database: Database, delivery: Arrival) -> tuple[Fate, ...]:
    with database.writing() as connection:
        return record(connection, [delivery])[0].fates


def jobs(database: Database) -> tuple[Job, ...]:
    with database.reading() as connection:
        return history.jobs_before(connection, None, 100)


def take(database: Database, owner: str = "worker", apps: tuple[str, ...] = ("blog", "shop")) -> Job:
    job = claim(database, owner, apps)
    assert job is not None
    return job


def fail_long_ago(database: Database, delivery: Arrival) -> Job:
    store(database, delivery)
    job = take(database)
    assert settle(database, job, Settled(Status.FAILED, commit=delivery.event.commit, exit_code=1, error="no"))
    return job


def later(delivery: Arrival, seconds: float) -> Arrival:
    return Arrival(delivery.guid, delivery.digest, delivery.event, delivery.received_at + seconds, delivery.verdicts)


def test_a_delivery_leads_to_one_job(database: Database) -> None:
    """Delivery, fate and job are there after one transaction."""
    (fate,) = store(database, arrival("one", commit=B))
    (job,) = jobs(database)
    assert (fate.app, fate.verdict, fate.job) == ("blog", "queued", job.id)
    assert (job.status, job.ref, job.hint, job.source) == (Status.WAITING, MAIN, B, Source.PUSH)
    with database.reading() as connection:
        (entry,) = history.delivery(connection, "one")
        assert (entry.app, entry.verdict, entry.job, entry.repeats) == ("blog", "queued", job.id, 0)
        assert history.deliveries_of_job(connection, job.id) == (entry,)


def test_a_newer_push_replaces_a_waiting_one(database: Database) -> None:
    """However many pushes wait, one job is left, with the newest hint; each delivery leads to it."""
    fates = [store(database, arrival(commit=commit))[0] for commit in (A, B, C)]
    (job,) = jobs(database)
    assert job.hint == C and {fate.job for fate in fates} == {job.id}


def test_the_same_delivery_id_changes_nothing(database: Database) -> None:
    """GitHub redelivers under the same id: it is counted, and nothing else."""
    delivery = arrival("same")
    first = store(database, delivery)[0]
    again = store(database, delivery)[0]
    assert (again.verdict, again.job) == ("repeated", first.job)
    assert len(jobs(database)) == 1
    with database.reading() as connection:
        assert history.delivery(connection, "same")[0].repeats == 1


@pytest.mark.parametrize("seed", range(6))
def test_many_at_once_are_stored_as_one_after_the_other(database: Database, seed: int) -> None:
    """With repeated ids and bodies, several refs and apps, and workflow runs out of order among them."""
    choice = random.Random(seed)
    many = [arbitrary(choice) for _ in range(60)]
    with database.writing() as connection:
        alone = [each for delivery in many for each in record(connection, [delivery])]
    expected = everything(database, many, alone)
    with database.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    together = []
    left = list(many)
    while left:
        size = choice.randint(1, 30)
        with database.writing() as connection:
            together += record(connection, left[:size])
        del left[:size]
    assert everything(database, many, together) == expected
    verdicts = {fate.verdict for each in together for fate in each.fates}
    assert verdicts == {"queued", "ignored", "repeated"}


def arbitrary(choice: random.Random) -> Arrival:
    """One of few ids, bodies, refs and runs; each body comes under two ids."""
    ref, run, number = f"refs/heads/{choice.randrange(3)}", choice.randrange(5), choice.randrange(60)
    verdicts: list[tuple[str, Wanted | Ignored]] = [("blog", Wanted(ref, f"{run:040x}", run))]
    if choice.random() < 0.5:
        verdicts.append(("shop", Ignored("not now") if choice.random() < 0.5 else Wanted(ref, f"{run:040x}", run)))
    event = Event("push", "octo/blog", ref=ref, run_id=run)
    return Arrival(f"id-{number}", f"{number // 2:064x}", event, choice.random(), tuple(verdicts))


def everything(database: Database, many: list[Arrival], recorded: list[Recorded]) -> list[object]:
    """What is stored and what was answered; numbers of rows may differ, what they lead to may not."""
    with database.reading() as connection:
        waiting = {job.id: (job.app, job.ref) for job in history.jobs_before(connection, None, 100)}
        hints = sorted(
            (job.app, job.ref, job.hint, job.run_id, job.source, job.created_at, job.due_at)
            for job in history.jobs_before(connection, None, 100)
        )
        rows = {
            (entry.guid, entry.ref, entry.repeats, entry.app, entry.verdict, entry.reason, waiting.get(entry.job))
            for delivery in many
            for entry in history.delivery(connection, delivery.guid)
        }
    answers = [
        (delivery.guid, [(fate.app, fate.verdict, fate.reason, waiting.get(fate.job)) for fate in each.fates])
        for delivery, each in zip(many, recorded, strict=True)
    ]
    return [hints, rows, answers]


def test_the_same_body_under_another_id_or_event_changes_nothing(database: Database) -> None:
    """The id and the event's name are not signed: who replays a body with others gets nowhere."""
    first = arrival("one", digest="d" * 64)
    store(database, first)
    assert settle(database, take(database), Settled(Status.SUCCEEDED, commit=A, release="r1"))
    replayed = Arrival("two", first.digest, Event("release", "octo/blog", ref=MAIN), time.time(), first.verdicts)
    assert store(database, replayed)[0].verdict == "repeated"
    assert [job.status for job in jobs(database)] == [Status.SUCCEEDED]


def test_what_another_app_has_signed_hides_nothing(database: Database) -> None:
    """A body that came first for another app is still new for the app that it belongs to."""
    body = "e" * 64
    other = Arrival("x", body, Event("push", "octo/blog", ref=MAIN), time.time(), (("shop", Ignored("not yours")),))
    store(database, other)
    assert store(database, arrival("y", digest=body))[0].verdict == "queued"
    assert store(database, Arrival("x", "f" * 64, other.event, time.time(), (("blog", Wanted(MAIN, A)),)))[0].job


def test_a_failed_head_is_tried_again_by_the_same_delivery_but_not_at_once(database: Database) -> None:
    """Redelivering after a failure deploys again, once a minute at most, and not while one is under way."""
    delivery = arrival("again")
    fail_long_ago(database, delivery)
    assert store(database, later(delivery, 1))[0].verdict == "repeated"
    assert store(database, later(delivery, RETRY_SECONDS + 5))[0].verdict == "queued"
    assert store(database, later(delivery, RETRY_SECONDS + 6))[0].verdict == "repeated"
    assert [job.status for job in jobs(database)] == [Status.WAITING, Status.FAILED]


def test_a_clock_that_was_set_back_delays_no_retry(database: Database) -> None:
    """A failure that seems to lie in the future is no reason to wait for it."""
    delivery = arrival("past")
    fail_long_ago(database, delivery)
    assert store(database, later(delivery, -86_400))[0].verdict == "queued"


def test_a_run_that_began_earlier_does_not_replace_a_newer_one(database: Database) -> None:
    """Workflow runs are numbered: whatever the order of arrival, the newest one's commit and number stay."""
    for run, commit in ((7, B), (9, C), (8, A)):
        store(database, arrival(commit=commit, run=run))
    (job,) = jobs(database)
    assert (job.run_id, job.hint) == (9, C)


def test_one_job_of_an_app_runs_at_a_time(database: Database) -> None:
    """A second job of the same app waits; another app's does not."""
    store(database, arrival(apps=("blog", "shop")))
    first = take(database)
    store(database, arrival(commit=B, apps=(first.app,)))
    second = take(database)
    assert {first.app, second.app} == {"blog", "shop"}
    assert claim(database, "worker", ["blog", "shop"]) is None
    assert settle(database, first, Settled(Status.SUCCEEDED, commit=A, release="r1"))
    assert take(database).app == first.app


def test_only_configured_apps_are_claimed(database: Database) -> None:
    """What a reload has taken away waits, and is not carried out."""
    store(database, arrival(apps=("blog",)))
    assert claim(database, "worker", ["shop"]) is None


def test_claims_of_many_workers_never_overlap(database: Database) -> None:
    """Twenty workers at once get each job once, and never two of one app."""
    apps = [f"app{number}" for number in range(8)]
    for app in apps:
        store(database, arrival(apps=(app,)))
    taken: list[Job] = []

    def work(owner: str) -> None:
        while (job := claim(database, owner, apps)) is not None:
            taken.append(job)

    threads = [threading.Thread(target=work, args=(f"worker{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # On PostgreSQL a worker that met another's transaction goes away empty: the next look finds what is left.
    while (job := claim(database, "late", apps)) is not None:
        taken.append(job)
    assert sorted(job.app for job in taken) == apps


def test_settling_says_what_is_live_and_what_became_of_the_ref(database: Database) -> None:
    """Success moves both, failure only the ref's fate."""
    store(database, arrival(commit=A))
    assert settle(database, take(database), Settled(Status.SUCCEEDED, commit=A, release="r1", result="{}", dropped=3))
    store(database, arrival(commit=B))
    assert settle(database, take(database), Settled(Status.FAILED, commit=B, exit_code=5, error="gate"))
    with database.reading() as connection:
        live, head = history.live_app(connection, "blog"), history.head_of(connection, "blog", MAIN)
    assert live is not None and (live.commit, live.release) == (A, "r1")
    assert head is not None and (head.commit, head.status) == (B, Status.FAILED)


def test_who_was_taken_for_dead_changes_nothing_more(database: Database) -> None:
    """After recovery the old fence neither renews nor settles nor puts back; the new one does."""
    store(database, arrival())
    old = take(database, "dead")
    (found,) = recover(database, ["dead"])
    assert found.id == old.id
    new = take(database, "alive")
    assert (new.id, new.attempt, new.fence) == (old.id, 2, 2)
    assert renew(database, [old]) == frozenset() and not requeue(database, old, after=0)
    assert not settle(database, old, Settled(Status.FAILED, commit=A))
    assert renew(database, [new]) == {new.id} and settle(
        database, new, Settled(Status.SUCCEEDED, commit=A, release="r")
    )


def test_a_living_workers_job_is_not_taken(database: Database) -> None:
    """Recovery names the dead; a lease that is kept protects the others."""
    store(database, arrival())
    job = take(database, "alive")
    assert recover(database, ["dead"]) == () and renew(database, [job]) == {job.id}


def test_a_lease_that_is_over_is_taken_only_where_machines_share_the_database(database: Database) -> None:
    """On one machine the clock says nothing about who is alive."""
    store(database, arrival())
    job = take(database, "silent")
    with database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE jobs SET lease_until = lease_until - {LEASE_SECONDS + 5}")
    found = recover(database, [])
    assert [each.id for each in found] == ([] if database.is_sqlite else [job.id])


def test_a_job_that_waits_again_gives_way_to_a_newer_one(database: Database) -> None:
    """Put back behind a push that waits already, it is superseded, and what it was forced to do is not lost."""
    number = request(database, Request("blog", MAIN, Source.MANUAL, forced=True))
    job = take(database)
    assert job.id == number
    store(database, arrival(commit=B))
    assert requeue(database, job, after=10)
    newer, older = jobs(database)
    assert (older.status, newer.status, newer.forced) == (Status.SUPERSEDED, Status.WAITING, True)


def test_a_job_put_off_is_not_due_at_once_and_no_clock_puts_it_off_for_ever(database: Database) -> None:
    """It waits for its pause, but one that seems to wait for a year was put off by another clock."""
    store(database, arrival())
    assert requeue(database, take(database), after=600)
    assert claim(database, "worker", ["blog"]) is None
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE jobs SET due_at = due_at + 31536000")
    assert take(database).attempt == 2


def test_a_waiting_job_can_be_cancelled_and_a_running_one_cannot(database: Database) -> None:
    """Cancelling says who did it."""
    store(database, arrival())
    (job,) = jobs(database)
    assert cancel(database, job.id, "ada")
    assert jobs(database)[0].error == "cancelled by ada"
    store(database, arrival())
    assert not cancel(database, take(database).id, "ada")


def test_old_history_goes_and_what_is_live_stays(database: Database) -> None:
    """Retention deletes deliveries with their fates and jobs, but neither what waits nor what is live."""
    store(database, arrival("old", commit=A))
    assert settle(database, take(database), Settled(Status.SUCCEEDED, commit=A, release="r1"))
    store(database, arrival("older", ref="refs/heads/old", commit=B))
    assert settle(database, take(database), Settled(Status.FAILED, commit="", exit_code=1))
    store(database, arrival("waits", ref="refs/heads/new", commit=C))
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE deliveries SET received_at = received_at - 864000")
        connection.exec_driver_sql("UPDATE jobs SET finished_at = finished_at - 864000 WHERE finished_at > 0")
    assert upkeep.forget_old(database, 5) == 0  # the first look only remembers the time
    assert upkeep.forget_old(database, 5) == 4
    assert sorted(job.status for job in jobs(database)) == [Status.SUCCEEDED, Status.WAITING]


def test_a_clock_that_jumps_costs_no_history(database: Database) -> None:
    """When the last look seems to be long ago, or in the future, nothing is deleted yet."""
    store(database, arrival())
    upkeep.forget_old(database, 1)
    for last in (time.time() - 40 * 86_400, time.time() + 40 * 86_400):
        upkeep.remember(database, "retention", str(last))
        with database.writing() as connection:
            connection.exec_driver_sql("UPDATE deliveries SET received_at = 0")
        assert upkeep.forget_old(database, 1) == 0


def test_the_queue_says_how_long_the_oldest_waits(database: Database) -> None:
    """Waiting and running jobs are counted apart."""
    store(database, arrival(apps=("blog", "shop")))
    take(database)
    with database.reading() as connection:
        queue = history.queue(connection)
    assert (queue.waiting, queue.running) == (1, 1) and 0 <= time.time() - queue.oldest < 60


def test_pages_of_deliveries_go_on_where_the_last_one_ended(database: Database) -> None:
    """Newest first, and nothing twice."""
    for number in range(7):
        store(database, arrival(f"n{number}", apps=("blog", "shop")))
    with database.reading() as connection:
        first = history.deliveries_before(connection, None, 4)
        second = history.deliveries_before(connection, first[-1].id, 4)
    assert [entry.guid for entry in first + second if entry.app == "blog"] == [
        f"n{number}" for number in range(6, -1, -1)
    ]


def test_a_database_of_a_newer_receiver_is_refused(database: Database, tmp_path: Path) -> None:
    """An older program must not write into tables that it does not know."""
    upkeep.remember(database, "version", "99")
    url = f"sqlite:///{tmp_path / 'receiver.db'}"
    if database.is_sqlite:
        with pytest.raises(InvalidConfig, match="newer receiver"):
            Database.open(url)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Deliveries name private repositories."""
    Database.open(f"sqlite:///{tmp_path / 'receiver.db'}").close()
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """What the driver says, without the statement and its values."""
    (tmp_path / "receiver.db").write_bytes(b"no database" * 200)
    with pytest.raises(StoreUnavailable, match=r"^the database: file is not a database$"):
        Database.open(f"sqlite:///{tmp_path / 'receiver.db'}")


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    """The file is named, and why it cannot be made."""
    with pytest.raises(
        StoreUnavailable, match=r"^the database: .*/none/x.db cannot be made: No such file or directory$"
    ):
        Database.open(f"sqlite:///{tmp_path / 'none' / 'x.db'}")


def test_an_address_that_is_no_database_is_refused() -> None:
    """One message, no traceback of a library."""
    for url in ("nonsense", "mysql+nothing://x/y"):
        with pytest.raises(InvalidConfig, match="database"):
            Database.open(url)
