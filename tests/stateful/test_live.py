"""Live answers: at any moment, on both axes, they are what an epoch of it would show."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_world import SIZE, START, Pair, write_volume

from matengine.storage.connections import Connection

SCENARIOS = int(os.environ.get("MATENGINE_TEST_SCENARIOS", "40"))
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
    st.tuples(st.just("split"), _number),
    st.tuples(st.just("epoch"), st.booleans()),
    st.tuples(st.just("late"), _number),
    st.tuples(
        st.just("live"),
    ),
)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_volume(Path(tmp_path_factory.mktemp("volume")))


def moments(pair: Pair) -> list[datetime]:
    """Before, at and after everything that happened."""
    rows = [row for table in (pair.table, pair.notes) for row in pair.world.tables[table].values()]
    events = {row.created for row in rows} | {row.deleted for row in rows if row.deleted}
    events |= {time for time, _ in pair.versions.values()} | {START}
    events |= {edit.at for edit in pair.world.graph.operations.values()}
    now = pair.clock()
    around = {event + step for event in events for step in (-TICK, timedelta(0), TICK)}
    return sorted(moment for moment in {*around, now} if moment <= now)


@settings(
    max_examples=SCENARIOS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(actions=st.lists(_action, min_size=3, max_size=14), data=st.data())
def test_any_moment_is_the_oracles(
    conn: Connection, volume: str, actions: list[tuple], data: st.DataObject
) -> None:
    pair = Pair(conn, volume)
    try:
        for name, *arguments in actions:
            if name == "live":
                pair.judge_live(pair.clock())
            elif name == "late":  # with a clock that is behind ours
                pair.put(pair.clock() - TICK * (arguments[0] % 50))
            else:
                getattr(pair, name)(*arguments)
        known = moments(pair)
        for moment in data.draw(st.lists(st.sampled_from(known), max_size=6, unique=True)):
            pair.judge_live(moment)
        pair.judge_live(known[-1])
        pairs = st.tuples(st.sampled_from(known), st.sampled_from(known))
        for annotations, segmentation in data.draw(st.lists(pairs, max_size=3, unique=True)):
            pair.judge_axes(annotations, segmentation)
        for time, _ in pair.versions.values():
            pair.judge_live(time)
        pair.check_versions()
    finally:
        pair.leave()
