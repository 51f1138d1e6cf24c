"""Epochs that nobody asked for: made when due and not otherwise, never in anybody's way."""

import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from commands import Command
from small_world import START, Pair

from matengine import times
from matengine.engine.pacing import choice, facts, keeping, rule
from matengine.engine.runs import engine, runs
from matengine.engine.versions import catalogue, compact, epoch, freeze, garbage
from matengine.errors import Conflict, Invalid, NotFound, Unavailable
from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.chunkedgraph.protocol import DeltaRoots
from matengine.storage.connections import conninfo_of

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says, and others have put there."""
    monkeypatch.delenv("MATENGINE_PACE", raising=False)


@pytest.fixture
def brisk(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """Epochs are due at once where anything has changed; roots are counted each time."""
    monkeypatch.setattr(rule, "SHARE", 1e6)
    monkeypatch.setattr(rule, "FEW", 1)
    monkeypatch.setattr(facts, "LOOK_LOCAL", timedelta())
    settle(pair, least=timedelta(seconds=1), target=1e-6)
    return pair


def settle(pair: Pair, **changes: Any) -> None:
    choice.change(pair.conn, pair.name, changes)
    pair.conn.commit()


def as_if(pair: Pair, ago: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the scheduler runs ahead from now on."""
    clock = facts._clock

    def later(*arguments: Any) -> tuple[datetime, datetime]:
        now, created = clock(*arguments)
        return now + ago, created

    monkeypatch.setattr(facts, "_clock", later)


def tick(pair: Pair, *, work: bool = True) -> int | None:
    """The scheduler looks; gives the run, which has been worked to its end."""
    run_id = keeping.tick(pair.conn, pair.name)
    if run_id is not None and work:
        drive(pair, run_id)
    return run_id


def drive(pair: Pair, run_id: int) -> runs.Run:
    return engine.drive(conninfo_of(pair.conn), run_id)


def standing(pair: Pair) -> keeping.Standing:
    found = keeping.standing(pair.conn, pair.name)
    pair.conn.commit()
    return found


