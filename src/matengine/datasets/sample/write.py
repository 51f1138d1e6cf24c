"""The files of a sample: volume, Parquet, toml."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorstore as ts
from numpy.typing import NDArray

from matengine.datasets.sample.agglomeration import AFFINITY_UNIT, UNCUTTABLE, Agglomeration
from matengine.datasets.sample.annotations import Written
from matengine.datasets.sample.operations import DAYS, START, Operation
from matengine.datasets.sample.plan import RESOLUTION_NM, Plan
from matengine.datasets.sample.replay import Replayed, objects_at
from matengine.datasets.sample.skeletons import COMPARTMENTS, Skeletons
from matengine.datasets.sample.supervoxels import Supervoxels
from matengine.times import to_ms

Ints = NDArray[np.int64]
MS = pa.timestamp("ms", tz="UTC")
IDS = pa.list_(pa.int64())

# Chunks being written: bounds the memory
_PENDING = 16


def compressed_volume(
    folder: Path, size: Sequence[int], chunk: Sequence[int], resolution_nm: Sequence[float]
) -> dict[str, Any]:
    """TensorStore's spec of a precomputed volume of supervoxels; size and chunk in voxels."""
    return {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {"type": "segmentation", "data_type": "uint64", "num_channels": 1},
        "scale_metadata": {
            "key": "_".join(f"{nm:g}" for nm in resolution_nm),
            "size": list(size),
            "resolution": list(resolution_nm),
            "chunk_size": list(chunk),
            "encoding": "compressed_segmentation",
            "compressed_segmentation_block_size": [8, 8, 8],
        },
    }


