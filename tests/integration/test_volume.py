"""Supervoxels under points, against the NumPy array that was written."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
from numpy.typing import NDArray

from matengine.errors import Invalid, NotFound, Unavailable
from matengine.segmentation import volume as volumes
from matengine.segmentation.volume import Volume, open_volume

SIZE, OFFSET, CHUNK = (100, 90, 50), (10, -20, 5), (32, 32, 16)
NM = (6.0, 6.0, 29.0)
KEY = "6_6_29"
SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 1,
    "minishard_bits": 2,
    "shard_bits": 1,
    "hash": "identity",
    "minishard_index_encoding": "gzip",
    "data_encoding": "gzip",
}
LAYOUTS = {
    "raw": {"encoding": "raw"},
    "compressed": {
        "encoding": "compressed_segmentation",
        "compressed_segmentation_block_size": [8, 8, 8],
    },
    "sharded": {"encoding": "raw", "sharding": SHARDING},
}
LAYOUTS["sharded_compressed"] = LAYOUTS["compressed"] | {"sharding": SHARDING}


def write(folder: Path, array: NDArray[Any], layout: dict[str, Any], **scale: Any) -> Path:
    """A precomputed volume that holds `array` [x, y, z]; returns its folder."""
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {
            "type": "segmentation",
            "data_type": str(array.dtype),
            "num_channels": 1,
        },
        "scale_metadata": {
            "key": KEY,
            "size": array.shape,
            "voxel_offset": OFFSET,
            "chunk_size": CHUNK,
            "resolution": NM,
            **layout,
            **scale,
        },
    }
    ts.open(spec, create=True, open=True).result()[..., 0].write(array).result()
    return folder


def pack(folder: Path, every: int = 1) -> None:
    """Gzip each `every`-th chunk file, as other writers do."""
    for path in sorted((folder / KEY).iterdir())[::every]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


@pytest.fixture(scope="module")
def array() -> NDArray[np.uint64]:
    """Ids with background and some from 2^63 on."""
    rng = np.random.default_rng(7)
    ids = rng.integers(0, 1 << 64, 40, dtype=np.uint64)
    ids[0] = 0
    ids[1] |= np.uint64(1 << 63)
    return ids[rng.integers(0, 40, SIZE)]


@pytest.fixture(params=[*LAYOUTS, "raw gz", "compressed gz", "some gz"])
def volume(request: pytest.FixtureRequest, array: NDArray[np.uint64], tmp_path: Path) -> Volume:
    layout, _, packing = request.param.partition(" ")
    write(tmp_path / "volume", array, LAYOUTS.get(layout, LAYOUTS["raw"]))
    if packing:
        pack(tmp_path / "volume", every=3 if layout == "some" else 1)
    return open_volume(tmp_path / "volume")


def expected(
    array: NDArray[np.uint64], points: NDArray[np.float64], nm: tuple[float, ...]
) -> list[int]:
    """The oracle: fractions and one array element a point."""
    found = []
    for point in points:
        place = tuple(
            (Fraction(float(p)) * Fraction(a) / Fraction(b)).__floor__() - o
            for p, a, b, o in zip(point, nm, NM, OFFSET, strict=True)
        )
        inside = all(0 <= v < s for v, s in zip(place, array.shape, strict=True))
        found.append(int(array[place].astype(np.int64)) if inside else 0)
    return found


@pytest.mark.parametrize("nm", [NM, (3.0, 12.0, 7.25), (4.5, 6.0, 40.0)])
def test_points_anywhere(
    volume: Volume, array: NDArray[np.uint64], nm: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(11)
    low = (np.array(OFFSET) - 4) * NM / nm
    high = (np.array(OFFSET) + np.array(SIZE) + 4) * NM / nm
    points = rng.uniform(low, high, (3000, 3))
    points[::2] = np.rint(points[::2])
    found = volume.supervoxels(points, voxel_resolution_nm=nm)
    assert found.dtype == np.int64
    assert found.tolist() == expected(array, points, nm)
    assert (found == 0).any()
    assert (found < 0).any()


def test_corners_and_their_neighbours(volume: Volume, array: NDArray[np.uint64]) -> None:
    low, high = np.array(OFFSET), np.array(OFFSET) + np.array(SIZE)
    edges = [np.array([a - 1, a, b - 1, b]) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*edges), axis=-1).reshape(-1, 3).astype(float)
    found = volume.supervoxels(points, voxel_resolution_nm=NM)
    assert found.tolist() == expected(array, points, NM)


def test_every_voxel(
    array: NDArray[np.uint64], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several blocks of points, a few chunks at once, in an order that is not the chunks'."""
    monkeypatch.setattr(volumes, "POINTS", 70_001)
    monkeypatch.setattr(volumes, "CHUNK_BYTES", 5 * 8 * 32 * 32 * 16)
    volume = open_volume(write(tmp_path / "v", array, LAYOUTS["compressed"]))
    places = np.argwhere(np.ones(SIZE, bool))
    np.random.default_rng(3).shuffle(places)
    found = volume.supervoxels(places + np.array(OFFSET), voxel_resolution_nm=NM)
    assert np.array_equal(found, array[tuple(places.T)].astype(np.int64))


