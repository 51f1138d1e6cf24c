"""The supervoxels' volume over HTTP: the same voxels as from disk, and nothing else."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tensorstore as ts
from listening import listening

from matengine.api.app import create_app
from matengine.engine import datastacks
from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.volume import open_volume
from matengine.storage import pools

SIZE = (40, 24, 24)
KINDS = ("raw", "compressed_segmentation", "sharded", "packed")
NM = [8.0, 8.0, 40.0]


def voxels() -> np.ndarray:
    rng = np.random.default_rng(7)
    blocks = rng.integers(1, 1 << 40, (5, 3, 3), np.uint64) * np.uint64(rng.integers(1, 9))
    every = np.kron(blocks, np.ones((8, 8, 8), np.uint64))
    every[8:16, 8:16, 8:16] = 0  # a chunk that is not stored
    return every


def write(folder: Path, kind: str) -> None:
    scale: dict[str, Any] = {"size": SIZE, "chunk_size": [8, 8, 8], "resolution": NM}
    scale["encoding"] = "compressed_segmentation" if kind == KINDS[1] else "raw"
    if kind == KINDS[1]:
        scale["compressed_segmentation_block_size"] = [8, 8, 8]
    if kind == "sharded":
        scale["sharding"] = {
            "@type": "neuroglancer_uint64_sharded_v1",
            "preshift_bits": 2,
            "hash": "identity",
            "minishard_bits": 2,
            "shard_bits": 1,
            "minishard_index_encoding": "gzip",
            "data_encoding": "gzip",
        }
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {"type": "segmentation", "data_type": "uint64", "num_channels": 1},
        "scale_metadata": scale,
    }
    ts.open(spec, create=True, open=True).result()[..., 0].write(voxels()).result()
    if kind == "packed":
        for chunk in folder.glob("8_8_40/*"):
            chunk.with_name(f"{chunk.name}.gz").write_bytes(gzip.compress(chunk.read_bytes()))
            chunk.unlink()


@dataclass(frozen=True)
class Place:
    url: str
    folder: Path

    def get(self, path: str, **headers: str) -> requests.Response:
        """As sent: nothing unpacked, no path tidied up."""
        session = requests.Session()
        request = requests.Request("GET", self.url, headers=headers).prepare()
        request.url = f"{self.url}/segmentation/volume/{path}"
        return session.send(request, stream=True, timeout=30)


@pytest.fixture
def place(av: Any, tmp_path: Path) -> Iterator[Place]:
    with av.connect() as conn:
        for kind in KINDS:
            name = f"{av.name}_{kind}"[:40]
            write(tmp_path / kind, kind)
            local.create(conn, name, start=datetime(2026, 1, 1, tzinfo=UTC))
            where = datastacks.Segmentation(name, str(tmp_path / kind), NM, [8, 8, 8])
            datastacks.create(conn, f"stack_{kind}", where)
    (tmp_path / "secret").write_text("not for you")
    with listening(create_app()) as url:
        yield Place(url, tmp_path)
    pools.close_all()


def test_the_same_voxels_and_nothing_else(place: Place, av: Any) -> None:
    for kind in KINDS:
        name = f"{av.name}_{kind}"[:40]
        info = requests.get(f"{place.url}/segmentation/table/{name}/info", timeout=30).json()
        assert info["data_dir"] == f"precomputed://{place.url}/segmentation/volume/{name}"
        there = info["data_dir"].removeprefix("precomputed://")
        store = ts.open({"driver": "neuroglancer_precomputed", "kvstore": f"{there}/"}).result()
        assert np.array_equal(store[..., 0].read().result(), voxels())
        # as the engine of another machine would read it
        points = np.argwhere(voxels() > 0)[::97]
        found = open_volume(there).supervoxels(points, voxel_resolution_nm=NM)
        assert np.array_equal(found, voxels()[tuple(points.T)].astype(np.int64))
    _check_headers(place, f"{av.name}_raw"[:40], f"{av.name}_packed"[:40])
    _check_refusals(place, f"{av.name}_raw"[:40])


def _check_headers(place: Place, raw: str, packed: str) -> None:
    chunk = "8_8_40/0-8_0-8_0-8"
    content = (place.folder / "raw" / chunk).read_bytes()
    whole = place.get(f"{raw}/{chunk}")
    assert whole.content == content
    assert "Last-Modified" in whole.headers
    assert len(whole.raw.headers.getlist("Date")) == 1
    assert whole.headers["Cache-Control"] == "private, max-age=3600"
    same = place.get(f"{raw}/{chunk}", **{"If-None-Match": whole.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    part = place.get(f"{raw}/{chunk}", Range="bytes=16-31")
    assert (part.status_code, part.content) == (206, content[16:32])
    assert part.headers["Content-Range"] == f"bytes 16-31/{len(content)}"
    assert place.get(f"{raw}/{chunk}", Range="bytes=999999-").status_code == 416
    assert place.get(f"{raw}/info").headers["Content-Type"] == "application/json"

    zipped = place.get(f"{packed}/{chunk}", **{"Accept-Encoding": "gzip"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.raw.read()) == content
    plain = place.get(f"{packed}/{chunk}", **{"Accept-Encoding": "identity"})
    assert (plain.content, plain.headers.get("Content-Encoding")) == (content, None)
    assert plain.headers["ETag"] != zipped.headers["ETag"]
    both = {"Range": "bytes=8-15", "Accept-Encoding": "gzip"}
    assert place.get(f"{packed}/{chunk}", **both).content == content[8:16]
    missing = place.get(f"{packed}/8_8_40/8-16_8-16_8-16")
    assert missing.status_code == 404


def _check_refusals(place: Place, raw: str) -> None:
    folder = place.folder / "raw"
    (folder / "8_8_40" / "link").symlink_to(place.folder / "secret")
    (folder / "notes.txt").write_text("beside the volume")
    for path in (
        f"{raw}/../secret",
        f"{raw}/8_8_40/../../secret",
        f"{raw}/8_8_40/%2e%2e/%2e%2e/secret",
        f"{raw}/8_8_40/..%2f..%2fsecret",
        f"{raw}//etc/passwd",
        f"{raw}/8_8_40/link",
        f"{raw}/8_8_40/",
        f"{raw}/8_8_40",
        f"{raw}/notes.txt",
        "no_such_segmentation/info",
    ):
        answer = place.get(path)
        assert answer.status_code == 404, path
        assert b"not for you" not in answer.content
    for method in ("PUT", "POST", "DELETE"):
        url = f"{place.url}/segmentation/volume/{raw}/info"
        assert requests.request(method, url, data=b"x", timeout=30).status_code == 405
