"""Made-up synapses, where the generator that other measurements used is not at hand.

Much the same data: 60 % of the ends belong to neurons of log-normal size, the rest to small
fragments; rows are numbered along blocks of the volume; one or two ends share a supervoxel. One
batch of edits splits neurons, and merges them with fragments, until 1 % of the rows changed.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import Generator
from numpy.typing import NDArray

SIDE = np.array([350, 350, 35])
"""Voxels along the axes of a volume of one synapse, 0.36 a cubic micrometre."""
BLOCK = np.array([1024, 1024, 128])
SHIFT = np.array([15, 0, 0])
ROWS_A_NEURON = 500
NEURONS = 0.6
ENDS_A_SUPERVOXEL = 1.4
FIRST_SUPERVOXEL, FIRST_ROOT = 1 << 56, 12 << 56
CHANGED = 0.01
Ints = NDArray[np.int64]


def make(folder: Path, rows: int) -> None:
    """Write synapses, supervoxels and edit_supervoxels, columns as in bench/synapses.py reads them.

    The same files each time; manifest.json comes last, so a half-made folder is known.
    """
    dice = np.random.default_rng(42)
    folder.mkdir(parents=True, exist_ok=True)
    points = dice.integers(SHIFT, (SIDE * rows ** (1 / 3)).astype(np.int64) + 99, (rows, 3))
    points = points[np.lexsort((points // BLOCK).T)]
    objects = np.sort(_objects(dice, rows))
    ends = [dice.integers(0, len(objects), rows) for _ in range(2)]
    columns = {
        "id": pa.array(np.arange(1, rows + 1)),
        "created": pa.array(np.full(rows, 1_764_000_000_000_000), pa.timestamp("us", "UTC")),
    }
    for n, name in enumerate(("pre_pt", "ctr_pt", "post_pt")):
        voxels = (points + (n - 1) * SHIFT).astype(np.int32)
        columns |= {f"{name}_{axis}": pa.array(voxels[:, i]) for i, axis in enumerate("xyz")}
    for name, at in zip(("pre_pt", "post_pt"), ends, strict=True):
        columns[f"{name}_supervoxel_id"] = pa.array(FIRST_SUPERVOXEL + at)
        columns[f"{name}_root_id"] = pa.array(FIRST_ROOT + objects[at])
    columns["size"] = pa.array(dice.lognormal(7, 1, rows).round().astype(np.float32))
    _write(folder, "synapses", columns)
    _write(
        folder,
        "supervoxels",
        {
            "supervoxel_id": FIRST_SUPERVOXEL + np.arange(len(objects)),
            "root_id": FIRST_ROOT + objects,
        },
    )
    _write(folder, "edit_supervoxels", _edits(dice, objects, ends))
    (folder / "manifest.json").write_text(json.dumps({"n": rows}))


def _objects(dice: Generator, rows: int) -> Ints:
    """The object of each supervoxel: neurons are numbered first."""
    count = round(2 * rows / ENDS_A_SUPERVOXEL)
    neurons = max(20, rows // ROWS_A_NEURON)
    weights = dice.lognormal(0, 1, neurons)
    at_neurons = round(NEURONS * count)
    of_neurons = dice.choice(neurons, at_neurons, p=weights / weights.sum())
    sizes = np.ceil(dice.pareto(1.6, count) + 0.5).astype(np.int64)
    fragments = np.repeat(neurons + np.arange(count), sizes)[: count - at_neurons]
    return np.concatenate([of_neurons, fragments])


def _edits(dice: Generator, objects: Ints, ends: list[Ints]) -> dict[str, Ints]:
    """Splits and merges in turn; `objects` are sorted."""
    neurons = dice.permutation(np.unique(objects[: len(objects) // 2]))
    fragments = iter(dice.permutation(np.unique(objects[-len(objects) // 8 :])))
    changed = np.zeros(len(objects), bool)
    batch: list[tuple[int, Ints, Ints]] = []
    label = FIRST_ROOT + int(objects.max()) + 1
    for number, neuron in enumerate(neurons):
        mine = np.arange(*np.searchsorted(objects, [neuron, neuron + 1]))
        labels = np.full(len(mine), label)
        if number % 2:
            other = next(fragments)
            its = np.arange(*np.searchsorted(objects, [other, other + 1]))
            mine, labels = np.concatenate([mine, its]), np.full(len(mine) + len(its), label)
        else:
            labels[len(mine) // 3 :] += 1
        label += 2
        changed[mine] = True
        batch.append((number, mine, labels))
        if (changed[ends[0]] | changed[ends[1]]).mean() >= CHANGED:
            break
    supervoxels = np.concatenate([mine for _, mine, _ in batch])
    return {
        "edit": np.zeros(len(supervoxels), np.int64),
        "op_index": np.concatenate([np.full(len(m), number) for number, m, _ in batch]),
        "supervoxel_id": FIRST_SUPERVOXEL + supervoxels,
        "new_root_id": np.concatenate([labels for _, _, labels in batch]),
    }


def _write(folder: Path, name: str, columns: dict[str, pa.Array] | dict[str, Ints]) -> None:
    pq.write_table(pa.table(columns), folder / f"{name}.parquet", compression="zstd")
