"""The supervoxel that a click near an object means."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.protocol import Ids
from matengine.segmentation.volume import Volume

Nm = NDArray[np.float64]

# PyChunkedGraph widens its search by these, in mean voxel sizes
RADII = (4, 8, 14, 28)


def nearest_supervoxel(volume: Volume, position_nm: Sequence[float], supervoxels: Ids) -> int:
    """The one of `supervoxels` (an object's) that has a voxel nearest to a position (x, y, z; nm).

    Raises Invalid where none lies within 28 mean voxel sizes.
    """
    size = np.array(volume.resolution_nm)
    centre = np.asarray(position_nm, np.float64)
    for radius in RADII:
        reach = radius * size.mean()
        voxels = _ball(centre, reach, size)
        found = volume.supervoxels(voxels, voxel_resolution_nm=volume.resolution_nm)
        hits = np.flatnonzero(np.isin(found, supervoxels) & (found != 0))
        if len(hits):
            return int(found[hits[0]])
    raise Invalid(
        f"The object does not come near ({', '.join(f'{c:g}' for c in centre)}) nm.",
        "Give a point inside it, or a supervoxel id.",
    )


def _ball(centre: Nm, reach: float, size: Nm) -> NDArray[np.int64]:
    """Voxels (N, 3) whose middle is within `reach` nm of `centre`, the nearest first."""
    low = np.floor((centre - reach) / size).astype(np.int64)
    high = np.floor((centre + reach) / size).astype(np.int64)
    axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    distance = np.linalg.norm((voxels + 0.5) * size - centre, axis=1)
    # the voxel that holds the centre counts even where its middle is further
    order = np.argsort(distance, kind="stable")
    near: NDArray[np.int64] = voxels[order[distance[order] <= max(reach, distance.min())]]
    return near
