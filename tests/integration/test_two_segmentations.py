"""One set of annotations in two segmentations, that is two datastacks of one aligned volume."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_world
from poison import unreadable
from small_world import Pair, write_volume

from matengine.engine.lookup import states
from matengine.engine.query import diff
from matengine.engine.runs import engine, runs
from matengine.engine.versions import catalogue, dropping, gaps, verify
from matengine.storage.connections import conninfo_of


def mirrored(original: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    """The volume with x and z exchanged: other supervoxels under most points."""
    return lambda: np.ascontiguousarray(original().transpose(2, 1, 0))


@pytest.fixture
def other(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """A second segmentation: a volume and a chunkedgraph of its own."""
    with monkeypatch.context() as patch:
        patch.setattr(small_world, "supervoxel_array", mirrored(small_world.supervoxel_array))
        second = Pair(pair.conn, write_volume(tmp_path / "volume"), neighbour=pair)
    second.epoch()
    return second


def differing(which: Pair, old: int, new: int) -> set[tuple[str, int]]:
    """What a comparison of two versions tells: (change, id)."""
    found = diff.read(which.conn, diff.between(which.conn, which.name, which.table, old, new))
    which.conn.commit()
    return set(zip(found["change"].to_pylist(), found["id"].to_pylist(), strict=True))


def expected(which: Pair, old: int, new: int) -> set[tuple[str, int]]:
    """The same from the rows of the versions."""
    before, after = (
        {row["id"]: row for row in which.versions[v][1][which.table].to_pylist()}
        for v in (old, new)
    )
    changed = {i for i in before.keys() & after.keys() if before[i] != after[i]}
    return (
        {("added", i) for i in after.keys() - before.keys()}
        | {("removed", i) for i in before.keys() - after.keys()}
        | {("changed", i) for i in changed}
    )


def check(*both: Pair) -> None:
    """All versions of both are as they were, and their fingerprints as their rows."""
    for which in both:
        which.check_versions()
        for version in which.versions:
            found = catalogue.version(which.conn, which.name, version)
            if found.status == "AVAILABLE":
                checked = verify.verify(which.conn, which.name, version)
                assert len(checked) == 2
                assert all(table.right for table in checked)
        which.conn.commit()


def test_each_has_its_own_epochs_versions_and_differences(pair: Pair, other: Pair) -> None:
    """The same rows come and go in both; what is proofread in one is nothing to the other."""
    first = pair.versions[3][1][pair.table]
    there = other.versions[1][1][pair.table]
    assert first["id"].to_pylist() == there["id"].to_pylist()
    assert first["pre_pt_supervoxel_id"] != there["pre_pt_supervoxel_id"]
    # proofreading in the first: nothing changes in the other
    for which in range(6):
        pair.merge(which, 40 + which)
    pair.epoch()
    other.epoch()
    assert {kind for kind, _ in differing(pair, 3, 4)} == {"changed"}
    assert differing(other, 1, 2) == set()
    # and the other way round, while rows come and go
    other.split(3)
    other.merge(1, 30)
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    pair.delete(2)
    pair.move(1, (7, 3, 1))
    other.epoch()
    pair.epoch()
    for which, old, new in ((pair, 3, 4), (pair, 4, 5), (other, 2, 3), (other, 1, 3)):
        assert differing(which, old, new) == expected(which, old, new)
    came = {("added", i) for i in expected_ids(pair, 4, 5, "added")}
    assert {d for d in differing(other, 2, 3) if d[0] == "added"} == came
    went = {("removed", i) for i in expected_ids(pair, 4, 5, "removed")}
    assert len(went) == 2
    assert {d for d in differing(other, 2, 3) if d[0] == "removed"} == went
    check(pair, other)


def expected_ids(which: Pair, old: int, new: int, kind: str) -> set[int]:
    return {i for k, i in expected(which, old, new) if k == kind}


def test_both_make_epochs_at_once_and_one_fails(pair: Pair, other: Pair) -> None:
    """Leases, undoing and gaps are those of a datastack."""
    row_id = pair.put(pair.clock(), points=[(9, 9, 1), (2, 2, 2), (0, 0, 0)])
    pair.delete(1)
    mine, theirs = pair.begin(), other.begin()
    with unreadable(lambda points: points[:, 0] == 9):
        failed = engine.drive(conninfo_of(other.conn), theirs)
    assert failed.status == "done"  # with a gap
    engine.drive(conninfo_of(pair.conn), mine)
    pair.finish(mine)
    version = failed.version or 0
    lacking = [(gap.id, gap.point) for gap in gaps.of_version(other.conn, other.name, version)]
    assert lacking == [(row_id, "pre_pt")]
    assert gaps.of_version(pair.conn, pair.name, 4) == []
    assert len(states.failures(other.conn, other.name)) == 1
    assert states.failures(pair.conn, pair.name) == []
    mine, theirs = pair.begin(), other.begin()
    engine.cancel(pair.conn, mine)
    engine.drive(conninfo_of(other.conn), theirs)
    other.finish(theirs)
    assert runs.get(pair.conn, mine).status == "cancelled"
    pair.conn.commit()
    pair.epoch()
    dropping.drop(other.conn, other.name, 1)
    del other.versions[1]
    check(pair, other)


def test_a_datastack_that_goes_leaves_the_other(pair: Pair, other: Pair) -> None:
    def left(which: Pair) -> list[Any]:
        return which.conn.execute(
            "SELECT count(*) FROM matengine.epoch WHERE datastack = %s", (which.name,)
        ).fetchall()

    pair.conn.execute("DELETE FROM matengine.datastack WHERE name = %s", (other.name,))
    pair.conn.commit()
    assert left(other) == [(0,)]
    assert left(pair) == [(4,)]
    check(pair)
    pair.insert([(3, 2, 2), (5, 3, 2), (1, 1, 1)], None)
    pair.merge(0, 40)
    pair.epoch()
    check(pair)
