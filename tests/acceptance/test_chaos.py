"""A short chaos run: each process dies in the midst of a run, and every version is the truth."""

import random

from chaos import Wanted, chaos, table_of
from chaos_works import KINDS


def test_every_process_is_killed_in_a_run() -> None:
    seed = random.randrange(2**16)
    wanted = Wanted(workflows=3, rows=2000, seed=seed, every_s=0.7, most_kills=1, pause_s=0.1)
    found = chaos(wanted)
    print(found)  # shown where the test fails
    assert found.differences == []
    assert found.workflows >= 3
    assert all(found.kills_during_runs[kind] for kind in KINDS)
    assert found.versions_checked >= 2 * found.workflows
    assert found.operations["done"] > 50
    assert found.answers_compared > 0
    assert table_of(found).row_count