def test_an_epoch_is_made_when_due_and_not_otherwise(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Annotations that came and went count, and rows with new roots."""
    monkeypatch.setattr(facts, "LOOK_LOCAL", timedelta())
    assert tick(pair) is None
    as_if(pair, 2 * DAY, monkeypatch)
    assert tick(pair) is None  # nothing has changed
    assert standing(pair).pending == 0
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    pair.delete(0)
    assert standing(pair).pending == 2
    assert tick(pair) is not None
    assert (standing(pair).epoch, standing(pair).pending) == (5, 0)
    pair.merge(0, 40)
    pair.merge(3, 50)
    before = standing(pair)
    assert before.due is None  # nobody has looked
    run_id = tick(pair)
    assert run_id is not None
    run = runs.get(pair.conn, run_id)
    assert (run.workflow, run.version, run.is_paced) == ("update_database", None, True)
    assert tick(pair) is None
    told = catalogue.tables_at(pair.conn, pair.name, run.epoch or 0)
    assert sum(table.rows_closed for table in told) > 0
    assert len(catalogue.versions(pair.conn, pair.name)) == 3
    settle(pair, active=False)
    pair.delete(1)
    assert tick(pair) is None
    settle(pair, active=None)
    assert tick(pair) is not None
    pair.judge_live(pair.clock())
    pair.check_versions()


def test_the_moment_is_that_of_the_rule(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.delete(0)
    due = standing(pair).due
    assert due is not None
    as_if(pair, due - pair.clock() - MINUTE, monkeypatch)
    assert tick(pair) is None
    as_if(pair, 2 * MINUTE, monkeypatch)
    assert tick(pair) is not None


def test_rows_with_ended_roots_are_counted_now_and_then(brisk: Pair) -> None:
    """They are those that the epoch closes."""
    brisk.merge(0, 40)
    run_id = tick(brisk, work=False)
    assert run_id is not None
    counted = standing(brisk).pending
    run = drive(brisk, run_id)
    told = catalogue.tables_at(brisk.conn, brisk.name, run.epoch or 0)
    assert counted == sum(table.rows_closed for table in told) > 0


def test_a_chunkedgraph_server_is_seldom_asked(
    brisk: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only for what its settle time has made final."""
    asked: list[datetime] = []
    settle_time = timedelta(minutes=3)

    class Far(local.LocalGraph):
        settle = settle_time

        def delta_roots(self, past: datetime, future: datetime) -> DeltaRoots:
            asked.append(future)
            return super().delta_roots(past, future)

    monkeypatch.setattr(facts.datastacks, "open_graph", lambda conn, s: Far(conn, brisk.name))
    brisk.conn.execute("UPDATE matengine.segmentation SET graph = 'https://far'")
    brisk.merge(0, 40)
    for minutes, times_asked in ((1, 0), (14, 1), (1, 1)):
        as_if(brisk, minutes * MINUTE, monkeypatch)
        found = facts.gather(brisk.conn, brisk.name, choice.get(brisk.conn, brisk.name))
        assert len(asked) == times_asked
        assert (found.seen.pending > 0) == (times_asked > 0)
    assert asked[0] <= brisk.clock() + 15 * MINUTE - settle_time


def test_the_first_epoch_comes_by_itself(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the past to tell has some minutes for it."""
    young = Pair(pair.conn, pair.volume)
    young.stir(random.Random(1), 5, 1)
    assert tick(young) is None
    created = facts._clock(young.conn, young.name)[1]
    assert standing(young).due == created + rule.FIRST
    as_if(young, rule.FIRST, monkeypatch)
    light = tick(young, work=False)
    assert light is not None
    assert engine.advance(young.conn, light)
    frozen = freeze.create_frozen(young.conn, young.name)
    assert frozen.run_id is not None
    drive(young, frozen.run_id)
    young.finish(frozen.run_id)
    assert standing(young).epoch == 2


def test_after_a_version_of_the_past_others_may_follow(
    pair: Pair, commands: Callable[[Pair], Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until somebody makes one of the present, or says that epochs shall come."""
    young = Pair(pair.conn, pair.volume)
    as_if(young, 2 * DAY, monkeypatch)
    for day in (1, 2):
        young.epoch(at=START + day * DAY)
        assert tick(young) is None
    assert standing(young).past
    assert "of the past" in commands(young)("pace")[1]
    settle(young, active=True)
    assert tick(young) is not None
    settle(young, active=None)
    young.delete(0)
    assert not standing(young).past
    with pytest.raises(Invalid, match="not after the last epoch"):
        young.begin(at=START + 3 * DAY)
    young.conn.rollback()


# in nobody's way


def test_a_version_waits_for_an_epoch_that_has_begun(
    brisk: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is of the moment when it was asked for, and takes its turn by itself."""
    brisk.delete(0)
    light = tick(brisk, work=False)
    assert light is not None
    assert engine.advance(brisk.conn, light)
    brisk.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    brisk.merge(0, 40)
    before = brisk.clock()
    run_id = brisk.begin()
    after = brisk.clock()
    brisk.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    brisk.merge(3, 50)
    waiting = runs.get(brisk.conn, run_id)
    assert (waiting.phase, waiting.epoch, waiting.version) == ("turn", None, 4)
    assert times.floor_ms(before) <= (waiting.time or before) <= after
    assert catalogue.versions(brisk.conn, brisk.name)[-1].status == "RUNNING"
    assert not engine.advance(brisk.conn, run_id)
    # one waits, others are told of it
    with pytest.raises(Conflict, match=f"matengine runs {run_id}"):
        epoch.start(brisk.conn, brisk.name, "complete", publish_version=True)
    brisk.conn.rollback()
    assert tick(brisk) is None
    with pytest.raises(Conflict):
        compact.start(brisk.conn, brisk.name)
    brisk.conn.rollback()
    # whoever works here alone does what is before it, too
    assert drive(brisk, run_id).status == "done"
    assert runs.get(brisk.conn, light).status == "done"
    brisk.finish(run_id)
    assert [v.epoch for v in catalogue.versions(brisk.conn, brisk.name)] == [1, 3, 4, 6]
    brisk.check_versions()


def test_an_epoch_that_has_not_begun_makes_way(brisk: Pair) -> None:
    brisk.delete(0)
    light = tick(brisk, work=False)
    assert light is not None
    run_id = brisk.begin()
    run = runs.get(brisk.conn, light)
    assert (run.status, run.error) == ("cancelled", "made way for a run that somebody asked for")
    assert runs.get(brisk.conn, run_id).epoch == run.epoch
    drive(brisk, run_id)
    brisk.finish(run_id)
    assert standing(brisk).tries == 0


@pytest.mark.parametrize("how", ["cancelled before", "it came to nothing", "bad time"])
def test_what_waits_may_end_otherwise(brisk: Pair, how: str) -> None:
    brisk.delete(0)
    light = tick(brisk, work=False)
    assert light is not None
    assert engine.advance(brisk.conn, light)
    if how == "bad time":
        with pytest.raises(Invalid, match="not after the last epoch"):
            brisk.begin(at=runs.get(brisk.conn, light).time)
        brisk.conn.rollback()
        drive(brisk, light)
        assert len(catalogue.versions(brisk.conn, brisk.name)) == 3
        return
    run_id = brisk.begin()
    if how == "cancelled before":
        drive(brisk, light)
        engine.cancel(brisk.conn, run_id)
        brisk.epoch()
        statuses = [v.status for v in catalogue.versions(brisk.conn, brisk.name)]
        assert statuses == ["AVAILABLE"] * 3 + ["FAILED", "AVAILABLE"]
    else:  # the version's epoch has the number that the other one had
        engine.cancel(brisk.conn, light)
        drive(brisk, run_id)
        brisk.finish(run_id)
        assert catalogue.version(brisk.conn, brisk.name, 4).epoch == 5
    brisk.check_versions()


def test_none_begins_while_another_run_is_at_work(brisk: Pair) -> None:
    brisk.delete(0)
    run_id = brisk.begin(publish=False)
    assert tick(brisk) is None
    with pytest.raises(Conflict):  # that one was asked for
        epoch.start(brisk.conn, brisk.name, "complete", publish_version=True)
    brisk.conn.rollback()
    drive(brisk, run_id)


def test_failures_are_seen_and_come_less_and_less_often(
    brisk: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A datastack that refuses gaps is tried twice as late each time, and at `most` at last."""
    brisk.conn.execute(
        "UPDATE matengine.datastack SET gap_policy = 'refuse' WHERE name = %s", (brisk.name,)
    )
    brisk.conn.execute("UPDATE matengine.segmentation SET volume = '/nowhere'")
    brisk.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    settle(brisk, least=MINUTE, most=10 * MINUTE)
    waits = []
    for tries in range(6):
        found = standing(brisk)
        assert found.tries == tries
        assert found.due is not None
        waits.append((found.due - brisk.clock()) / MINUTE)
        with monkeypatch.context() as patch:
            as_if(brisk, max(found.due - brisk.clock(), timedelta()), patch)
            run_id = tick(brisk)
        assert run_id is not None
        run = runs.get(brisk.conn, run_id)
        assert run.status == "failed"
        assert "nowhere" in (run.error or "") or "refuses" in (run.error or "")
    assert [round(wait) for wait in waits[1:]] == [2, 4, 8, 10, 10]
    assert standing(brisk).epoch == 4


def test_what_keeps_one_from_beginning_is_told(
    brisk: Pair, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise Unavailable("The chunkedgraph does not answer.")

    brisk.delete(0)
    with monkeypatch.context() as patch:
        patch.setattr("matengine.engine.datastacks.open_graph", silent)
        assert tick(brisk) is None
    assert standing(brisk).trouble == "The chunkedgraph does not answer."
    assert tick(brisk) is not None
    assert standing(brisk).trouble is None


# seen and settled


def test_people_see_and_settle_it(
    brisk: Pair, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATENGINE_PACE", "off keep=3d")
    assert run("pace", "--usual")[0] == 0
    found = json.loads(run("pace", "--json")[1])
    assert (found["active"], found["least"], found["keep"], found["own"]) == (
        *(False, "1m", "3d"),
        [],
    )
    code, out, _ = run("pace", "--on", "--least", "2m", "--most", "12h", "--target", "1%")
    assert code == 0
    assert "least 2m, most 12h, target 1%, keep 3d" in out
    assert "active, least, most, target" in out
    assert "when something has changed" in out
    brisk.delete(0)
    found = json.loads(run("pace", "--json")[1])
    assert (found["epoch"], found["pending"]) == (4, 1)
    assert found["due"] > found["made"]
    for wrong in (("--least", "2d"), ("--least", "soon"), ("--usual", "--on")):
        code, out, err = run("pace", *wrong)
        assert (code, out) == (1, "")
        assert len(err.splitlines()) <= 2
    # epochs that were made by themselves are not in the way of those who look at runs
    monkeypatch.setattr(rule, "SHARE", 1e6)
    settle(brisk, least=timedelta(seconds=1), most=timedelta(seconds=1))
    as_if(brisk, MINUTE, monkeypatch)
    light = tick(brisk)
    assert light is not None
    listed = [
        [r["run_id"] for r in json.loads(run("runs", "--json", *w)[1])] for w in ((), ("--all",))
    ]
    assert listed[1] == [light, *listed[0]]
    assert run("collect", "--no-compact")[0] == 0
    assert standing(brisk).epoch == 5


# behind the horizon


def test_behind_the_horizon_moments_are_told_as_before(brisk: Pair) -> None:
    """Exactly: from the epochs that are left, the annotations' times and the chunkedgraph."""
    dice, moments = random.Random(5), [brisk.clock()]
    for _ in range(3):
        brisk.stir(dice, 3, 3)
        moments.append(brisk.clock())
        light = keeping.tick(brisk.conn, brisk.name)
        if light is None:
            brisk.epoch(publish=False)
        else:
            drive(brisk, light)
    brisk.stir(dice, 2, 2)
    brisk.epoch()
    moments += [brisk.clock(), *(t for t, _ in brisk.versions.values())]
    known = runs.listed(brisk.conn, brisk.name)
    kept = garbage.collect(brisk.conn, brisk.name, live_horizon=DAY)
    assert kept.epochs == []
    gone = garbage.collect(brisk.conn, brisk.name, live_horizon=timedelta())
    assert gone.epochs == [2, 5, 6, 7]
    assert sum(table.rows for table in gone.tables) > 0
    for moment in moments:
        brisk.judge_live(moment)
    brisk.check_versions()
    # their runs are forgotten, those that somebody asked for are not
    assert keeping.tidy(brisk.conn, brisk.name, times.now()) == sum(r.is_paced for r in known)
    left = {r.run_id for r in runs.listed(brisk.conn, brisk.name)}
    assert left == {r.run_id for r in known if not r.is_paced}


def test_settings_that_cannot_be(pair: Pair) -> None:
    for wrong in (
        {"least": 2 * DAY},
        {"least": timedelta()},
        {"target": 0.0},
        {"keep": -DAY},
        {"lest": DAY},
    ):
        with pytest.raises(Invalid):
            choice.change(pair.conn, pair.name, wrong)
        pair.conn.rollback()
    with pytest.raises(NotFound):
        choice.get(pair.conn, "nobody")
    settle(pair, least=MINUTE, keep=DAY)
    settle(pair, least=None)
    assert choice.settled(pair.conn, pair.name) == {"keep": DAY}
