"""The supervoxel under each point, read from a Neuroglancer precomputed volume."""

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import ArrayLike, NDArray

from matengine.errors import Unavailable
from matengine.progress import Progress, quiet
from matengine.segmentation import compressed, precomputed
from matengine.segmentation.precomputed import Location, Scale
from matengine.segmentation.voxels import check_resolution, to_voxels

Voxels = NDArray[np.int64]

# Bounds on memory: points handled at once, and bytes of decoded chunks behind one read
POINTS = 1 << 20
CHUNK_BYTES = 128_000_000
COMPLETE = "Is the volume complete, and may this user read it?"


@dataclass(frozen=True)
class Volume:
    """An open volume of supervoxel ids; safe to share between threads, not across a fork."""

    location: Location
    scale: Scale
    info: dict[str, Any]
    packed: bool
    context: ts.Context

    @property
    def url(self) -> str:
        """Where the volume is, as it was given."""
        return self.location.url

    @property
    def resolution_nm(self) -> tuple[float, float, float]:
        """Size of a voxel (x, y, z) in nm."""
        return self.scale.resolution_nm

    def supervoxels(
        self, points: ArrayLike, *, voxel_resolution_nm: Sequence[float]
    ) -> NDArray[np.int64]:
        """The supervoxel ids (N,) int64 under points (N, 3) in voxels of `voxel_resolution_nm`.

        The voxel is floor(position * voxel_resolution_nm / resolution_nm). Background and
        points outside the volume give 0; ids from 2^63 on come as two's complement. Memory
        beside points and ids is bounded. Raises Invalid for points that are not finite and
        Unavailable, naming the chunk, where one cannot be read.
        """
        positions = np.asarray(points, np.float64)
        if not positions.size:
            return np.zeros(0, np.int64)
        out = np.zeros(len(positions), np.int64)
        for first in range(0, len(positions), POINTS):
            part = slice(first, first + POINTS)
            voxels = to_voxels(positions[part], voxel_resolution_nm, self.resolution_nm)
            out[part] = self._at(voxels)
        return out

    def all_supervoxels(self, progress: Progress = quiet) -> NDArray[np.int64]:
        """Every supervoxel id of the volume, sorted, without background.

        Reads the whole volume, a few chunks at a time; progress counts chunks. Raises
        Unavailable where one cannot be read.
        """
        grid = self.scale.grid()
        cells = np.stack(np.unravel_index(np.arange(np.prod(grid)), grid), axis=1)
        store = None if self.packed else self._store(self.location.kvstore, self.context)
        found = [np.zeros(0, np.int64)]
        for number, cell in enumerate(cells):
            progress(number, len(cells), "chunks of the volume")
            opened = self._unpacked_store(cell[None]) if store is None else store
            ids = _read_box(opened, *self.scale.box(cell)).ravel(order="K")
            # neighbours are mostly equal: what is left to sort is a small part
            found.append(np.unique(ids[np.append(True, ids[1:] != ids[:-1])]))
        every: NDArray[np.int64] = np.setdiff1d(np.concatenate(found), [0])
        return every

    def _at(self, voxels: Voxels) -> NDArray[np.int64]:
        """Ids of absolute voxels (N, 3), those outside 0."""
        offset, size = np.array(self.scale.voxel_offset), np.array(self.scale.size)
        inside = np.flatnonzero(((voxels >= offset) & (voxels < offset + size)).all(axis=1))
        out = np.zeros(len(voxels), np.int64)
        cells = (voxels[inside] - offset) // np.array(self.scale.chunk_size)
        read = self._reader()
        for rows in _batches(cells, self.scale.grid(), self._chunks_at_once()):
            where = inside[rows]
            ids = read(voxels[where], cells[rows])
            out[where] = ids.astype(np.uint64, copy=False).view(np.int64)
        return out

    def _reader(self) -> Callable[[Voxels, Voxels], NDArray[Any]]:
        """What gives the ids of absolute voxels (N, 3) in chunks (N, 3), sorted by chunk."""
        if self.scale.block is not None:
            return partial(self._pick, None if self.packed else self._chunk_store())
        if self.packed:
            return lambda voxels, cells: _read(
                self._unpacked_store(np.unique(cells, axis=0)), voxels
            )
        store = self._store(self.location.kvstore, self.context)
        return lambda voxels, cells: _read(store, voxels)

    def _pick(self, store: ts.KvStore | None, voxels: Voxels, cells: Voxels) -> NDArray[np.uint64]:
        """Ids of voxels looked up in the compressed chunks, which are not unpacked for it."""
        starts = np.flatnonzero(np.append(True, (cells[1:] != cells[:-1]).any(axis=1)))
        chunk = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(cells))))
        each = cells[starts]
        contents = self._contents(store, each)
        found = np.array([content is not None for content in contents])
        ids = np.zeros(len(voxels), np.uint64)
        rows = np.flatnonzero(found[chunk])
        if not len(rows):
            return ids
        ends = [self.scale.box(cell) for cell in each[found]]
        low, high = (np.array(side) for side in zip(*ends, strict=True))
        which = (np.cumsum(found) - 1)[chunk[rows]]
        assert self.scale.block is not None
        ids[rows], good = compressed.ids_at(
            [content for content in contents if content is not None],
            high - low,
            which,
            voxels[rows] - low[which],
            self.scale.block,
            self.scale.item_bytes,
        )
        if not good.all():
            name = self.scale.chunk_key(each[found][which[np.argmin(good)]])
            raise Unavailable(f"The chunk '{name}' of the volume '{self.url}' is broken.", COMPLETE)
        return ids

    def _contents(self, store: ts.KvStore | None, cells: Voxels) -> list[bytes | None]:
        """The chunks' contents, None for those that are not there: background."""
        if store is None:
            assert self.location.folder is not None
            folder = self.location.folder
            return [_unpacked(folder / self.scale.chunk_key(cell)) for cell in cells]
        reads = [store.read(key) for key in self._keys(cells)]
        return [
            _content(self.scale.chunk_key(cell), read)
            for cell, read in zip(cells, reads, strict=True)
        ]

    def _keys(self, cells: Voxels) -> list[Any]:
        """The names of chunks in `_chunk_store`."""
        if not self.scale.sharded:
            return [self.scale.chunk_key(cell) for cell in cells]
        numbers = precomputed.chunk_number(cells, self.scale.grid())
        return [int(number).to_bytes(8, "big") for number in numbers]

    def _chunk_store(self) -> ts.KvStore:
        """Where chunks are read as they are stored, also those of sharded volumes."""
        spec: Any = self.location.kvstore
        if self.scale.sharded:
            base = ts.KvStore.open(spec, context=self.context).result(precomputed.TIMEOUT_S)
            spec = {
                "driver": "neuroglancer_uint64_sharded",
                "metadata": self.scale.sharding,
                "base": (base / f"{self.scale.key}/").spec().to_json(),
            }
        return ts.KvStore.open(spec, context=self.context).result(precomputed.TIMEOUT_S)

    def _chunks_at_once(self) -> int:
        chunk_bytes = int(np.prod(self.scale.chunk_size)) * self.scale.item_bytes
        return max(1, CHUNK_BYTES // chunk_bytes)

    def _store(self, kvstore: Any, context: ts.Context) -> ts.TensorStore:
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": kvstore,
            "scale_index": self.scale.index,
            # what `info` says was read and checked; the volume does not change under us
            "recheck_cached_metadata": "open",
        }
        try:
            store = ts.open(spec, open=True, read=True, context=context).result(
                precomputed.TIMEOUT_S
            )
        except precomputed.FAILURES as error:
            raise Unavailable(
                f"The volume '{self.url}' cannot be opened: {precomputed.told(error)}"
            ) from error
        return store[..., 0]

    def _unpacked_store(self, cells: Voxels) -> ts.TensorStore:
        """The gzipped chunks `cells` (M, 3), unpacked into a store in memory of this call alone."""
        assert self.location.folder is not None
        context = ts.Context()
        memory = ts.KvStore.open("memory://", context=context).result()
        memory["info"] = (self.location.folder / "info").read_bytes()
        for cell in cells:
            key = self.scale.chunk_key(cell)
            content = _unpacked(self.location.folder / key)
            if content is not None:
                memory[key] = content
        return self._store("memory://", context)


