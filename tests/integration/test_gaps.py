"""Lookups that fail: their states, the gaps of each version, what heals and what is refused."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from commands import Command
from poison import UNREADABLE, nowhere, rootless, unreadable
from psycopg import sql
from psycopg.errors import ObjectNotInPrerequisiteState
from small_world import Pair
from steps import work_until

from matengine.engine import datastacks
from matengine.engine.annotations import tables
from matengine.engine.lookup import failures, states
from matengine.engine.lookup.states import State
from matengine.engine.runs import engine, runs
from matengine.engine.versions import catalogue, dropping, gaps, garbage, layout, verify
from matengine.errors import Gone, Invalid, NotFound
from matengine.storage.connections import conninfo_of

POINTS = ("pre_pt", "post_pt")


def make(pair: Pair, *, publish: bool = True) -> runs.Run:
    """An epoch, without asking the oracle, which knows of no gaps."""
    return engine.drive(conninfo_of(pair.conn), pair.begin(publish))


def missing(pair: Pair, epoch: int) -> set[tuple[int, str]]:
    """The points that have no root at an epoch, from all rows of history."""
    where = layout.layout_of(pair.conn, pair.table, pair.name)
    found = set()
    for point in POINTS:
        query = sql.SQL("SELECT id FROM {} AS h WHERE {} AND {} IS NULL").format(
            where.history, layout.visible("h", epoch), sql.Identifier(f"{point}_root_id")
        )
        found |= {(row_id, point) for (row_id,) in pair.conn.execute(query).fetchall()}
    return found


def check(pair: Pair, listed: dict[int, list[gaps.Gap]]) -> None:
    """All versions have the gaps that their rows have, and list them as they did at first."""
    for version in catalogue.versions(pair.conn, pair.name):
        if version.status != "AVAILABLE":
            continue
        found = gaps.of_version(pair.conn, pair.name, version.version)
        assert listed.setdefault(version.version, found) == found
        assert {(gap.id, gap.point) for gap in found} == missing(pair, version.epoch)
        told = catalogue.table_metadata(pair.conn, pair.name, version.version, pair.table)
        assert told.gaps == len({gap.id for gap in found})
    assert all(c.right for c in verify.verify(pair.conn, pair.name, max(listed)))
    check_states(pair)


def check_states(pair: Pair) -> None:
    """Every point of a living row has the state that the oracle and the newest epoch give it."""
    epoch = newest(pair)
    lacking = missing(pair, epoch)
    shown = set(column(pair, epoch, "id"))
    living = pair._living()
    failing = states.failures(pair.conn, pair.name, pair.table)
    failed = {(f.id, f.point): f for f in failing}
    assert failed.keys() >= lacking
    told = states.of_rows(pair.conn, pair.name, pair.table, living)
    assert [(t.id, t.point) for t in told] == [(i, p) for i in living for p in POINTS]
    for lookup in told:
        annotation = pair.world.tables[pair.table][lookup.id]
        supervoxel = pair.world.supervoxel(annotation.points[lookup.point], (1, 1, 1))
        assert lookup.supervoxel_id in (supervoxel, None)
        failure = failed.get((lookup.id, lookup.point))
        if failure:
            assert (lookup.state, lookup.reason, lookup.attempts, lookup.as_of) == (
                failure.state,
                failure.reason,
                failure.attempts,
                failure.as_of,
            )
        elif lookup.id not in shown:
            assert lookup.state == State.PENDING
        else:
            assert lookup.state == (State.RESOLVED if supervoxel else State.BACKGROUND)
            assert (lookup.root_id == 0) == (supervoxel == 0)
    gone = [row_id for row_id in shown if row_id not in living]
    told += states.of_rows(pair.conn, pair.name, pair.table, gone)
    counted = Counter((t.point, t.state) for t in told)
    counted.update((f.point, f.state) for f in failing if f.id not in {t.id for t in told})
    for c in states.counts(pair.conn, pair.name, pair.table):
        assert (
            c.pending,
            c.resolved,
            c.background,
            c.failed_retryable,
            c.failed_permanent,
        ) == tuple(counted[c.point, state] for state in State)
    pair.conn.rollback()


def newest(pair: Pair) -> int:
    (epoch,) = pair.conn.execute(
        "SELECT max(epoch) FROM matengine.epoch WHERE sealed IS NOT NULL"
    ).fetchone() or (0,)
    return int(epoch)


def column(pair: Pair, epoch: int, name: str) -> list[Any]:
    where = layout.layout_of(pair.conn, pair.table, pair.name)
    query = sql.SQL("SELECT {} FROM {} AS h WHERE {}").format(
        sql.Identifier(name), where.history, layout.visible("h", epoch)
    )
    return [value for (value,) in pair.conn.execute(query).fetchall()]


@pytest.mark.parametrize("seed", [1, 3])
def test_whatever_fails_and_heals(pair: Pair, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Volume and graph fail here and there; runs are cancelled, refused and made again."""
    monkeypatch.setattr(failures, "MAX_ATTEMPTS", 3)
    dice, listed = random.Random(seed), {}
    for _ in range(7):
        pair.stir(dice, dice.randrange(1, 6), dice.randrange(3))
        with ExitStack() as stack:
            if dice.random() < 0.7:
                low = dice.randrange(4)
                stack.enter_context(unreadable(lambda p, low=low: (p[:, 0] // 3) % 4 == low))
            if dice.random() < 0.5:
                rest = dice.randrange(5)
                stack.enter_context(rootless(lambda s, rest=rest: s % 5 == rest))
            policy = datastacks.GAP_POLICIES[dice.random() < 0.1]
            datastacks.set_gap_policy(pair.conn, pair.name, policy)
            if dice.random() < 0.2:
                failures.retry(pair.conn, pair.name, pair.table)
            pair.conn.commit()
            run_id = pair.begin(dice.random() < 0.8)
            if dice.random() < 0.3:
                work_until(pair.conn, run_id, dice.choice(["collect", "resolve", "apply", "index"]))
                check_states(pair)
                engine.cancel(pair.conn, run_id)
            else:
                engine.drive(conninfo_of(pair.conn), run_id)
        check(pair, listed)
    datastacks.set_gap_policy(pair.conn, pair.name, "refuse")
    failures.retry(pair.conn, pair.name)
    pair.conn.commit()
    pair.epoch()  # nothing is lacking: it is what the oracle says
    check(pair, listed)
    assert states.failures(pair.conn, pair.name) == []
    assert any(listed.values())


@pytest.fixture
def broken(pair: Pair) -> Iterator[Pair]:
    """Two new synapses, one of them with a pre point that cannot be read."""
    pair.insert([(1, 2, 2), (5, 6, 2), (1, 1, 1)], None)
    pair.insert([(9, 9, 1), (5, 6, 2), (1, 1, 1)], None)
    with unreadable(lambda points: points[:, 0] == 9):
        yield pair


def test_a_cancelled_run_forgets_no_failure(broken: Pair) -> None:
    """What it had found was taken back, so the next one must look for it again."""
    make(broken)
    with unreadable(nowhere):
        run_id = broken.begin()
        work_until(broken.conn, run_id, "index")
        engine.cancel(broken.conn, run_id)
        (failure,) = states.failures(broken.conn, broken.name)
        assert (failure.attempts, failure.reason) == (1, UNREADABLE)
        broken.conn.rollback()
        broken.epoch()
    check(broken, {})


def test_a_lookup_is_given_up_and_tried_again_on_request(
    broken: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "MAX_ATTEMPTS", 3)
    told, asked = [], []
    row_id = max(broken.world.tables[broken.table])
    with unreadable(lambda points: points[:, 0] == 9, asked):
        for _ in range(5):
            asked.clear()
            run = make(broken)
            (gap,) = gaps.of_version(broken.conn, broken.name, run.version or 0)
            (failure,) = states.failures(broken.conn, broken.name, broken.table)
            assert (failure.id, failure.point, failure.reason) == (row_id, "pre_pt", UNREADABLE)
            assert failure.as_of == gap.as_of
            told.append((failure.state, gap.attempts, gap.permanent, bool(asked)))
            broken.conn.commit()
        assert told == [
            (State.RETRYABLE, 1, False, True),
            (State.RETRYABLE, 2, False, True),
            (State.PERMANENT, 3, True, True),
            (State.PERMANENT, 3, True, False),
            (State.PERMANENT, 3, True, False),
        ]
        # its other point comes to another root: the row is written anew, and this left alone
        other = broken.world.supervoxel((5, 6, 2), (1, 1, 1))
        broken.merge(broken.supervoxels.index(other), 0)
        broken.split(0)
        make(broken)
        assert asked == []
        (failure,) = states.failures(broken.conn, broken.name)
        assert (failure.state, failure.attempts) == (State.PERMANENT, 3)
        assert failures.retry(broken.conn, broken.name, broken.table, [row_id + 1]) == 0
        assert failures.retry(broken.conn, broken.name, broken.table, [row_id]) == 1
        broken.conn.commit()
        make(broken)
        assert asked
        (failure,) = states.failures(broken.conn, broken.name)
        assert (failure.state, failure.attempts) == (State.RETRYABLE, 1)
    check(broken, {})
    with unreadable(nowhere):
        broken.epoch()
    assert states.failures(broken.conn, broken.name) == []


def test_versions_with_gaps_are_refused_where_the_policy_says_so(broken: Pair) -> None:
    datastacks.set_gap_policy(broken.conn, broken.name, "refuse")
    broken.conn.commit()
    before = newest(broken)
    for _ in range(2):
        run = make(broken)
        assert run.status == "failed"
        for words in (f"'{broken.table}' has 1 row ", broken.name, "matengine lookups"):
            assert words in (run.error or "")
    with pytest.raises(Gone):
        catalogue.version(broken.conn, broken.name, run.version or 0)
    assert newest(broken) == before
    (failure,) = states.failures(broken.conn, broken.name)
    assert (failure.state, failure.attempts) == (State.RETRYABLE, 2)
    check(broken, {})
    # another policy, and it is published; back again, and the next is refused until it heals
    datastacks.set_gap_policy(broken.conn, broken.name, "publish-with-gaps")
    broken.conn.commit()
    assert make(broken).status == "done"
    datastacks.set_gap_policy(broken.conn, broken.name, "refuse")
    broken.conn.commit()
    assert make(broken).status == "failed"
    with unreadable(nowhere):
        broken.epoch()
    listed: dict[int, list[gaps.Gap]] = {}
    check(broken, listed)
    assert sorted(len(found) for found in listed.values()) == [0, 0, 0, 0, 1]
    with pytest.raises(Invalid, match="no gap policy"):
        datastacks.set_gap_policy(broken.conn, broken.name, "refuze")


def test_gaps_of_versions_cannot_be_changed(broken: Pair) -> None:
    number = make(broken).version or 0
    statements = (
        "UPDATE matengine.gap SET reason = 'forged'",
        "UPDATE matengine.gap SET to_epoch = 99",
        "DELETE FROM matengine.gap",
        "TRUNCATE matengine.gap",
        "INSERT INTO matengine.gap SELECT datastack, table_name, 1, point, 1, 9, reason, true, 1,"
        " as_of FROM matengine.gap",
    )
    for statement in statements:
        with pytest.raises(ObjectNotInPrerequisiteState):
            broken.conn.execute(sql.SQL(statement))
        broken.conn.rollback()
    # also while an epoch is open, which may end them but not rewrite them
    run_id = broken.begin()
    for statement in statements:
        with pytest.raises(ObjectNotInPrerequisiteState):
            broken.conn.execute(sql.SQL(statement))
        broken.conn.rollback()
    engine.cancel(broken.conn, run_id)
    assert len(gaps.of_version(broken.conn, broken.name, number)) == 1
    assert gaps.of_version(broken.conn, broken.name, number, broken.notes) == []
    with pytest.raises(NotFound, match="has no table 'nothing'"):
        gaps.of_version(broken.conn, broken.name, number, "nothing")
    broken.conn.rollback()
    # they go with the versions that have them
    tables.delete_table(broken.conn, broken.notes)
    tables.delete_table(broken.conn, broken.table)
    broken.conn.commit()
    make(broken)
    assert states.failures(broken.conn, broken.name) == []
    assert len(gaps.of_version(broken.conn, broken.name, number)) == 1
    broken.conn.commit()
    for kept in (1, 0):
        garbage.collect(broken.conn, broken.name)
        left = broken.conn.execute(sql.SQL("SELECT count(*) FROM matengine.gap"))
        assert left.fetchall() == [(kept,)]
        broken.conn.commit()
        if kept:
            dropping.drop(broken.conn, broken.name, number)


def test_states_before_the_first_epoch(pair: Pair) -> None:
    """No history is there yet; a table may have no point at all."""
    second = Pair(pair.conn, pair.volume, neighbour=pair)
    living = len(pair._living())
    for counted in states.counts(pair.conn, second.name, pair.table):
        assert counted.pending == living
        assert np.sum([counted.resolved, counted.background, counted.failed_retryable]) == 0
    assert states.counts(pair.conn, second.name, pair.notes) == []
    assert states.of_rows(pair.conn, second.name, pair.notes, [1]) == []
    told = states.of_rows(pair.conn, second.name, pair.table, [pair._living()[0], 10**9])
    assert [(t.state, t.as_of) for t in told] == [(State.PENDING, None)] * 2
    with pytest.raises(NotFound):
        states.failures(pair.conn, second.name, "nothing")


def test_as_one_types_it(broken: Pair, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a refused version to one with gaps to one without."""
    monkeypatch.setattr(failures, "MAX_ATTEMPTS", 2)
    row_id = max(broken.world.tables[broken.table])
    assert run("gap-policy")[:2] == (0, "publish-with-gaps\n")
    assert run("gap-policy", "refuse", "--json")[0] == 0
    code, out, err = run("materialize")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: Run")
    for words in (f"'{broken.table}' has 1 row with", "matengine lookups", "gap-policy"):
        assert words in err
    (pre, post) = json.loads(run("lookups", broken.table, "--json")[1])
    assert (pre["point"], pre["pending"], pre["failed_retryable"]) == ("pre_pt", 1, 1)
    assert (post["point"], post["pending"], post["failed_retryable"]) == ("post_pt", 2, 0)
    listed = run("lookups", broken.table, "--failed")[1].splitlines()
    assert listed[0].split()[:4] == ["table", "id", "point", "state"]
    for words in (str(row_id), "pre_pt", "failed-retryable", UNREADABLE):
        assert words in listed[1]
    assert run("gap-policy", "publish-with-gaps")[0] == 0
    assert run("materialize")[0] == 0
    (gap,) = json.loads(run("gaps", "newest", "--json")[1])
    assert (gap["id"], gap["point"], gap["permanent"], gap["attempts"]) == (
        row_id,
        "pre_pt",
        True,
        2,
    )
    newest = run("versions")[1].splitlines()
    assert dict(zip(newest[0].split(), newest[-1].split(), strict=False))["version"] == "5"
    assert json.loads(run("versions", "--json")[1])[-1]["tables"][-1]["gaps"] == 1
    assert run("gaps", 5, "--table", broken.notes)[2].strip() == "version 5 has no gaps"
    states_of = [
        lookup["state"] for lookup in json.loads(run("lookups", broken.table, row_id, "--json")[1])
    ]
    assert states_of == ["failed-permanent", "resolved"]
    with unreadable(nowhere):
        assert run("materialize")[0] == 0
        assert len(json.loads(run("gaps", 6, "--json")[1])) == 1
        assert run("lookups", "--retry")[1].startswith("1 lookups will be tried again")
        assert run("lookups", "--retry")[1] == "none was given up\n"
        assert run("materialize")[0] == 0
    assert json.loads(run("gaps", 7, "--json")[1]) == []
    assert len(json.loads(run("gaps", 6, "--json")[1])) == 1
    for words in (
        ["gap-policy", "perhaps"],
        ["gaps", "9"],
        ["gaps", "5", "--table", "nothing"],
        ["lookups", "nothing"],
        ["lookups", broken.table, row_id, "--failed"],
    ):
        code, out, err = run(*words)
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