def test_every_number_of_bits_in_blocks_that_are_no_cubes(tmp_path: Path) -> None:
    """Of the blocks of a compressed chunk each has another number of ids, from one to all."""
    rng = np.random.default_rng(5)
    block = np.array([16, 8, 4])
    array = np.zeros(SIZE, np.uint64)
    for number, cell in enumerate(np.ndindex(*(-(-np.array(SIZE) // block)))):
        ids = rng.integers(0, 1 << 64, rng.choice([1, 2, 3, 5, 17, 200, 512]), dtype=np.uint64)
        low = np.array(cell) * block
        part = array[tuple(slice(a, a + b) for a, b in zip(low, block, strict=True))]
        part[:] = ids[rng.integers(0, len(ids), part.shape)] if number else 0
    layout = LAYOUTS["compressed"] | {"compressed_segmentation_block_size": block.tolist()}
    small = (array >> np.uint64(32)).astype(np.uint32)
    places = np.argwhere(np.ones(SIZE, bool))[::3]
    for name, ids in (("long", array), ("short", small)):
        volume = open_volume(write(tmp_path / name, ids, layout))
        found = volume.supervoxels(places + np.array(OFFSET), voxel_resolution_nm=NM)
        assert np.array_equal(found, ids[tuple(places.T)].astype(np.int64))


def test_a_damaged_compressed_chunk_harms_nobody(array: NDArray[np.uint64], tmp_path: Path) -> None:
    """Whatever its bytes: its own points get some id or are said to be unreadable, no others."""
    folder = write(tmp_path / "v", array, LAYOUTS["compressed"])
    volume, path = open_volume(folder), folder / KEY / "10-42_-20-12_5-21"
    whole, rng = path.read_bytes(), np.random.default_rng(8)
    places = np.array([[31, 31, 15], [32, 31, 15], [31, 32, 15], [64, 64, 32]])
    refused: list[str] = []
    for cut in [0, 1, 3, 4, 100, *rng.integers(0, len(whole), 60)]:
        noise = rng.integers(0, 256, len(whole), np.uint8).tobytes()
        path.write_bytes(whole[:cut] + (noise[cut:] if cut % 2 else b""))
        others = volume.supervoxels(places[1:] + np.array(OFFSET), voxel_resolution_nm=NM)
        assert others.tolist() == array[tuple(places[1:].T)].astype(np.int64).tolist()
        try:
            volume.supervoxels(places + np.array(OFFSET), voxel_resolution_nm=NM)
        except Unavailable as error:
            refused.append(str(error))
    assert len(refused) > 30
    assert all(path.name in said for said in refused)


def test_no_points(volume: Volume) -> None:
    assert volume.supervoxels([], voxel_resolution_nm=NM).tolist() == []
    assert volume.supervoxels(np.zeros((0, 3)), voxel_resolution_nm=NM).tolist() == []


def test_point_that_is_no_number(volume: Volume) -> None:
    with pytest.raises(Invalid, match="Point 1 has no finite position"):
        volume.supervoxels([[20, 0, 10], [np.nan, 0, 10]], voxel_resolution_nm=NM)


def test_threads_share_a_volume(volume: Volume, array: NDArray[np.uint64]) -> None:
    places = np.argwhere(np.ones(SIZE, bool))[::97]
    right = array[tuple(places.T)].astype(np.int64)
    answers: list[bool] = []

    def look() -> None:
        found = volume.supervoxels(places + np.array(OFFSET), voxel_resolution_nm=NM)
        answers.append(np.array_equal(found, right))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 4


def test_scale_by_resolution(array: NDArray[np.uint64], tmp_path: Path) -> None:
    folder = write(tmp_path / "v", array, LAYOUTS["raw"])
    coarse = array[::2, ::2]
    write(folder, coarse, LAYOUTS["raw"], key="12", resolution=[12, 12, 29], voxel_offset=[0, 0, 0])
    second = open_volume(folder, resolution_nm=(12, 12, 29))
    found = second.supervoxels([[8.0, 6.0, 3.0]], voxel_resolution_nm=NM)
    assert found.tolist() == [int(coarse[4, 3, 3].astype(np.int64))]
    assert open_volume(folder).resolution_nm == NM
    with pytest.raises(Invalid, match=r"12\.0, 12\.0, 29\.0"):
        open_volume(folder, resolution_nm=(5, 5, 29))


@pytest.mark.parametrize("layout", ["raw", "compressed", "sharded"])
@pytest.mark.parametrize("packed", [False, True])
def test_broken_chunk_is_named(
    array: NDArray[np.uint64], tmp_path: Path, layout: str, packed: bool
) -> None:
    folder = write(tmp_path / "v", array, LAYOUTS[layout])
    if packed and layout != "sharded":
        pack(folder)
    volume = open_volume(folder)
    path = max((folder / KEY).iterdir(), key=lambda p: p.name)
    content = path.read_bytes()
    broken = bytes(b ^ 0x55 for b in content[: len(content) // 2])
    path.write_bytes(broken)
    places = np.argwhere(np.ones(SIZE, bool))
    with pytest.raises(Unavailable, match=path.name.removesuffix(".gz")):
        volume.supervoxels(places + np.array(OFFSET), voxel_resolution_nm=NM)


def test_absent_chunk_is_background(array: NDArray[np.uint64], tmp_path: Path) -> None:
    folder = write(tmp_path / "v", array, LAYOUTS["raw"])
    (folder / KEY / "10-42_-20-12_5-21").unlink()
    for packed in (False, True):
        if packed:
            pack(folder)
        points = np.argwhere(np.ones(CHUNK, bool)) + np.array(OFFSET)
        found = open_volume(folder).supervoxels(points, voxel_resolution_nm=NM)
        assert not found.any()


@pytest.mark.parametrize("ending", [".br", ".zst"])
def test_unreadable_packing_is_refused(
    array: NDArray[np.uint64], tmp_path: Path, ending: str
) -> None:
    folder = write(tmp_path / "v", array, LAYOUTS["raw"])
    chunk = folder / KEY / "10-42_-20-12_5-21"
    chunk.rename(f"{chunk}{ending}")
    with pytest.raises(Invalid, match="Unpack them"):
        open_volume(folder)


def change_info(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    info = json.loads((folder / "info").read_text())
    change(info)
    (folder / "info").write_text(json.dumps(info))


def test_what_is_no_volume(array: NDArray[np.uint64], tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no folder"):
        open_volume(tmp_path / "nowhere")
    with pytest.raises(Invalid, match="no file `info`"):
        open_volume(tmp_path)
    with pytest.raises(Invalid, match="no address"):
        open_volume("ftp://host/volume")
    (tmp_path / "info").write_text("{")
    with pytest.raises(Invalid, match="lists no scales"):
        open_volume(tmp_path)
    images = write(tmp_path / "images", array.astype(np.uint8), LAYOUTS["raw"])
    with pytest.raises(Invalid, match="uint8, not supervoxel ids"):
        open_volume(images)
    folder = write(tmp_path / "v", array, LAYOUTS["raw"])
    change_info(folder, lambda info: info["scales"][0].update(encoding="compresso"))
    with pytest.raises(Invalid, match="encoded as compresso"):
        open_volume(folder)
    change_info(folder, lambda info: info["scales"][0].update(encoding="raw", key="moved"))
    with pytest.raises(Invalid, match="folder 'moved'"):
        open_volume(folder)
    change_info(folder, lambda info: info["scales"][0].pop("size"))
    with pytest.raises(Invalid, match="broken scale"):
        open_volume(folder)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a web server of the test's folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_addresses(array: NDArray[np.uint64], tmp_path: Path, web: str) -> None:
    folder = write(tmp_path / "a volume", array, LAYOUTS["compressed"])
    right = int(array[5, 6, 7].astype(np.int64))
    for url in (
        str(folder),
        folder.as_uri(),
        f"precomputed://{folder.as_uri()}",
        f"{web}/a%20volume",
        f"precomputed://{web}/a%20volume/",
    ):
        found = open_volume(url).supervoxels([[15, -14, 12]], voxel_resolution_nm=NM)
        assert found.tolist() == [right]


def test_packed_chunks_of_a_web_server(array: NDArray[np.uint64], tmp_path: Path, web: str) -> None:
    """A server that knows only NAME.gz answers 404 for NAME, which would mean background."""
    folder = write(tmp_path / "v", array, LAYOUTS["raw"])
    pack(folder)
    with pytest.raises(Invalid, match=r"packed as NAME\.gz"):
        open_volume(f"{web}/v")
    for path in (folder / KEY).iterdir():
        path.unlink()
    empty = open_volume(f"{web}/v")
    assert not empty.supervoxels([[15, -14, 12]], voxel_resolution_nm=NM).any()


def test_web_server_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        open_volume("http://127.0.0.1:9/volume")