class VolumeWriter:
    """A Neuroglancer precomputed volume of supervoxel ids, written chunk by chunk."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._pending: deque[Any] = deque()
        self._size = np.array(plan.size)
        self._store = ts.open(
            compressed_volume(folder, plan.size, plan.chunk, RESOLUTION_NM), create=True
        ).result()

    def write(self, low: Ints, ids: NDArray[np.uint64]) -> None:
        """Write the chunk (x, y, z) whose first voxel is `low`."""
        x, y, z = (slice(a, a + n) for a, n in zip(low.tolist(), ids.shape, strict=True))
        self._pending.append(self._store[x, y, z, 0].write(ids))
        if len(self._pending) > _PENDING:
            self._pending.popleft().result()

    def finish(self) -> None:
        """Wait until all is on disk."""
        while self._pending:
            self._pending.popleft().result()

    def at(self, voxel: Ints) -> Ints:
        """The supervoxels at voxels (n, 3), read back; 0 outside the volume."""
        inside = ((voxel >= 0) & (voxel < self._size)).all(1)
        found = np.zeros(len(voxel), np.int64)
        x, y, z = voxel[inside].T
        found[inside] = self._store[..., 0].vindex[x, y, z].read().result()
        return found


def write_edges(folder: Path, ids: Ints, found: Agglomeration) -> None:
    """edges.parquet: the edges of the first agglomeration."""
    kept = found.start
    whole = found.affinity[kept]
    affinity = np.where(whole == UNCUTTABLE, np.inf, whole / AFFINITY_UNIT)
    _write(
        folder / "edges.parquet",
        {
            "supervoxel_a": pa.array(ids[found.a[kept]]),
            "supervoxel_b": pa.array(ids[found.b[kept]]),
            "affinity": pa.array(affinity.astype(np.float32)),
            "area": pa.array(found.area[kept]),
        },
    )


def write_edits(folder: Path, ids: Ints, found: Agglomeration, operations: list[Operation]) -> None:
    """edits.parquet: the proofreading history."""
    given = [found.a[:0] if o.by_cut else o.edges for o in operations]
    _write(
        folder / "edits.parquet",
        {
            "operation_id": pa.array(np.arange(1, len(operations) + 1)),
            "timestamp": _times([o.ms for o in operations]),
            "kind": pa.array([o.kind for o in operations]),
            "edges_a": pa.array([ids[found.a[edges]] for edges in given], IDS),
            "edges_b": pa.array([ids[found.b[edges]] for edges in given], IDS),
            "source_ids": pa.array([ids[o.sources] if o.sources else [] for o in operations], IDS),
            "sink_ids": pa.array([ids[o.sinks] if o.sinks else [] for o in operations], IDS),
        },
    )


def write_truth(
    folder: Path, ids: Ints, found: Agglomeration, operations: list[Operation], replayed: Replayed
) -> None:
    """expected/: the objects at five times, and what each operation does."""
    (folder / "expected").mkdir()
    count = len(operations)
    last = operations[-1].ms
    middle = [operations[count // 4].ms, operations[count // 2].ms - 1, last * 7 // 10]
    times = sorted({0, *middle, last})
    states = [ids[objects_at(found, operations, ms)] for ms in times]
    _write(
        folder / "expected/roots_at.parquet",
        {
            "time": _times(np.repeat(times, len(ids))),
            "supervoxel_id": pa.array(np.tile(ids, len(times))),
            "component": pa.array(np.concatenate(states)),
        },
    )
    _write(
        folder / "expected/operations.parquet",
        {
            "operation_id": pa.array(np.arange(1, count + 1)),
            "timestamp": _times([o.ms for o in operations]),
            "roots_retired": pa.array(replayed.retired.astype(np.int32)),
            "roots_made": pa.array(replayed.made.astype(np.int32)),
        },
    )


def write_neurons(
    folder: Path, skeletons: Skeletons, supervoxels: Supervoxels, found: Agglomeration
) -> None:
    """expected/supervoxels.parquet: the true neuron (from 1) and the compartment of each."""
    kind = skeletons.kind_of[supervoxels.fragment]
    _write(
        folder / "expected/supervoxels.parquet",
        {
            "supervoxel_id": pa.array(supervoxels.id),
            "neuron_id": pa.array(found.object_of + 1),
            "compartment": pa.array([COMPARTMENTS[k] for k in kind.tolist()]),
        },
    )


def write_tables(folder: Path, tables: list[Written]) -> None:
    """tables/NAME.parquet."""
    (folder / "tables").mkdir()
    for table in tables:
        pq.write_table(table.rows, folder / f"tables/{table.name}.parquet", compression="zstd")


def write_toml(folder: Path, plan: Plan, tables: list[Written]) -> None:
    """datastack.toml."""
    size = " x ".join(str(s) for s in plan.size)
    about = f"synthetic neurons in {size} voxels, seed {plan.seed}, proofread over {DAYS} days"
    start = START.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    parts = [
        f'[datastack]\nname = "sample"\ndescription = "{about}"\n',
        f'[aligned_volume]\nname = "sample_av"\ndescription = "{about}"\n',
        f'[segmentation]\nname = "sample_seg"\nvolume = "segmentation"\n'
        f"resolution_nm = {list(RESOLUTION_NM)}\nchunk_size = {list(plan.chunk)}\n"
        f'start_time = {start}\nedges = "edges.parquet"\nedits = "edits.parquet"\n',
    ]
    for table in tables:
        part = (
            f'[[table]]\nname = "{table.name}"\nschema = "{table.schema}"\n'
            f'file = "tables/{table.name}.parquet"\n'
            f"voxel_resolution_nm = {list(table.resolution_nm)}\n"
            f'description = "{table.description}"\n'
        )
        if table.reference_table:
            part += f'reference_table = "{table.reference_table}"\n'
        parts.append(part)
    (folder / "datastack.toml").write_text("\n".join(parts), "utf-8")


def _times(ms: Any) -> pa.Array:
    """Milliseconds since the start of the history as timestamps."""
    return pa.array(np.asarray(ms, np.int64) + to_ms(START)).cast(MS)


def _write(path: Path, columns: dict[str, pa.Array]) -> None:
    pq.write_table(pa.table(columns), path, compression="zstd")
