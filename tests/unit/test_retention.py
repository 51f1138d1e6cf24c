"""Retention: what may go and what never does, for any versions, epochs, moments and policies."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matengine.engine.versions.catalogue import Version
from matengine.engine.versions.retention import Decision, Epoch, Policy, decide, let_go
from matengine.errors import Invalid

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEEP_ALL = Policy()

moments = st.integers(-3, 3).map(lambda days: NOW + timedelta(days=days))
policies = st.none() | st.integers(1, 6)


@st.composite
def histories(draw: st.DrawFn) -> list[Version]:
    """Versions as a datastack may have them, in any order; several may name one epoch.

    One that was frozen while a run made another has a later number and an earlier epoch.
    """
    made = [
        Version(
            version=number,
            epoch=draw(st.integers(1, 10)),
            status=draw(st.sampled_from(["AVAILABLE"] * 4 + ["RUNNING", "FAILED", "EXPIRED"])),
            time=NOW,
            created=NOW,
            expires_on=draw(st.none() | moments),
            pinned=draw(st.sampled_from([False, False, True])),
            note="",
            name=None,
        )
        for number in range(1, draw(st.integers(0, 10)) + 1)
    ]
    return draw(st.permutations(made))


def numbers(versions: list[Version]) -> list[int]:
    return [version.version for version in versions]


def age(version: Version) -> tuple[int, int]:
    return version.epoch, version.version


def newest(versions: list[Version]) -> int:
    """The number of the version whose epoch is the latest; of several, the latest number."""
    available = [v for v in versions if v.status == "AVAILABLE"]
    return max(available, key=age).version if available else 0


def unpinned(versions: list[Version]) -> list[Version]:
    return [v for v in versions if v.status == "AVAILABLE" and not v.pinned]


@given(histories(), moments, policies)
def test_every_version_that_is_there_is_judged_once(
    versions: list[Version], now: datetime, keep: int | None
) -> None:
    decision = decide(versions, now, Policy(keep))
    there = sorted(v.version for v in versions if v.status in ("AVAILABLE", "RUNNING"))
    assert sorted(numbers(decision.expire) + numbers(decision.keep)) == there
    for part in (decision.expire, decision.keep):
        assert [age(v) for v in part] == sorted(age(v) for v in part)


@given(histories(), moments, policies)
def test_the_newest_the_pinned_and_the_unfinished_stay(
    versions: list[Version], now: datetime, keep: int | None
) -> None:
    for version in decide(versions, now, Policy(keep)).expire:
        assert version.status == "AVAILABLE"
        assert not version.pinned
        assert version.version != newest(versions)


@given(histories(), moments)
def test_without_a_policy_only_dates_count(versions: list[Version], now: datetime) -> None:
    gone = set(numbers(decide(versions, now, KEEP_ALL).expire))
    for version in unpinned(versions):
        due = version.expires_on is not None and version.expires_on <= now
        assert (version.version in gone) == (due and version.version != newest(versions))


@given(histories(), moments, st.integers(1, 6))
def test_a_policy_leaves_at_most_so_many_unpinned(
    versions: list[Version], now: datetime, keep: int
) -> None:
    decision = decide(versions, now, Policy(keep))
    left = unpinned(decision.keep)
    assert len(left) <= keep
    # the newest ones, and none goes that has no reason to
    by_date = set(numbers(decide(versions, now, KEEP_ALL).expire))
    latest = numbers(sorted(unpinned(versions), key=age))[-keep:]
    assert set(numbers(left)) == set(latest) - by_date


@given(histories(), moments, policies)
def test_what_stays_stays_when_asked_again(
    versions: list[Version], now: datetime, keep: int | None
) -> None:
    first = decide(versions, now, Policy(keep))
    gone = set(numbers(first.expire))
    after = [replace(v, status="EXPIRED") if v.version in gone else v for v in versions]
    assert decide(after, now, Policy(keep)) == Decision([], first.keep)


@given(histories(), moments, st.integers(0, 4), policies)
def test_later_and_stricter_let_go_of_no_less(
    versions: list[Version], now: datetime, days: int, keep: int | None
) -> None:
    here = set(numbers(decide(versions, now, Policy(keep)).expire))
    later = decide(versions, now + timedelta(days=days), Policy(keep))
    assert here <= set(numbers(later.expire))
    looser = Policy(None if keep is None else keep + 1)
    assert set(numbers(decide(versions, now, looser).expire)) <= here


@given(histories(), moments, policies)
def test_the_order_of_versions_does_not_matter(
    versions: list[Version], now: datetime, keep: int | None
) -> None:
    assert decide(sorted(versions, key=lambda v: v.version), now, Policy(keep)) == decide(
        versions, now, Policy(keep)
    )


@given(histories(), moments, policies, st.integers(1, 10))
def test_a_pin_saves_a_version_and_costs_no_other(
    versions: list[Version], now: datetime, keep: int | None, which: int
) -> None:
    pinned = [replace(v, pinned=True) if v.version == which else v for v in versions]
    before = set(numbers(decide(versions, now, Policy(keep)).expire))
    after = set(numbers(decide(pinned, now, Policy(keep)).expire))
    assert which not in after
    assert after <= before


def test_a_version_expires_at_its_moment_not_before() -> None:
    old, new = (
        Version(n, n, "AVAILABLE", NOW, NOW, NOW, pinned=False, note="", name=None) for n in (1, 2)
    )
    assert numbers(decide([old, new], NOW, KEEP_ALL).expire) == [1]
    assert decide([old, new], NOW - timedelta(microseconds=1), KEEP_ALL).expire == []


def test_the_newest_is_that_of_the_latest_epoch_not_of_the_latest_number() -> None:
    """Version 3 was frozen from epoch 1 while the run of version 2 made epoch 2."""
    versions = [
        Version(n, e, "AVAILABLE", NOW, NOW, NOW, pinned=False, note="", name=None)
        for n, e in ((1, 1), (2, 2), (3, 1))
    ]
    decision = decide(versions, NOW, KEEP_ALL)
    assert (numbers(decision.expire), numbers(decision.keep)) == ([1, 3], [2])


@pytest.mark.parametrize("keep", [0, -1])
def test_no_policy_lets_all_go(keep: int) -> None:
    with pytest.raises(Invalid, match="At least one"):
        Policy(keep)


# epochs


@st.composite
def kept_epochs(draw: st.DrawFn) -> list[Epoch]:
    """Epochs as they are made: a later one is of a later time."""
    numbers = draw(st.lists(st.integers(1, 30), unique=True, max_size=12))
    flags = st.tuples(st.booleans(), st.booleans())
    made = [
        Epoch(number, NOW + timedelta(hours=number), *draw(flags)) for number in sorted(numbers)
    ]
    return draw(st.permutations(made))


hours = st.integers(-2, 32).map(lambda number: NOW + timedelta(hours=number))


@given(kept_epochs(), hours, st.integers(0, 12))
def test_epochs_go_that_nobody_needs(epochs: list[Epoch], before: datetime, most: int) -> None:
    gone = let_go(epochs, before, most)
    assert gone == sorted(gone)
    newest = max((e.epoch for e in epochs), default=0)
    left = [e for e in epochs if e.epoch not in gone]
    assert newest == 0 or newest in {e.epoch for e in left}
    assert all(not e.named for e in epochs if e.epoch in gone)
    # what is left besides has no version, is young, and there are not too many
    others = [e for e in left if not e.named and e.epoch != newest]
    assert len(others) <= most
    assert all(not e.dropped and e.time >= before for e in others)
    # and none goes that has no reason to
    later = sorted((e.epoch for e in epochs if not e.named and not e.dropped), reverse=True)
    most_later = set(later[: most + 1] if newest in later else later[:most])
    for e in epochs:
        if e.epoch in gone and not e.dropped and e.time >= before:
            assert e.epoch not in most_later


@given(kept_epochs(), hours, st.integers(0, 12))
def test_epochs_that_stay_stay_when_asked_again(
    epochs: list[Epoch], before: datetime, most: int
) -> None:
    gone = let_go(epochs, before, most)
    assert let_go([e for e in epochs if e.epoch not in gone], before, most) == []
    assert set(gone) <= set(let_go(epochs, before + timedelta(hours=1), max(0, most - 1)))
