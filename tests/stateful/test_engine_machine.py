"""All that can be done to versions, in any order, among all disturbances: the oracle is right."""

import os
from pathlib import Path

import machine
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_world import write_volume

from matengine.storage.connections import Connection

# of all parts together; parts, so that test processes share them
SCENARIOS = int(os.environ.get("MATENGINE_SCENARIOS", "48"))
PARTS = 4

_name = st.sampled_from([name for name, often in machine.STEPS.items() for _ in range(often)])
_step = st.tuples(_name, st.integers(0, 2**32))


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_volume(Path(tmp_path_factory.mktemp("volume")))


@pytest.mark.timeout(max(300, 30 * SCENARIOS // PARTS))
@pytest.mark.parametrize("part", range(PARTS))
@settings(
    max_examples=SCENARIOS // PARTS,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(_step, min_size=8, max_size=22))
def test_versions_are_the_oracles(
    conn: Connection, volume: str, part: int, steps: list[machine.Step]
) -> None:
    world = machine.Machine(conn, volume)
    try:
        with machine.small_units():
            world.play(steps)
    finally:
        world.leave()
