"""Random scenarios: every version is what the oracle says, and stays so."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_world import SIZE, Pair, write_volume

from matengine.storage.connections import Connection

# two beyond the volume on either side, so that some points lie outside
_voxel = st.integers(-2, SIZE + 1)
_point = st.tuples(_voxel, _voxel, _voxel)
_number = st.integers(0, 1000)

_action = st.one_of(
    st.tuples(
        st.just("insert"),
        st.lists(_point, min_size=3, max_size=3),
        st.none() | st.floats(0, 1e6, allow_nan=False),
    ),
    st.tuples(st.just("insert"), st.lists(_point, min_size=3, max_size=3), st.just(1.5)),
    st.tuples(st.just("note"), _number),
    st.tuples(st.just("move"), _number, _point),
    st.tuples(st.just("delete"), _number),
    st.tuples(st.just("merge"), _number, _number),
    st.tuples(st.just("merge"), _number, _number),
    st.tuples(st.just("split"), _number),
    st.tuples(st.just("epoch"), st.booleans()),
)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_volume(Path(tmp_path_factory.mktemp("volume")))


# of all parts together; parts, so that test processes share them
SCENARIOS = int(os.environ.get("MATENGINE_TEST_SCENARIOS", "160"))
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
@settings(
    max_examples=SCENARIOS // PARTS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(actions=st.lists(_action, min_size=3, max_size=14))
def test_versions_are_the_oracles(
    conn: Connection, volume: str, part: int, actions: list[tuple]
) -> None:
    pair = Pair(conn, volume)
    try:
        for name, *arguments in actions:
            getattr(pair, name)(*arguments)
        pair.epoch()
        pair.check_versions()
    finally:
        pair.leave()
