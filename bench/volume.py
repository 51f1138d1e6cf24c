"""A volume of supervoxels under the points of synthetic synapses."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorstore as ts
from numpy.typing import NDArray

from matengine.datasets.sample.write import compressed_volume
from matengine.progress import Progress, quiet

POINTS = ("pre_pt", "post_pt")
VOXEL_NM = np.array([4, 4, 40])
# A voxel of the volume in voxels of the synapses: 160 nm each way, so that nearly all points that
# have supervoxels of their own lie in voxels of their own
COARSE = np.array([40, 40, 4])
CHUNK = np.array([64, 64, 64])
_BALL = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3)

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Made:
    """A volume's folder, and the supervoxels that it has under each row's bound points."""

    folder: Path
    expected: pa.Table


def make(synapses: pa.Table, folder: Path, progress: Progress = quiet) -> Made:
    """Write the volume below `folder`, where it is not there yet.

    Every bound point's supervoxel fills 3 x 3 x 3 voxels around it as far as no other is nearer;
    all else is background. Of two points in one voxel the first one's supervoxel is in the volume.
    """
    points = np.concatenate([_points(synapses, point) for point in POINTS]) // COARSE
    ids = np.concatenate([synapses[f"{p}_supervoxel_id"].to_numpy() for p in POINTS])
    size = points.max(axis=0) + 2
    key = np.ravel_multi_index(tuple(points.T), tuple(size))
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    found = np.split(ids.astype(np.int64)[first][place], len(POINTS))
    columns = {f"{p}_supervoxel_id": f for p, f in zip(POINTS, found, strict=True)}
    made = Made(folder / "volume", pa.table({"id": synapses["id"]} | columns))
    if not (folder / "complete").exists():
        _write(made.folder, points[first], ids[first].astype(np.uint64), size, progress)
        (folder / "complete").touch()
    return made


def _points(synapses: pa.Table, point: str) -> Ids:
    return np.stack([synapses[f"{point}_{a}"].to_numpy() for a in "xyz"], axis=1).astype(np.int64)


def _write(
    folder: Path, points: Ids, ids: NDArray[np.uint64], size: Ids, progress: Progress
) -> None:
    spec = compressed_volume(folder, size.tolist(), CHUNK.tolist(), (VOXEL_NM * COARSE).tolist())
    store = ts.open(spec, create=True, delete_existing=True).result()[..., 0]
    grid = tuple(-(-size // CHUNK))
    key = np.ravel_multi_index(tuple((points // CHUNK).T), grid)
    order = np.argsort(key, kind="stable")
    starts = np.searchsorted(key[order], np.arange(np.prod(grid) + 1))
    padded = np.pad(np.arange(np.prod(grid)).reshape(grid), 1, constant_values=-1)
    for number, cell in enumerate(np.ndindex(grid)):
        near = padded[tuple(slice(c, c + 3) for c in cell)].ravel()
        rows = np.concatenate([order[starts[k] : starts[k + 1]] for k in near[near >= 0]])
        low = np.array(cell) * CHUNK
        high = np.minimum(low + CHUNK, size)
        store[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = _painted(
            points[rows], ids[rows], low, high
        )
        progress(number + 1, int(np.prod(grid)), "chunks of the volume")


def _painted(points: Ids, ids: NDArray[np.uint64], low: Ids, high: Ids) -> NDArray[np.uint64]:
    """A chunk; the points themselves last, so that none is under another's surroundings."""
    chunk = np.zeros(tuple(high - low), np.uint64)
    for step in [*_BALL, np.zeros(3, np.int64)]:
        at = points + step - low
        inside = ((at >= 0) & (at < high - low)).all(axis=1)
        chunk[tuple(at[inside].T)] = ids[inside]
    return chunk