def open_volume(url: str | Path, *, resolution_nm: Sequence[float] | None = None) -> Volume:
    """Open the scale of `resolution_nm` (x, y, z; the first scale by default) of a volume.

    url: a folder, or a file://, precomputed://, gs://, s3:// or http(s):// address. Raises
    NotFound for a folder that is not there, Invalid for one that is no volume of ids or is
    packed in an unreadable way, Unavailable where the store does not answer.
    """
    location = precomputed.locate(url)
    context = precomputed.context()
    info = precomputed.read_info(location, context)
    wanted = check_resolution(resolution_nm) if resolution_nm is not None else None
    scale = precomputed.choose_scale(info, location.url, wanted)
    volume = Volume(location, scale, info, precomputed.packed_chunks(location, scale), context)
    if location.folder is None:
        precomputed.refuse_packed(location, scale, context)
    if not volume.packed:
        volume._store(location.kvstore, context)
    return volume


def _batches(cells: Voxels, grid: tuple[int, ...], chunks: int) -> Iterator[NDArray[np.intp]]:
    """Rows of `cells` (N, 3) sorted by chunk, as runs that touch at most `chunks` chunks."""
    if not len(cells):
        return
    chunk = np.ravel_multi_index(tuple(cells.T), grid)
    order = np.argsort(chunk, kind="stable")
    rank = np.cumsum(np.diff(chunk[order], prepend=chunk[order[0]]) != 0)
    yield from np.split(order, np.flatnonzero(np.diff(rank // chunks)) + 1)


def _read(store: ts.TensorStore, voxels: Voxels) -> NDArray[Any]:
    return _result(store.vindex[voxels[:, 0], voxels[:, 1], voxels[:, 2]])


def _read_box(store: ts.TensorStore, low: Voxels, high: Voxels) -> NDArray[np.int64]:
    x, y, z = (slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    return _result(store[x, y, z]).astype(np.uint64, copy=False).view(np.int64)


def _result(view: ts.TensorStore) -> NDArray[Any]:
    try:
        ids = view.read().result(precomputed.TIMEOUT_S)
    except precomputed.FAILURES as error:
        # tensorstore's message names the chunk
        raise Unavailable(
            f"A chunk of the volume cannot be read: {precomputed.told(error)}",
            COMPLETE,
        ) from error
    return np.asarray(ids)


def _content(name: str, read: Any) -> bytes | None:
    try:
        answer = read.result(precomputed.TIMEOUT_S)
    except precomputed.FAILURES as error:
        raise Unavailable(
            f"The chunk '{name}' of the volume cannot be read: {precomputed.told(error)}", COMPLETE
        ) from error
    return bytes(answer.value) if answer.state == "value" else None


def _unpacked(path: Path) -> bytes | None:
    """A chunk file's content, packed or plain; None where there is none (background)."""
    packed = path.with_name(f"{path.name}.gz")
    try:
        return gzip.decompress(packed.read_bytes())
    except FileNotFoundError:
        pass
    except (OSError, EOFError, zlib.error) as error:
        raise Unavailable(f"The chunk '{packed}' cannot be read: {error}.") from error
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"The chunk '{path}' cannot be read: {error}.") from error
