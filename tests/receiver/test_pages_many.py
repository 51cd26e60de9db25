"""Pages over very many deliveries: what is counted are SQLite's own steps, which no busy machine makes more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from receiver.store import Database
from receiver.store.jobs import claim
from tests.receiver.pages_million import fill
from tests.receiver.pages_parts import TOKEN, Place, Visitor

FEW, MANY = 2_000, 200_000
GROWTH = 1.5
"""An index has a level or two more for a hundred times as many rows."""


class Counted:
    """A receiver with so many deliveries, whose database counts its steps, a hundred at a time."""

    def __init__(self, folder: Path, count: int) -> None:
        self.count, self.steps = count, 0
        self.place = Place(folder)
        fill(self.place.config.state / "receiver.db", count)
        self.place.database.close()
        self.place.database = Database.open(self.place.config.database_url)
        event.listen(self.place.database._engine, "connect", self._connected)
        self.place.database.close()
        self.visitor = Visitor(self.place.app())
        self.visitor.log_in()

    def _connected(self, connection: object, _record: object) -> None:
        connection.set_progress_handler(self._step, 100)  # type: ignore[attr-defined]

    def _step(self) -> int:
        self.steps += 1
        return 0

    def of(self, act: Callable[[], object]) -> int:
        """How many hundred steps ``act`` takes, the second time."""
        act()
        self.steps = 0
        act()
        return self.steps

    def page(self, path: str) -> int:
        """The steps of a page."""
        named = path.format(job=self.count // 10, middle=self.count // 2, guid=f"{self.count // 10 * 5:012x}")

        def get() -> None:
            answer = self.visitor.client.get(named, headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == 200, named

        return self.of(get)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Counted, Counted]:
    return tuple(Counted(tmp_path_factory.mktemp("many"), count) for count in (FEW, MANY))  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/", "/live/overview", "/apps/blog", "/apps/blog?before={job}", "/deliveries", "/deliveries?before={middle}",
        "/deliveries/72d3162e-cc78-11e3-81ab-{guid}", "/deployments/{job}", "/api/apps", "/api/apps/blog",
        "/api/deliveries?limit=200", "/api/deliveries?before={middle}", "/api/deployments?app=blog", "/metrics", "/health",
    ],
)  # fmt: skip
def test_no_page_takes_longer_for_very_many_deliveries(both: tuple[Counted, Counted], path: str) -> None:
    """A hundred times as many deliveries and jobs cost a page no more than half as much again."""
    few, many = (counted.page(path) for counted in both)
    assert many <= few * GROWTH + 20, (few, many)


@pytest.mark.slow
def test_taking_the_next_job_takes_no_longer_either(both: tuple[Counted, Counted]) -> None:
    """Whether there is one or not: the jobs that are over are not looked at."""
    few, many = (counted.of(lambda: claim(counted.place.database, "here-1", ["blog"])) for counted in both)  # noqa: B023
    assert many <= few * GROWTH + 20, (few, many)


def test_the_steps_of_a_slow_question_would_be_counted(tmp_path: Path) -> None:
    """Looking at every row is seen in the figures."""
    counted = Counted(tmp_path, FEW)

    def scan() -> None:
        with counted.place.database.reading() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM deliveries WHERE event LIKE '%x%'").scalar()

    assert counted.of(scan) > 50
