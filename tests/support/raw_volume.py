"""A small precomputed volume of supervoxels, uncompressed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray


def write_raw_volume(
    folder: Path,
    voxels: NDArray[Any],
    *,
    chunk: Sequence[int],
    resolution_nm: Sequence[float] = (1, 1, 1),
) -> str:
    """Write the ids [x, y, z] in chunks of so many voxels; returns the folder's path."""
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {"type": "segmentation", "data_type": "uint64", "num_channels": 1},
        "scale_metadata": {
            "size": voxels.shape,
            "chunk_size": list(chunk),
            "resolution": list(resolution_nm),
            "encoding": "raw",
        },
    }
    ts.open(spec, create=True, open=True).result()[..., 0].write(voxels.astype(np.uint64)).result()
    return str(folder)
