"""What a probe's samples add up to, and the line that shows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.latency import Forgotten, Mark, Sample, latency_line, merge, report

GOOD = [Sample(at / 10, 0.01, good=True) for at in range(10)]


def bad(start: float, reason: str = "status 500") -> Sample:
    return Sample(start, 0.01, good=False, reason=reason)


def test_nothing_was_sent() -> None:
    """No samples make a report of zeros and an empty line."""
    empty = report([])
    assert (empty.requests, empty.dropped, empty.p50_ms, empty.longest_gap_ms, empty.reasons) == (0, 0, 0.0, 0.0, ())
    assert latency_line(empty) == ""


def test_all_good() -> None:
    """Good answers are counted, none dropped; the gap is the time from one answer to the next."""
    seen = report(reversed(GOOD), [Mark("switch", 0.5)])
    assert (seen.requests, seen.dropped, seen.reasons) == (10, 0, ())
    assert (seen.p50_ms, seen.p99_ms) == (10.0, 10.0)
    assert seen.longest_gap_ms == pytest.approx(100)
    assert seen.samples == tuple(GOOD)
    assert seen.marks == (Mark("switch", 0.5),)


def test_counting_starts_at_the_first_good_answer() -> None:
    """A URL that did not answer well before the deploy has dropped nothing by that."""
    seen = report([bad(-0.3), bad(-0.2), *GOOD, bad(1.0)])
    assert (seen.requests, seen.dropped) == (11, 1)


def test_never_a_good_answer() -> None:
    """Nothing is counted where nothing was good, and the reasons say why."""
    seen = report([bad(0), bad(1)])
    assert (seen.requests, seen.dropped, seen.reasons) == (0, 0, (("status 500", 2),))
    assert latency_line(seen) == ""


def test_percentiles_are_of_good_answers() -> None:
    """p50 and p99 are by nearest rank, and a drop's time does not count."""
    samples = [Sample(number, number / 1000, good=True) for number in range(1, 101)]
    seen = report([*samples, Sample(101, 5.0, good=False, reason="timed out")])
    assert (seen.p50_ms, seen.p99_ms) == (50.0, 99.0)


def test_longest_gap_is_between_good_answers() -> None:
    """An outage is as long as the time from the last good answer before it to the first after it."""
    seen = report([Sample(0, 0.1, good=True), bad(0.5), bad(1.0), Sample(1.5, 0.2, good=True)])
    assert seen.longest_gap_ms == pytest.approx(1600)


def test_an_outage_that_has_not_ended_is_a_gap() -> None:
    """Drops behind the last good answer lengthen the gap up to their end."""
    assert report([Sample(0, 0.1, good=True), Sample(1, 5, good=False, reason="x")]).longest_gap_ms == pytest.approx(
        5900
    )


def test_the_three_most_common_reasons() -> None:
    """Reasons come with their counts, the most common first, three at most."""
    reasons = "aaaabbbccd"
    seen = report([GOOD[0], *(bad(number, reason) for number, reason in enumerate(reasons, 1))])
    assert seen.reasons == (("a", 4), ("b", 3), ("c", 2))


def test_forgotten_requests_still_count() -> None:
    """What a long probe no longer holds is in the counts; counting has started with it."""
    seen = report([bad(1), *GOOD[2:]], forgotten=Forgotten(100, 3))
    assert (seen.requests, seen.dropped) == (109, 4)
    assert len(seen.samples) == 9


def test_several_probes_are_one() -> None:
    """Counts are added, percentiles are over all, the gap is one probe's longest; what came before counting is left out."""
    slow = [Sample(at / 10, 0.05, good=True) for at in range(10)]
    marks = [Mark("switch", 0.5)]
    seen = merge([report([bad(-0.1), *GOOD], marks), report([*slow, bad(1.4)], marks)])
    assert (seen.requests, seen.dropped, seen.reasons) == (21, 1, (("status 500", 1),))
    assert (seen.p50_ms, seen.p99_ms) == (10.0, 50.0)
    assert seen.longest_gap_ms == pytest.approx(460)
    assert seen.samples[0].start == 0.0
    assert latency_line(seen).count("│") == 1
    assert latency_line(seen).count("!") == 1


def test_one_probe_alone_is_itself() -> None:
    """Nothing is lost of it."""
    alone = report([bad(-0.1), *GOOD])
    assert merge([alone]) is alone


def test_line_shows_drops_and_the_switch() -> None:
    """One character for each slice of time: heights for latency, an exclamation mark for a drop, a bar for a mark."""
    slow = [Sample(sample.start, 0.08, good=True) if sample.start == 0.7 else sample for sample in GOOD]
    seen = report([*slow[:5], bad(0.5), *slow[6:]], [Mark("switch", 0.5)])
    assert latency_line(seen, 40) == "▁▁▁▁▁│!▁█▁▁"
    assert latency_line(seen, 40, ascii_only=True) == "_____|!_#__"


def test_noise_stays_low() -> None:
    """Answers that differ by a little do not look like mountains."""
    samples = [Sample(at, 0.010 + at % 2 * 0.002, good=True) for at in range(10)]
    assert latency_line(report(samples)) == "▁" * 10


def test_line_starts_where_counting_starts() -> None:
    """What does not count is not shown as dropped."""
    assert latency_line(report([bad(-1), GOOD[0], GOOD[5]])) == "▁▁"


def test_silence_is_a_space() -> None:
    """A slice without requests stays empty."""
    samples = [Sample(at, 0.01, good=True) for at in (0, 1, 2, 3, 3.5, 4, 4.5, 9, 10)]
    assert " " in latency_line(report(samples), 9)


outcomes = st.builds(Sample, st.floats(0, 1e4), st.floats(0, 10), st.booleans(), st.sampled_from(["", "x"]))


@given(st.lists(outcomes), st.lists(st.builds(Mark, st.just("m"), st.floats(-1, 2e4)), max_size=3), st.integers(4, 80))
def test_any_samples_at_all(samples: list[Sample], marks: list[Mark], width: int) -> None:
    """Whatever was seen, counts agree with the samples and the line fits its width."""
    seen = report(samples, marks)
    assert 0 <= seen.dropped <= seen.requests <= len(samples)
    assert seen.requests - seen.dropped == sum(sample.good for sample in samples)
    assert seen.longest_gap_ms >= 0
    assert len(latency_line(seen, width)) <= width
