"""Several things at the same time: who waits for whom, and what becomes of errors."""

from __future__ import annotations

import threading

import pytest

from deployer.errors import DeployFailed
from deployer.parallel import outcomes, together


def test_results_come_in_the_order_of_the_tasks() -> None:
    """Whichever ends first."""
    first = threading.Event()

    def late() -> str:
        first.wait(30)
        return "a"

    def early() -> str:
        first.set()
        return "b"

    assert together([late, early]) == ("a", "b")
    assert together([]) == ()


def test_all_run_at_the_same_time() -> None:
    """Each waits for the others, so one after the other would never end."""
    barrier = threading.Barrier(3)
    assert sorted(together([lambda: barrier.wait(30)] * 3)) == [0, 1, 2]


def test_one_alone_is_done_by_who_asks() -> None:
    """An interrupt reaches it there, as without any threads."""
    assert together([threading.current_thread]) == (threading.current_thread(),)


def test_the_first_failure_does_not_wait_for_the_others() -> None:
    """They may take long, and whoever asked has to close what they use."""
    never = threading.Event()
    waited: list[bool] = []
    error = DeployFailed("no space")

    def fail() -> None:
        raise error

    with pytest.raises(DeployFailed) as caught:
        together([lambda: waited.append(never.wait(60)), fail])
    assert caught.value is error
    assert waited == []
    never.set()


def test_outcomes_are_what_each_returned_or_raised() -> None:
    """Nothing is raised, and every task is heard of, in the order in which they end."""
    error = DeployFailed("no space")
    failed = threading.Event()

    def fail() -> str:
        failed.set()
        raise error

    def succeed() -> str:
        failed.wait(30)
        return "done"

    assert dict(outcomes([succeed, fail])) == {0: "done", 1: error}
