"""A slice of a dataset folder as a picture: supervoxels, roots at the start, roots at the end.

python -m matengine.datasets.sample.picture FOLDER OUT.png
"""

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorstore as ts
from numpy.typing import NDArray

from matengine.datasets.folder import Dataset, open_dataset
from matengine.errors import Invalid

Ints = NDArray[np.int64]
Colours = NDArray[np.uint8]

_PIXELS = 2  # a voxel
_GAP = 12  # pixels between the panels


def picture(dataset: Dataset, z: int | None = None) -> bytes:
    """A PNG of the slice at `z` (voxels; the middle one by default), three panels side by side.

    Left the supervoxels, in the middle the root objects at the first time of
    expected/roots_at.parquet, right those at the last. Raises Invalid for a folder without a
    volume or without that file.
    """
    truth = dataset.expected_roots()
    if dataset.segmentation.volume is None or truth is None:
        raise Invalid(f"{dataset.path} has no volume or no expected/roots_at.parquet to draw.")
    volume = _opened(dataset.segmentation.volume)
    z = volume.shape[2] // 2 if z is None else z
    supervoxels = volume[:, :, z, 0].read().result().astype(np.int64).T
    times = truth["time"].cast(pa.int64()).to_numpy()
    panels = [_drawn(supervoxels)]
    for time in (times.min(), times.max()):
        rows = truth.filter(pa.array(times == time))
        panels.append(_drawn(_mapped(supervoxels, rows)))
    gap = np.full((panels[0].shape[0], _GAP, 3), 255, np.uint8)
    return png(np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1))


def png(pixels: Colours) -> bytes:
    """An RGB image (height, width, 3) as PNG (RFC 2083), without filters."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 9)
    parts = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_part(kind, data) for kind, data in parts)


def _part(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def _opened(volume: Path) -> Any:
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{volume}/"},
    }
    return ts.open(spec, read=True).result()


def _mapped(supervoxels: Ints, rows: pa.Table) -> Ints:
    """The object of each supervoxel in a slice, 0 for background."""
    ids, inverse = np.unique(supervoxels, return_inverse=True)
    known = rows["supervoxel_id"].to_numpy()
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)
    component = rows["component"].to_numpy()[order[place]]
    return np.where(ids > 0, component, 0)[inverse].reshape(supervoxels.shape)


def _drawn(ids: Ints) -> Colours:
    """A colour for each id, dark where two meet, black for background."""
    unique, inverse = np.unique(ids, return_inverse=True)
    # a mixing of the bits (Knuth's multiplicative hashing) gives each id a steady colour
    mixed = (unique.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    part = [(mixed >> np.uint64(8 * i)).astype(np.int64) & 255 for i in range(3)]
    palette = np.stack([70 + p * 180 // 255 for p in part], 1).astype(np.uint8)
    palette[unique == 0] = 0
    big = ids.repeat(_PIXELS, 0).repeat(_PIXELS, 1)
    colours: Colours = palette[inverse.reshape(ids.shape)].repeat(_PIXELS, 0).repeat(_PIXELS, 1)
    edge = np.zeros(big.shape, bool)
    edge[1:] |= big[1:] != big[:-1]
    edge[:, 1:] |= big[:, 1:] != big[:, :-1]
    colours[edge] //= 3
    return colours


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(picture(open_dataset(sys.argv[1])))
