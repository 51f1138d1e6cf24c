"""The synthetic sample: a sound dataset folder, the same every time, true to its own truth."""

import filecmp
import struct
import zlib
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorstore as ts
from numpy.typing import NDArray
from scipy import ndimage

from matengine.datasets import Dataset, open_dataset
from matengine.datasets.sample import Made, make_sample
from matengine.datasets.sample.picture import picture
from matengine.errors import Conflict, Invalid

SIZE = 64


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_sample(tmp_path_factory.mktemp("made") / "sample", size=SIZE, seed=3)


@pytest.fixture(scope="module")
def sample(made: Made) -> Dataset:
    return open_dataset(made.path)


@pytest.fixture(scope="module")
def voxels(sample: Dataset) -> NDArray[np.int64]:
    path = sample.segmentation.volume
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{path}/"},
    }
    store = ts.open(spec, read=True).result()
    return np.asarray(store[..., 0].read().result()).astype(np.int64)


def neurons(sample: Dataset) -> dict[int, tuple[int, str]]:
    """The true neuron and the compartment of each supervoxel."""
    truth = pq.read_table(sample.path / "expected/supervoxels.parquet").to_pydict()
    both = zip(truth["neuron_id"], truth["compartment"], strict=True)
    return dict(zip(truth["supervoxel_id"], both, strict=True))


def files(folder: Path) -> list[str]:
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def test_the_same_seed_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    again = make_sample(tmp_path / "again", size=SIZE, seed=3)
    assert files(again.path) == files(made.path)
    same, other, unread = filecmp.cmpfiles(made.path, again.path, files(made.path), shallow=False)
    assert (other, unread) == ([], [])
    assert len(same) > 10
    other_seed = make_sample(tmp_path / "other", size=SIZE, seed=4)
    assert (other_seed.path / "edges.parquet").read_bytes() != (
        made.path / "edges.parquet"
    ).read_bytes()


def test_counts_are_those_of_the_files(made: Made, sample: Dataset) -> None:
    assert made.edges == sample.edges().num_rows
    assert made.operations == sample.edits().num_rows
    assert made.rows == {t.name: t.read().num_rows for t in sample.tables}
    assert made.supervoxels == len(neurons(sample))
    assert made.neurons == len({neuron for neuron, _ in neurons(sample).values()})


