"""Plans, steps and replies are plain values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.plan import Effect, Plan, Reply, Request, Step

READ = Request("facts", Effect.READ)
WRITE = Request("switch", Effect.WRITE, ("new", "old"))


def step(name: str, *requests: Request) -> Step:
    return Step(name, f"do {name}", requests)


def test_the_last_fact_of_a_name_counts() -> None:
    """A host that says something twice means the second."""
    reply = Reply((("live", b"one"), ("free", b"5"), ("live", b"two")))
    assert (reply.raw("live"), reply.text("live"), reply.every("live")) == (b"two", "two", ("one", "two"))


def test_what_was_not_said_is_the_default() -> None:
    """Missing facts are None, an empty text or nought, unless the caller says otherwise."""
    reply = Reply()
    assert (reply.raw("x"), reply.text("x"), reply.number("x"), reply.every("x")) == (None, "", 0, ())
    assert (reply.text("x", "none"), reply.number("x", 7)) == ("none", 7)


@given(st.binary(max_size=30))
def test_no_value_breaks_the_reader(value: bytes) -> None:
    """Bytes of any kind are a text with surrogates, and a number or the default."""
    reply = Reply((("x", value),))
    assert reply.text("x").encode("utf-8", "surrogateescape") == value
    assert isinstance(reply.number("x"), int)


@pytest.mark.parametrize(("value", "number"), [("12", 12), (" 12\n", 12), ("-3", -3), ("--3", 9), ("²", 9), ("", 9)])
def test_numbers_are_whole_or_the_default(value: str, number: int) -> None:
    """Only a whole number is one."""
    assert Reply((("x", value.encode()),)).number("x", 9) == number


def test_a_step_writes_if_any_of_its_requests_does() -> None:
    """What a plan shows of a step is the strongest of its effects."""
    assert step("look", READ).effect is Effect.READ
    assert step("go", READ, WRITE).effect is Effect.WRITE


def test_a_plans_steps_are_those_of_a_deploy_that_goes_well() -> None:
    """Prepare, switch, confirm, and what may last; the way back is no part of it."""
    names = ("upload", "switch", "accept", "finish", "roll back")
    prepare, switch, confirm, rest, revert = (step(name) for name in names)
    plan = Plan("B", "A", prepare=(prepare,), switch=switch, confirm=(confirm,), rest=(rest,), revert=(revert,))
    assert [each.name for each in plan.steps] == [*names[:-1]]
    assert [each.name for each in plan.on("web1").steps] == [f"{name} web1" for name in names[:-1]]


def test_a_plan_without_a_switch_has_nothing_to_do() -> None:
    """An unchanged release has no steps, whatever else the plan knows."""
    assert Plan("A", "A", prepare=(step("upload"),)).steps == ()


def test_plans_are_values() -> None:
    """Two plans of the same parts are equal, and neither can be changed."""
    assert Plan("B", "A", switch=step("switch", WRITE)) == Plan("B", "A", switch=step("switch", WRITE))
    with pytest.raises(FrozenInstanceError):
        WRITE.verb = "facts"  # type: ignore[misc]
