"""Live answers: at any moment, on both axes, they are what a freeze at that moment gives.

A scenario happens, and then is asked about: random queries, with joins and views, at, around and
between everything that happened, judged by the oracle.
"""

import os
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clearing import clear
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from judging import judge
from past import Past
from questions import Asker
from small_world import SIZE, START, Pair, write_volume

from matengine.engine.annotations import rows as annotations
from matengine.engine.annotations import tables
from matengine.engine.query import answer
from matengine.engine.query.model import Axes, Query
from matengine.engine.query.views import catalogue
from matengine.storage.connections import Connection
from matengine.times import floor_ms

SCENARIOS = int(os.environ.get("MATENGINE_TEST_SCENARIOS", "24"))
PARTS = 2
TICK = timedelta(milliseconds=1)

_voxel = st.integers(-2, SIZE + 1)
_point = st.tuples(_voxel, _voxel, _voxel)
_number = st.integers(0, 1000)
_insert = st.tuples(
    st.just("insert"), st.lists(_point, min_size=3, max_size=3), st.none() | st.just(1.5)
)
_action = st.one_of(
    _insert,
    _insert,
    st.tuples(st.just("note"), _number),
    st.tuples(st.just("move"), _number, _point),
    st.tuples(st.just("delete"), _number),
    st.tuples(st.just("merge"), _number, _number),
    st.tuples(st.just("merge"), _number, _number),
    st.tuples(st.just("split"), _number),
    st.tuples(st.just("classify"), _number, _point),
    st.tuples(st.just("classify"), _number, _point),
    st.tuples(st.just("reclassify"), _number),
    st.tuples(st.just("epoch"), st.booleans()),
    st.tuples(st.just("late"), _number),
    st.tuples(st.just("live")),
)


class Stack(Pair):
    """With cells, whose voxels are larger, and views."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.cells = f"cells_{self.name}"
        tables.create_table(
            self.conn, self.cells, "cell_match", voxel_resolution_nm=(2, 2, 5), description=""
        )
        self.conn.commit()

    @property
    def tables(self) -> tuple[str, ...]:
        return self.table, self.notes, self.cells

    def classify(self, number: int, point: tuple[int, int, int]) -> None:
        cell: dict[str, Any] = {
            "pt": {"position": [v / 2 for v in point[:2]] + [point[2] / 4]},
            "query_root_id": number,
            "match_id": ("MC", "5P-IT", "Übergang 🧠", "")[number % 4],
            "score": (0.0, -1.5, 3.25)[number % 3],
        }
        if number % 2:
            cell["validation"] = number % 4 == 1
        annotations.insert(self.conn, self.cells, [cell])
        self.conn.commit()

    def reclassify(self, which: int) -> None:
        """Correct the type of a cell, or delete it."""
        every = range(1, annotations.count(self.conn, self.cells, ended=True) + 1)
        rows = annotations.get(self.conn, self.cells, every)
        living = [row["id"] for row in rows if row["deleted"] is None]
        if living:
            cell = living[which % len(living)]
            if which % 3:
                annotations.update(self.conn, self.cells, [{"id": cell, "match_id": "BC"}])
            else:
                annotations.delete(self.conn, self.cells, [cell])
        self.conn.commit()

    def late(self, number: int) -> None:
        """A program whose clock is behind ours; epochs may have been made meanwhile."""
        moment = self.clock() - TICK * (number % 600)
        self.put(moment, moment + TICK * number if number % 3 == 0 else None)

    def live(self) -> None:
        self.judge_live(self.clock())


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_volume(Path(tmp_path_factory.mktemp("volume")))


@pytest.mark.timeout(max(300, 30 * SCENARIOS // PARTS))
@pytest.mark.parametrize("part", range(PARTS))
@settings(
    max_examples=SCENARIOS // PARTS,
    deadline=None,
    # what happens depends on the clock, so that smaller scenarios are others
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    actions=st.lists(_action, min_size=4, max_size=16),
    seed=st.integers(0, 2**32),
)
def test_any_moment_is_the_oracles(
    conn: Connection, volume: str, part: int, actions: list[tuple[Any, ...]], seed: int
) -> None:
    stack, dice = Stack(conn, volume), random.Random(seed)
    try:
        stack.stir(dice, 12, 1)
        for name, *arguments in actions:
            getattr(stack, name)(*arguments)
        ask_about(stack, dice)
        freeze_is_live(stack, dice)
        stack.check_versions()
    finally:
        clear(conn)


def ask_about(stack: Stack, dice: random.Random) -> None:
    """Queries at and around what happened, with one axis or two; versions equal their times."""
    past = Past.of(stack, stack.tables)
    events = sorted(past.events())
    now = floor_ms(stack.clock())

    def moment() -> datetime:
        chosen = dice.choice(events) + dice.choice((-TICK, 0 * TICK, TICK))
        if dice.random() < 0.3:
            chosen = events[0] + (now - events[0]) * dice.random()
        return min(now, max(START, chosen))

    apart = (moment(), moment())
    whens = [(at, at) for at in (now, moment(), moment())] + [apart]
    worlds = {when: past.at(*when) for when in whens}
    values = past.values(worlds.values())
    for number in range(dice.randrange(3)):
        what = Asker(dice, worlds[now, now], values).view()
        catalogue.store(stack.conn, stack.name, f"view_{number}", what)
        past.views[f"view_{number}"] = what
    worlds = {when: past.at(*when) for when in whens}
    values = past.values(worlds.values())
    for (at, roots_at), known in worlds.items():
        when = at if at == roots_at else Axes(at, roots_at)
        whole = [Query(table) for table in (stack.table, stack.cells)]
        for query in (*whole, Asker(dice, known, values).query()):
            judge(stack, when, query, known, dice)
    for version, (time, _) in stack.versions.items():
        query = Asker(dice, known := past.at(time), values).query()
        frozen = judge(stack, version, query, known, dice)
        assert answer.ask(stack.conn, stack.name, time, query).equals(frozen)
    stack.conn.commit()


def freeze_is_live(stack: Stack, dice: random.Random) -> None:
    """What was told of a moment is told by the version that is made of it, byte for byte."""
    past = Past.of(stack, stack.tables)
    last = max((epoch.time for epoch in past.epochs), default=min(past.events()))
    since, now = max(last, stack.clock() - timedelta(seconds=1)), stack.clock()
    at = floor_ms(max(last + TICK, since + (now - since) * dice.random()))
    known = past.at(at)
    asker = Asker(dice, known, past.values([known]))
    told = [(query := asker.query(), judge(stack, at, query, known, dice)) for _ in range(2)]
    stack.epoch(at=at)
    newest = max(stack.versions)
    assert stack.versions[newest][0] == at
    for query, answered in told:
        assert answer.ask(stack.conn, stack.name, newest, query).equals(answered)
        judge(stack, at, query, known, dice)