def test_a_supervoxel_is_one_piece_in_one_chunk(sample: Dataset, voxels: NDArray[np.int64]) -> None:
    chunk = np.array(sample.segmentation.chunk_size)
    found: set[int] = set()
    for x, y, z in np.ndindex(*(np.array(voxels.shape) // chunk)):
        block = voxels[
            tuple(slice(p * c, p * c + c) for p, c in zip((x, y, z), chunk, strict=True))
        ]
        for supervoxel in np.unique(block[block > 0]).tolist():
            assert supervoxel >> 26 == 1 << 30 | x << 20 | y << 10 | z
            assert ndimage.label(block == supervoxel)[1] == 1
            assert supervoxel not in found
            found.add(supervoxel)
    assert found == set(neurons(sample))


def test_edges_join_touching_supervoxels(sample: Dataset, voxels: NDArray[np.int64]) -> None:
    """Area counts faces; all contacts inside a neuron are there but those merged later."""
    faces: dict[tuple[int, int], int] = defaultdict(int)
    for axis in range(3):
        low = np.moveaxis(voxels, axis, 0)[:-1].ravel()
        high = np.moveaxis(voxels, axis, 0)[1:].ravel()
        meet = (low != high) & (low > 0) & (high > 0)
        for a, b in zip(low[meet].tolist(), high[meet].tolist(), strict=True):
            faces[min(a, b), max(a, b)] += 1
    edges = sample.edges().to_pydict()
    there = set(zip(edges["supervoxel_a"], edges["supervoxel_b"], strict=True))
    for row in sample.edges().to_pylist():
        assert faces[row["supervoxel_a"], row["supervoxel_b"]] == row["area"]
    of = neurons(sample)
    false = {pair for pair in there if of[pair[0]][0] != of[pair[1]][0]}
    inner = {pair for pair in faces if of[pair[0]][0] == of[pair[1]][0]}
    assert false
    assert inner - there


def test_an_infinite_affinity_marks_what_a_chunk_face_cut(sample: Dataset) -> None:
    edges = sample.edges().to_pydict()
    columns = zip(edges["supervoxel_a"], edges["supervoxel_b"], edges["affinity"], strict=True)
    of = neurons(sample)
    infinite = [(a, b) for a, b, affinity in columns if affinity == float("inf")]
    assert infinite
    assert all(a >> 26 != b >> 26 and of[a] == of[b] for a, b in infinite)


Edge = tuple[int, int]


class Oracle:
    """Supervoxels, a set of edges, and the plainest of algorithms."""

    def __init__(self, sample: Dataset) -> None:
        self.supervoxels = sorted(neurons(sample))
        columns = sample.edges().to_pydict()
        pairs = zip(columns["supervoxel_a"], columns["supervoxel_b"], strict=True)
        self.affinity = dict(zip(pairs, columns["affinity"], strict=True))
        self.edges: set[Edge] = set(self.affinity)

    def object_of(self) -> dict[int, int]:
        parent = {s: s for s in self.supervoxels}

        def find(s: int) -> int:
            while parent[s] != s:
                s = parent[s]
            return s

        for a, b in self.edges:
            low, high = sorted((find(a), find(b)))
            parent[high] = low
        return {s: find(s) for s in self.supervoxels}

    def apply(self, edit: dict[str, Any]) -> tuple[int, int]:
        before = self.object_of()
        pairs = zip(edit["edges_a"], edit["edges_b"], strict=True)
        edges = {(min(pair), max(pair)) for pair in pairs}
        if not edges:
            edges = self.smallest_cut(edit["source_ids"], edit["sink_ids"])
        touched = {before[s] for edge in edges for s in edge}
        if edit["kind"] == "merge":
            self.affinity |= dict.fromkeys(edges - self.edges, 1.0)
            self.edges |= edges
        else:
            self.edges -= edges
        after = self.object_of()
        return len(touched), len({after[s] for s in self.supervoxels if before[s] in touched})

    def smallest_cut(self, sources: list[int], sinks: list[int]) -> set[Edge]:
        """The edges of a smallest cut: augmenting paths, shortest first (Edmonds and Karp)."""
        left: dict[int, dict[int, float]] = defaultdict(dict)
        for a, b in self.edges:
            left[a][b] = left[b][a] = self.affinity[a, b]
        for s in sources:
            left[0][s] = float("inf")
        for s in sinks:
            left[s][-1] = float("inf")
        while True:
            came = {0: 0}
            waiting = deque([0])
            while waiting and -1 not in came:
                here = waiting.popleft()
                for other, room in left[here].items():
                    if room > 0 and other not in came:
                        came[other] = here
                        waiting.append(other)
            if -1 not in came:
                return {e for e in self.edges if (e[0] in came) != (e[1] in came)}
            path = [-1]
            while path[-1]:
                path.append(came[path[-1]])
            steps = list(zip(path[1:], path, strict=False))
            flow = min(left[a][b] for a, b in steps)
            assert flow < float("inf")
            for a, b in steps:
                left[a][b] -= flow
                left[b][a] = left[b].get(a, 0) + flow


def test_the_history_replayed_gives_the_truth(sample: Dataset) -> None:
    oracle = Oracle(sample)
    roots = sample.expected_roots()
    operations = sample.expected_operations()
    assert roots is not None
    assert operations is not None
    states: dict[Any, dict[int, int]] = defaultdict(dict)
    for row in roots.to_pylist():
        states[row["time"]][row["supervoxel_id"]] = row["component"]
    counts = [(row["roots_retired"], row["roots_made"]) for row in operations.to_pylist()]
    waiting = sorted(states)
    for edit, expected in zip(sample.edits().to_pylist(), counts, strict=True):
        while waiting and waiting[0] < edit["timestamp"]:
            assert oracle.object_of() == states[waiting.pop(0)]
        assert oracle.apply(edit) == expected
    while waiting:
        assert oracle.object_of() == states[waiting.pop(0)]
    assert len(states) == 5
    times = set(sample.edits()["timestamp"].to_pylist())
    assert times & set(states)
    end = oracle.object_of()
    pairs = {(end[s], neuron) for s, (neuron, _) in neurons(sample).items()}
    assert len(pairs) == len({e for e, _ in pairs}) == len({n for _, n in pairs})


def test_the_start_has_both_kinds_of_fault(sample: Dataset) -> None:
    start = Oracle(sample).object_of()
    pairs = {(start[s], neuron) for s, (neuron, _) in neurons(sample).items()}
    assert len(pairs) > len({e for e, _ in pairs})
    assert len(pairs) > len({n for _, n in pairs})


def test_the_history_has_all_kinds_of_operations(sample: Dataset) -> None:
    edits = sample.edits().to_pylist()
    kinds = {(edit["kind"], bool(edit["edges_a"])) for edit in edits}
    assert kinds == {("merge", True), ("split", True), ("split", False)}
    span = edits[-1]["timestamp"] - edits[0]["timestamp"]
    assert 40 < span.days < 60
    added = [e for edit in edits if edit["kind"] == "merge" for e in edit["edges_a"]]
    removed = [e for edit in edits if edit["kind"] == "split" for e in edit["edges_a"]]
    assert set(added) & set(removed)


def point(rows: dict[str, list[Any]], name: str) -> NDArray[np.float64]:
    return np.stack([rows[f"{name}_position_{axis}"] for axis in "xyz"], 1)


@pytest.mark.parametrize(
    ("table", "points"), [("synapses", ["pre_pt", "post_pt"]), ("nuclei", ["pt"])]
)
def test_expected_supervoxels_are_the_voxels(
    sample: Dataset, voxels: NDArray[np.int64], table: str, points: list[str]
) -> None:
    part = sample.table(table)
    assert part.resolution is not None
    assert sample.segmentation.resolution_nm is not None
    scale = np.array(part.resolution) / np.array(sample.segmentation.resolution_nm)
    rows, truth = part.read().to_pydict(), part.expected_supervoxels().to_pydict()
    for name in points:
        where = np.floor(point(rows, name) * scale).astype(int)
        expected = [
            int(voxels[x, y, z]) if min(x, y, z) >= 0 and max(x, y, z) < SIZE else 0
            for x, y, z in where.tolist()
        ]
        assert truth[f"expected_{name}_supervoxel_id"] == expected
        outside = ((where < 0) | (where >= SIZE)).any(1)
        assert outside.any()
        assert 0 in np.array(expected)[~outside]


def test_synapses_lead_from_axons_to_other_neurons(sample: Dataset) -> None:
    rows = sample.table("synapses").expected_supervoxels().to_pydict()
    table = sample.table("synapses").read().to_pydict()
    of = neurons(sample) | {0: (0, "")}
    sides = zip(*(rows[f"expected_{p}_pt_supervoxel_id"] for p in ("pre", "post")), strict=True)
    odd = 0
    replaced = {s for s in table["superceded_id"] if s}
    for row_id, (pre, post) in zip(rows["id"], sides, strict=True):
        if row_id in replaced:
            pre, post = post, pre
        sound = of[pre][1] == "axon" and of[post][1] in ("soma", "dendrite")
        odd += not (sound and of[pre][0] != of[post][0])
    assert 0 < odd <= 8 + len(replaced)


def test_nuclei_lie_in_somata(sample: Dataset) -> None:
    found = sample.table("nuclei").expected_supervoxels()["expected_pt_supervoxel_id"].to_pylist()
    compartments = [neurons(sample)[s][1] for s in found if s]
    assert len(compartments) >= 2
    assert set(compartments) == {"soma"}


def test_rows_at_and_beside_an_operation(sample: Dataset) -> None:
    edits = sample.edits()["timestamp"].to_pylist()
    created = sample.table("synapses").read()["created"].to_pylist()
    middle = edits[len(edits) // 4]
    ms = (edits[-1] - edits[-1]).resolution * 1000
    for mark in (middle - ms, middle, middle + ms, sample.segmentation.start_time):
        assert mark in created


def test_cell_types_refer_to_nuclei_of_all_fates(sample: Dataset) -> None:
    nuclei = sample.table("nuclei").read().to_pydict()
    types = sample.table("cell_types").read().to_pydict()
    assert set(types["target_id"]) == set(nuclei["id"])
    born = dict(zip(nuclei["id"], nuclei["created"], strict=True))
    for target, created in zip(types["target_id"], types["created"], strict=True):
        assert created >= born[target]
    assert any(nuclei["superceded_id"])


@pytest.mark.parametrize("size", [32, (33, 50, 47), (100, 32, 40)])
@pytest.mark.parametrize("seed", [0, 1])
def test_other_sizes_and_seeds(tmp_path: Path, size: int, seed: int) -> None:
    sample = open_dataset(make_sample(tmp_path / "sample", size=size, seed=seed).path)
    test_the_history_replayed_gives_the_truth(sample)


def test_progress_and_no_overwriting(tmp_path: Path) -> None:
    told: list[tuple[int, int | None, str]] = []
    out = tmp_path / "deep" / "sample"
    make_sample(out, size=32, progress=lambda *step: told.append(step))
    assert told[-1] == (1, 1, "chunks")
    with pytest.raises(Conflict, match="exists already"):
        make_sample(out, size=32)


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_sample(tmp_path / "sample", size=32, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 31, (64, 64, 1), 10**6])
def test_sizes_that_cannot_be(tmp_path: Path, size: Any) -> None:
    with pytest.raises(Invalid, match="cannot be"):
        make_sample(tmp_path / "sample", size=size)
    assert list(tmp_path.iterdir()) == []


def test_the_picture_is_a_png_of_three_panels(sample: Dataset) -> None:
    data = picture(sample)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (3 * 2 * SIZE + 2 * 12, 2 * SIZE)
    begin = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[begin - 4 : begin])
    pixels = zlib.decompress(data[begin + 4 : begin + 4 + length])
    assert len(pixels) == height * (1 + 3 * width)
    assert len(set(pixels)) > 50
