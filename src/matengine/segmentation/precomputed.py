"""Neuroglancer precomputed volumes: where they are, what they are, how their chunks are read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from matengine.errors import Invalid, NotFound, Unavailable

Cell = NDArray[np.int64]

# Seconds until an outside store is given up
TIMEOUT_S = 120.0
# What tensorstore raises where a store or a chunk cannot be read
FAILURES = (ValueError, OSError, RuntimeError)
_SCHEMES = ("gs", "s3", "http", "https")
_RETRIES = {"max_retries": 4, "initial_delay": "200ms", "max_delay": "2s"}
# Chunks looked at where a store cannot be listed
_PROBES = 8
_ENCODINGS = ("raw", "compressed_segmentation")
_DATA_TYPES = ("uint32", "uint64")


@dataclass(frozen=True)
class Location:
    """A volume's place: its tensorstore key-value store, and its folder where it is local."""

    url: str
    kvstore: str | dict[str, Any]
    folder: Path | None


@dataclass(frozen=True)
class Scale:
    """One resolution of a volume; sizes and offset in its voxels (x, y, z)."""

    index: int
    key: str
    resolution_nm: tuple[float, float, float]
    size: tuple[int, int, int]
    voxel_offset: tuple[int, int, int]
    chunk_size: tuple[int, int, int]
    sharding: dict[str, Any] | None
    block: tuple[int, int, int] | None  # of compressed_segmentation, else None
    item_bytes: int

    @property
    def sharded(self) -> bool:
        """Whether many chunks are in one file."""
        return self.sharding is not None

    def grid(self) -> tuple[int, ...]:
        """Number of chunks along x, y, z."""
        sizes = zip(self.size, self.chunk_size, strict=True)
        return tuple(-(-size // chunk) for size, chunk in sizes)

    def box(self, cell: Cell) -> tuple[Cell, Cell]:
        """The first voxel of a chunk (its number along x, y, z), and the one behind its last."""
        offset, chunk = np.array(self.voxel_offset), np.array(self.chunk_size)
        low = cell * chunk
        return low + offset, np.minimum(low + chunk, np.array(self.size)) + offset

    def chunk_key(self, cell: Cell) -> str:
        """The name of a chunk's file below the volume."""
        low, high = self.box(cell)
        ends = zip(low.tolist(), high.tolist(), strict=True)
        return f"{self.key}/{'_'.join(f'{a}-{b}' for a, b in ends)}"


def chunk_number(cells: Cell, grid: tuple[int, ...]) -> Cell:
    """The numbers (N,) of chunks (N, 3) in sharded volumes: compressed Morton codes.

    https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/volume.md
    """
    number, place = np.zeros(len(cells), np.int64), 0
    for bit in range(max(grid).bit_length()):
        for axis, size in enumerate(grid):
            if 1 << bit < size:
                number |= (cells[:, axis] >> bit & 1) << place
                place += 1
    return number


def locate(url: str | Path) -> Location:
    """Understand a path, file://, precomputed://, gs://, s3:// or http(s):// address."""
    text = str(url).removeprefix("precomputed://")
    scheme = text.partition("://")[0] if "://" in text else ""
    if scheme in _SCHEMES:
        return Location(text, text.rstrip("/") + "/", None)
    if scheme not in ("", "file"):
        raise Invalid(
            f"'{url}' is no address of a volume.",
            "Give a folder, or a file://, precomputed://, gs://, s3:// or https:// address.",
        )
    path = unquote(urlsplit(text).path) if scheme else text
    folder = Path(path).expanduser().absolute()
    return Location(text, {"driver": "file", "path": f"{folder}/"}, folder)


def context() -> ts.Context:
    """Little cache and few retries, so that memory and waiting are bounded."""
    retries = {f"{store}_request_retries": _RETRIES for store in ("gcs", "s3", "http")}
    return ts.Context({"cache_pool": {"total_bytes_limit": 64_000_000}, **retries})


def read_info(location: Location, context: ts.Context) -> dict[str, Any]:
    """The volume's `info`; raises NotFound, Invalid or Unavailable where there is none."""
    hint = "A volume is a folder with a file `info` in Neuroglancer's precomputed format."
    if location.folder is not None and not location.folder.is_dir():
        raise NotFound(f"There is no folder '{location.folder}'.", hint)
    try:
        store = ts.KvStore.open(location.kvstore, context=context).result(TIMEOUT_S)
        answer = store.read("info").result(TIMEOUT_S)
    except FAILURES as error:
        raise Unavailable(f"The volume '{location.url}' cannot be read: {told(error)}") from error
    if answer.state != "value":
        raise Invalid(f"'{location.url}' is no volume: it has no file `info`.", hint)
    try:
        info = json.loads(answer.value)
        scales = info["scales"]
    except (ValueError, KeyError, TypeError):
        raise Invalid(f"'{location.url}' is no volume: its `info` lists no scales.", hint) from None
    if not isinstance(scales, list) or not scales:
        raise Invalid(f"The volume '{location.url}' has no scale.", hint)
    return dict(info)


def choose_scale(
    info: dict[str, Any], url: str, resolution_nm: tuple[float, float, float] | None
) -> Scale:
    """The scale of a resolution (nm), the first by default; raises Invalid for a useless one."""
    if info.get("data_type") not in _DATA_TYPES or info.get("num_channels", 1) != 1:
        raise Invalid(
            f"The volume '{url}' holds {info.get('num_channels', 1)} channel(s) of "
            f"{info.get('data_type')}, not supervoxel ids.",
            "Supervoxels are one channel of uint64.",
        )
    try:
        found = [_scale(index, entry, info) for index, entry in enumerate(info["scales"])]
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid(f"The `info` of volume '{url}' has a broken scale: {error!r}.") from None
    scale = found[0]
    if resolution_nm is not None:
        same = [s for s in found if _close(s.resolution_nm, resolution_nm)]
        if not same:
            raise Invalid(
                f"The volume '{url}' has no scale of {list(resolution_nm)} nm.",
                f"It has {', '.join(str(list(s.resolution_nm)) for s in found)}.",
            )
        scale = same[0]
    encoding = info["scales"][scale.index].get("encoding")
    if encoding not in _ENCODINGS:
        raise Invalid(
            f"The volume '{url}' is encoded as {encoding}, which cannot be read.",
            f"Rewrite it as {' or '.join(_ENCODINGS)}.",
        )
    return scale


def packed_chunks(location: Location, scale: Scale) -> bool:
    """Whether chunk files are gzipped (`NAME.gz`), which a file store takes for absent chunks.

    Looks through the whole scale folder: one packed file among plain ones would be read as
    background. Raises Invalid for packings that cannot be read, and where the folder is missing.
    """
    if location.folder is None:
        return False
    folder = location.folder / scale.key
    if not folder.is_dir():
        raise Invalid(
            f"The volume '{location.url}' has no data for {list(scale.resolution_nm)} nm.",
            f"The folder '{scale.key}' that its `info` names is missing.",
        )
    endings = {entry.suffix for entry in folder.iterdir() if entry.suffix != ".shard"}
    for ending, unpack in ((".br", "brotli --decompress"), (".zst", "unzstd")):
        if ending in endings:
            raise Invalid(
                f"The volume '{location.url}' has chunks packed as NAME{ending}.",
                f"Unpack them ({unpack} --rm *{ending}), or write it without compression.",
            )
    if ".gz" in endings and scale.sharded:
        raise Invalid(
            f"The volume '{location.url}' has gzipped shard files.", "Unpack them with gunzip."
        )
    return ".gz" in endings


def refuse_packed(location: Location, scale: Scale, context: ts.Context) -> None:
    """Raise Invalid where a store that may not be listed has its chunks as NAME.gz or NAME.br.

    Looks at a few chunks from the middle outwards until there is one.
    """
    if scale.sharded:
        return
    grid = np.array(scale.grid())
    places = np.linspace(0.5, 0, _PROBES)[:, None]
    try:
        store = ts.KvStore.open(location.kvstore, context=context).result(TIMEOUT_S)
        for cell in np.floor(places * grid).astype(np.int64):
            for ending in ("", ".gz", ".br"):
                found = store.read(scale.chunk_key(cell) + ending).result(TIMEOUT_S)
                if found.state == "value" and not ending:
                    return
                if found.state == "value":
                    raise Invalid(
                        f"The volume '{location.url}' has chunks packed as NAME{ending}.",
                        "Serve them unpacked, or as NAME with the header Content-Encoding.",
                    )
    except FAILURES as error:
        raise Unavailable(f"The volume '{location.url}' cannot be read: {told(error)}") from error


def told(error: BaseException) -> str:
    """A reader's error on one line, without its status code."""
    return " ".join(str(error).split())[:500] or type(error).__name__


def _scale(index: int, entry: dict[str, Any], info: dict[str, Any]) -> Scale:
    def three(values: Any) -> tuple[int, int, int]:
        x, y, z = (int(v) for v in values)
        return x, y, z

    x, y, z = (float(r) for r in entry["resolution"])
    compressed = entry.get("encoding") == "compressed_segmentation"
    return Scale(
        index=index,
        key=str(entry["key"]),
        resolution_nm=(x, y, z),
        size=three(entry["size"]),
        voxel_offset=three(entry.get("voxel_offset", (0, 0, 0))),
        chunk_size=three(entry["chunk_sizes"][0]),
        sharding=entry.get("sharding") or None,
        block=three(entry["compressed_segmentation_block_size"]) if compressed else None,
        item_bytes=8 if info["data_type"] == "uint64" else 4,
    )


def _close(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(abs(p - q) <= 1e-9 * max(p, q) for p, q in zip(a, b, strict=True))
