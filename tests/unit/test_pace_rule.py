"""When an epoch is due that nobody asked for: properties of the rule, and how it is settled."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matengine.engine.pacing import choice
from matengine.engine.pacing.rule import FEW, FIRST, SHARE, Pace, Seen, due, rest
from matengine.errors import Invalid

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def lengths(least: float, most: float) -> st.SearchStrategy[timedelta]:
    return st.floats(least, most).map(lambda seconds: timedelta(seconds=seconds))


@st.composite
def paces(draw: st.DrawFn) -> Pace:
    least = draw(lengths(1, 3600))
    return Pace(
        least=least,
        most=least + draw(lengths(0, 1e6)),
        target=draw(st.floats(1e-6, 1)),
    )


seen = st.builds(
    Seen,
    rows=st.integers(0, 10**9),
    pending=st.integers(1, 10**9),
    since=st.just(NOW),
    first=st.booleans(),
    took=lengths(0, 1e5),
    tries=st.integers(0, 100),
    tried=st.none() | lengths(0, 1e6).map(lambda length: NOW + length),
)


@given(paces(), seen)
def test_nothing_is_due_where_nothing_has_changed_or_it_is_off(pace: Pace, found: Seen) -> None:
    assert due(pace, replace(found, pending=0)) is None
    assert due(replace(pace, active=False), found) is None
    assert due(pace, replace(found, past=True)) is None
    assert due(pace, found) is not None


@given(paces(), seen, st.integers(0, 10**9))
def test_more_changes_make_it_no_later(pace: Pace, found: Seen, more: int) -> None:
    here, there = due(pace, found), due(pace, replace(found, pending=found.pending + more))
    assert here is not None
    assert there is not None
    assert there <= here


@given(paces(), seen)
def test_between_least_and_most(pace: Pace, found: Seen) -> None:
    """Nor is more than a small part of the time spent on epochs, unless they take longer."""
    moment = due(pace, replace(found, tries=0))
    assert moment is not None
    assert NOW + pace.least <= moment <= NOW + pace.most
    assert moment >= NOW + rest(pace, found.took)
    if moment < NOW + pace.most:
        assert found.took <= SHARE * (moment - NOW) + timedelta(microseconds=10)


@given(paces(), seen, st.integers(1, 100), lengths(0, 1e5))
def test_tries_in_vain_and_their_cost_make_it_no_sooner(
    pace: Pace, found: Seen, tries: int, took: timedelta
) -> None:
    moment = due(pace, found)
    assert moment is not None
    more = due(pace, replace(found, tries=found.tries + tries, took=found.took + took))
    assert more is not None
    assert more >= moment
    # and it never gives up
    assert more <= max(NOW, found.tried or NOW) + pace.most


@given(paces(), seen)
def test_those_who_make_versions_of_the_past_are_given_time(pace: Pace, found: Seen) -> None:
    moment = due(pace, found)
    assert moment is not None
    if found.first:
        assert moment >= NOW + min(FIRST, pace.most)


@given(st.floats(0.001, 1000), st.integers(0, 10**8), lengths(0, 100))
def test_at_a_steady_rate_few_rows_differ_and_intervals_adapt(
    rate: float, rows: int, took: timedelta
) -> None:
    """The rows of one epoch are no more than the target, or what comes while it has to rest."""
    pace = Pace()

    def interval(rate: float) -> float:
        """When it is due if `rate` rows change each second: found as the scheduler finds it."""
        low, high = 0.0, pace.most.total_seconds()
        for _ in range(60):
            middle = (low + high) / 2
            found = Seen(rows, max(1, int(rate * middle)), NOW, took=took)
            moment = due(pace, found)
            assert moment is not None
            low, high = (low, middle) if moment <= NOW + middle * SECOND else (middle, high)
        return high

    length = interval(rate)
    room = max(pace.target * rows, FEW, rate * rest(pace, took).total_seconds())
    assert rate * length <= room * 1.01 + 1
    assert interval(rate * 4) <= length + 1e-6
    if rest(pace, took) * 4 < length * SECOND < pace.most / 4 and rate * length > 1000:
        assert interval(rate * 4) == pytest.approx(length / 2, rel=0.05)  # by the square root


@pytest.mark.parametrize(
    ("text", "length"),
    [("90s", 90), ("1.5m", 90), ("12h", 43200), ("7d", 604800), (" 0s ", 0)],
)
def test_lengths_of_time(text: str, length: float) -> None:
    assert choice.span(text).total_seconds() == length
    assert choice.span(choice.shown(choice.span(text))) == choice.span(text)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m", "5y", "1e3s", "9999999999d"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(Invalid):
        choice.span(text)


def test_what_the_deployment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MATENGINE_PACE", raising=False)
    assert choice.usual() == Pace()
    monkeypatch.setenv("MATENGINE_PACE", "off, least=2m most=12h target=1% keep=3d")
    hour = timedelta(hours=1)
    assert choice.usual() == Pace(False, hour / 30, 12 * hour, 0.01, 72 * hour)
    for wrong in ("of", "lest=2m", "least", "least=2", "least=2d", "target=0", "target=x"):
        monkeypatch.setenv("MATENGINE_PACE", wrong)
        with pytest.raises(Invalid):
            choice.usual()
