"""Dataset folders come in whole, once, and go on after any interruption."""

import os
import random
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from matengine.datasets.folder import Dataset, open_dataset
from matengine.datasets.importer import import_dataset
from matengine.datasets.sample import make_sample
from matengine.engine import datastacks
from matengine.engine.annotations import rows
from matengine.engine.runs import engine
from matengine.engine.versions import epoch
from matengine.errors import Conflict, Invalid, NotFound
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.storage import connections
from matengine.storage.connections import Connection

START = datetime(2026, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "sample"
    make_sample(folder, size=64)
    return folder


@pytest.fixture
def names(server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of datastacks whose aligned volumes go when the test ends."""
    monkeypatch.setenv("MATENGINE_DATABASE_URL", server_url)
    made: list[str] = []
    yield made
    for name in made:
        if f"{name}_av" in connections.aligned_volumes():
            connections.drop_aligned_volume(f"{name}_av")


@pytest.fixture
def dataset(sample: Path, tmp_path: Path, names: list[str]) -> Dataset:
    return renamed(sample, tmp_path, names)


def renamed(folder: Path, tmp_path: Path, names: list[str]) -> Dataset:
    """A copy under a name of its own, because all tests share a server."""
    name = f"d{uuid.uuid4().hex[:10]}"
    names.append(name)
    copy = tmp_path / name
    shutil.copytree(folder, copy)
    toml = copy / "datastack.toml"
    toml.write_text(toml.read_text().replace('"sample', f'"{name}'))
    return open_dataset(copy)


def connect(dataset: Dataset) -> Connection:
    return connections.connect(dataset.aligned_volume.name)


def content(dataset: Dataset) -> dict[str, list[Any]]:
    """All rows of graph and annotation tables; names, receipts and sequences apart."""
    graph = f"graph_{dataset.segmentation.name}"
    found: dict[str, list[Any]] = {}
    with connect(dataset) as conn:
        for schema, table in conn.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_type = 'BASE TABLE' AND (table_schema = %s OR table_schema = 'public'"
            " AND table_name = ANY(%s)) ORDER BY 1, 2",
            (graph, [t.name for t in dataset.tables]),
        ).fetchall():
            query = sql.SQL("SELECT * FROM {} AS t ORDER BY t::text")
            found[table] = conn.execute(query.format(sql.Identifier(schema, table))).fetchall()
    return found


def assert_expected_objects(conn: Connection, dataset: Dataset) -> None:
    truth = dataset.expected_roots()
    assert truth is not None
    graph = LocalGraph(conn, dataset.segmentation.name)
    for when in pc.unique(truth["time"]).to_pylist():
        at = truth.filter(pc.equal(truth["time"], when))
        roots = graph.roots(at["supervoxel_id"].to_numpy(), when)
        components = at["component"].to_numpy()
        assert roots.all()
        pairs = np.unique(np.stack([roots, components], 1), axis=0)
        assert len(pairs) == len(np.unique(roots)) == len(np.unique(components))


def assert_rows_of_file(conn: Connection, dataset: Dataset) -> None:
    for table in dataset.tables:
        wanted = table.read().to_pylist()
        found = {row["id"]: row for row in rows.get(conn, table.name, [r["id"] for r in wanted])}
        assert len(found) == len(wanted) == rows.count(conn, table.name, ended=True)
        for row in wanted:
            here = found[row["id"]]
            for column in ("created", "deleted", "superceded_id"):
                assert here[column] == row.get(column)
            assert here["valid"] == (row.get("deleted") is None)
            for name, value in row.items():
                if name.endswith("_position_x"):
                    point = name.removesuffix("_x")
                    place = [row[f"{point}_{axis}"] for axis in "xyz"]
                    assert here[point] == (None if value is None else place)


def test_graph_rows_and_history_are_those_of_the_folder(dataset: Dataset) -> None:
    done = import_dataset(dataset)

    assert not done.was_there
    assert done.operations == dataset.edits().num_rows
    assert done.rows == {table.name: table.read().num_rows for table in dataset.tables}
    with connect(dataset) as conn:
        assert_expected_objects(conn, dataset)
        assert_rows_of_file(conn, dataset)
        operations = LocalGraph(conn, dataset.segmentation.name).list_operations()
        truth = dataset.expected_operations()
        assert truth is not None
        assert [
            (o.operation_id, len(o.former_roots), len(o.new_roots)) for o in operations
        ] == list(
            zip(
                *(truth[c].to_pylist() for c in ("operation_id", "roots_retired", "roots_made")),
                strict=True,
            )
        )
        stack = datastacks.get(conn, dataset.datastack.name)
        assert stack.segmentation.volume == str(dataset.segmentation.volume)
        assert stack.description == dataset.datastack.description


def test_new_rows_get_ids_behind_those_of_the_file(dataset: Dataset) -> None:
    import_dataset(dataset)
    table = next(t for t in dataset.tables if t.schema == "nucleus_detection")
    largest = pc.max(table.read()["id"]).as_py()
    with connect(dataset) as conn:
        (new,) = rows.insert(conn, table.name, [{"pt": {"position": [1, 2, 3]}, "volume": 1.0}])
    assert new > largest


def test_a_supervoxel_without_an_edge_is_a_root_of_its_own(dataset: Dataset) -> None:
    import_dataset(dataset)
    edges = dataset.edges()
    linked = np.concatenate([edges[c].to_numpy() for c in ("supervoxel_a", "supervoxel_b")])
    truth = dataset.expected_roots()
    assert truth is not None
    alone = np.setdiff1d(truth["supervoxel_id"].to_numpy(), linked)
    assert len(alone), "the sample has supervoxels without edges"
    with connect(dataset) as conn:
        roots = LocalGraph(conn, dataset.segmentation.name).roots(alone, START)
    assert roots.all()
    assert len(np.unique(roots)) == len(alone)


def test_once_more_changes_nothing(dataset: Dataset) -> None:
    import_dataset(dataset)
    before = content(dataset)
    again = import_dataset(dataset)
    assert again.was_there
    assert again.operations == 0
    assert content(dataset) == before


def test_proofreading_in_parts_is_that_at_once(
    dataset: Dataset, sample: Path, tmp_path: Path, names: list[str]
) -> None:
    whole = renamed(sample, tmp_path, names)
    import_dataset(whole)
    times = dataset.edits()["timestamp"].to_pylist()
    middle = times[len(times) // 2]

    assert import_dataset(dataset, until=START).operations == 0
    # the time itself is in, what comes a millisecond later is not
    assert import_dataset(dataset, until=middle - MS).operations == len(times) // 2
    assert import_dataset(dataset, until=middle).operations == 1
    assert import_dataset(dataset).operations == len(times) - len(times) // 2 - 1
    assert content(dataset) == content(whole)


def test_history_at_or_before_a_version_is_refused_and_later_history_comes_in(
    dataset: Dataset,
) -> None:
    name, volume = dataset.datastack.name, dataset.aligned_volume.name
    times = dataset.edits()["timestamp"].to_pylist()
    import_dataset(dataset, until=times[3])
    with connect(dataset) as conn:
        run_id = epoch.start(conn, name, "complete", at=times[5], publish_version=True)
    assert engine.drive(connections.database_url(volume), run_id).status == "done"
    before = content(dataset)

    with pytest.raises(Invalid):
        import_dataset(dataset)
    assert content(dataset) == before


def test_another_dataset_of_the_name_is_refused(dataset: Dataset) -> None:
    import_dataset(dataset, until=START)
    before = content(dataset)
    for file in ("edits.parquet", "edges.parquet"):
        path = dataset.path / file
        original = pq.read_table(path)
        pq.write_table(original.slice(0, original.num_rows - 1), path)
        with pytest.raises(Conflict, match="Another dataset of the name"):
            import_dataset(open_dataset(dataset.path))
        pq.write_table(original, path)
    assert content(dataset) == before


def test_a_name_in_another_aligned_volume_is_refused(dataset: Dataset, names: list[str]) -> None:
    import_dataset(dataset, until=START)
    toml = dataset.path / "datastack.toml"
    other = f"{dataset.datastack.name}b"
    names.append(other)
    toml.write_text(toml.read_text().replace(dataset.aligned_volume.name, f"{other}_av"))
    with pytest.raises(Conflict, match="in the aligned volume"):
        import_dataset(open_dataset(dataset.path))
    assert f"{other}_av" not in connections.aligned_volumes()


# Imports a folder and kills itself at the n-th word of progress; n = 0 lives and counts them.
KILLED = """
import os, signal, sys
from matengine.datasets.folder import open_dataset
from matengine.datasets.importer import import_dataset
left = [int(sys.argv[2])]
count = [0]
def progress(done, total, what):
    count[0] += 1
    if count[0] == left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
import_dataset(open_dataset(sys.argv[1]), progress=progress)
print(count[0])
"""


def attempt(dataset: Dataset, kill_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", KILLED, str(dataset.path), str(kill_at)]
    return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_moment_it_goes_on_to_the_same_end(
    dataset: Dataset, sample: Path, tmp_path: Path, names: list[str], seed: int
) -> None:
    whole = renamed(sample, tmp_path, names)
    done = attempt(whole, 0)
    assert done.returncode == 0, done.stderr
    moments = int(done.stdout)
    rng = random.Random(seed)
    for _ in range(4):
        killed = attempt(dataset, rng.randint(1, moments))
        if killed.returncode == 0:  # what was left had fewer moments
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        with pytest.raises(NotFound):  # nobody sees a part
            datastacks.find(dataset.datastack.name)
    import_dataset(dataset)
    assert content(dataset) == content(whole)
    with connect(dataset) as conn:
        assert_expected_objects(conn, dataset)


GRAPH_ONLY = """
[datastack]
name = "sample"
[aligned_volume]
name = "sample_av"
[segmentation]
name = "sample_seg"
start_time = 2026-01-01T00:00:00.000Z
edges = "edges.parquet"
edits = "edits.parquet"
"""
A, B, C, D = ((1 << 56) + number for number in range(1, 5))


@pytest.fixture
def graph_only(tmp_path: Path, names: list[str]) -> Dataset:
    folder = tmp_path / "graph"
    folder.mkdir()
    (folder / "datastack.toml").write_text(GRAPH_ONLY)
    pq.write_table(pa.table({"supervoxel_a": [A], "supervoxel_b": [B]}), folder / "edges.parquet")
    ids = pa.list_(pa.int64())
    edits = {
        "operation_id": pa.array([1, 2]),
        "timestamp": pa.array([START + MS, START + 2 * MS], pa.timestamp("ms", "UTC")),
        "kind": ["merge", "split"],
        "edges_a": pa.array([[B], [A]], ids),
        "edges_b": pa.array([[C], [B]], ids),
        "source_ids": pa.array([[], []], ids),
        "sink_ids": pa.array([[], []], ids),
    }
    pq.write_table(pa.table(edits), folder / "edits.parquet")
    return renamed(folder, tmp_path, names)


def test_a_folder_without_a_volume(graph_only: Dataset) -> None:
    import_dataset(graph_only, until=START)
    with connect(graph_only) as conn:
        # C is first named by an edit that is not in yet
        before = LocalGraph(conn, graph_only.segmentation.name).roots([A, B, C, D], START)
    assert before[0] == before[1] != before[2] != 0
    assert before[3] == 0
    import_dataset(graph_only)
    with connect(graph_only) as conn:
        graph = LocalGraph(conn, graph_only.segmentation.name)
        assert graph.roots([A, B, C], START).tolist() == before[:3].tolist()
        assert len(set(graph.roots([A, B, C], START + MS).tolist())) == 1
        a, b, c = graph.roots([A, B, C], START + 2 * MS).tolist()
        assert a != b == c
