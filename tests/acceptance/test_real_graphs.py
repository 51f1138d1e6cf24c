"""Real edges and edit histories give the objects that they are known to give."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.chunkedgraph.local import LocalGraph, history

NAMES = ["snemi3d", "pinky40", "mec_graph", "fanc_log"]


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, datasets: Path) -> Path:
    return datasets / request.param


def load(conn: Any, folder: Path) -> pa.Table:
    """Load the graph of a dataset folder without its edits; returns its expected objects."""
    segmentation = tomllib.loads((folder / "datastack.toml").read_text())["segmentation"]
    truth = pq.read_table(folder / "expected" / "roots_at.parquet")
    every = np.unique(truth["supervoxel_id"].to_numpy())
    local.create(conn, folder.name, start=segmentation["start_time"])
    local.load_edges(conn, folder.name, pq.read_table(folder / "edges.parquet"), every)
    return truth


def assert_same_objects(roots: Any, components: Any) -> None:
    assert roots.all()
    pairs = np.unique(np.stack([roots, components], 1), axis=0)
    assert len(pairs) == len(np.unique(roots)) == len(np.unique(components))


def assert_truth_holds(graph: LocalGraph, truth: pa.Table) -> None:
    for when in pc.unique(truth["time"]).to_pylist():
        rows = truth.filter(pc.equal(truth["time"], when))
        roots = graph.roots(rows["supervoxel_id"].to_numpy(), when)
        assert_same_objects(roots, rows["component"].to_numpy())


def test_objects_at_all_expected_times(conn: Any, folder: Path) -> None:
    truth = load(conn, folder)
    local.replay(conn, folder.name, pq.read_table(folder / "edits.parquet"))
    assert_truth_holds(LocalGraph(conn, folder.name), truth)


def test_every_operation_retires_and_makes_as_many_roots_as_expected(
    conn: Any, folder: Path
) -> None:
    load(conn, folder)
    local.replay(conn, folder.name, pq.read_table(folder / "edits.parquet"))
    found = [
        {
            "operation_id": done.operation_id,
            "timestamp": done.at,
            "roots_retired": len(done.former_roots),
            "roots_made": len(done.new_roots),
        }
        for done in LocalGraph(conn, folder.name).list_operations()
    ]
    assert found == pq.read_table(folder / "expected" / "operations.parquet").to_pylist()


def test_a_replay_in_parts_gives_the_same(
    conn: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "REPLAY_BATCH", 37)
    truth = load(conn, folder)
    edits = pq.read_table(folder / "edits.parquet")
    first = edits.num_rows // 3
    assert local.replay(conn, folder.name, edits.slice(0, first)) == first
    conn.commit()
    # the whole again: what is there is skipped
    assert local.replay(conn, folder.name, edits) == edits.num_rows - first
    assert local.replay(conn, folder.name, edits) == 0
    assert_truth_holds(LocalGraph(conn, folder.name), truth)


def test_roots_of_the_end_descend_from_those_of_the_start(conn: Any, folder: Path) -> None:
    truth = load(conn, folder)
    local.replay(conn, folder.name, pq.read_table(folder / "edits.parquet"))
    graph = LocalGraph(conn, folder.name)
    times = pc.unique(truth["time"]).to_pylist()
    every = np.unique(truth["supervoxel_id"].to_numpy())
    start, end = graph.roots(every, times[0]), graph.roots(every, times[-1])
    past = graph.past_ids(np.unique(end), times[0], times[-1])
    latest = graph.latest_ids(np.unique(start), times[-1])
    for old, new in set(zip(start.tolist(), end.tolist(), strict=True)):
        assert old in past[new]
        assert new in latest[old]
    delta = graph.delta_roots(times[0], times[-1])
    changed = start != end
    assert np.array_equal(np.isin(start, delta.old_roots), changed)
    assert np.array_equal(np.isin(end, delta.new_roots), changed)
