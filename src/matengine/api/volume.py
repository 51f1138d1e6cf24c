"""The supervoxels' volume over HTTP, where it lies on this server's disk: read only.

For readers of Neuroglancer's precomputed format: `info`, chunks and shards, whole or in ranges.
"""

import gzip
from io import BytesIO
from pathlib import Path

from flask import Response, request, send_file
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.description import BINARY, JSON, gives
from matengine.api.graphs import open_graph
from matengine.errors import NotFound
from matengine.segmentation.volume import Volume

# a volume never changes; only a volume that was put in its place would
_KEEP_S = 3600
_TOP_FILES = ("info", "provenance")

api = APIBlueprint(
    "volume",
    __name__,
    url_prefix="/segmentation/volume",
    abp_tags=[Tag(name="segmentation", description="What a segmentation is made of")],
)


class File(BaseModel):
    """A segmentation, and a file of its volume."""

    table: str
    key: str


def address(table: str, volume: Volume) -> str:
    """Where readers find the volume: here where it lies on this disk."""
    if volume.location.folder is None:
        return volume.url
    return f"precomputed://{request.host_url}segmentation/volume/{table}"


@api.get(
    "/<string:table>/<path:key>",
    summary="A file of the supervoxels' volume",
    responses=gives(BINARY, JSON, others=(206, 304, 416)),
)
def volume_file(path: File) -> Response:
    """Chunks that lie on disk as NAME.gz are sent as NAME, packed where the client takes that."""
    with open_graph(path.table) as (_, source):
        volume = source.open_volume()
    file = _find(volume, path.key)
    if file.is_file():
        kind = JSON if path.key in _TOP_FILES else BINARY
        return _private(send_file(file, mimetype=kind, conditional=True))
    packed = file.with_name(file.name + ".gz")
    if not packed.is_file():
        raise NotFound(f"The volume of '{path.table}' has no file '{path.key}'.")
    return _unpacked(packed)


def _find(volume: Volume, key: str) -> Path:
    """The file of this name inside the volume's folder, whether it is there or not."""
    folder = volume.location.folder
    names = key.split("/")
    scales = [str(scale["key"]).split("/") for scale in volume.info["scales"]]
    known = key in _TOP_FILES or any(names[: len(scale)] == scale for scale in scales)
    if folder is None or not known or {"", ".", ".."} & set(names) or "\0" in key:
        raise NotFound(f"There is no file '{key}' in this volume, or not on this server.")
    file = folder / key
    # a link may lead anywhere
    if not file.parent.resolve().is_relative_to(folder.resolve()) or file.is_symlink():
        raise NotFound(f"There is no file '{key}' in this volume.")
    return file


def _unpacked(packed: Path) -> Response:
    """A gzipped file: as it is under Content-Encoding, or its content where that is asked for."""
    facts = packed.stat()
    tag = f"{facts.st_mtime_ns:x}-{facts.st_size:x}"
    if request.accept_encodings.quality("gzip") > 0 and "Range" not in request.headers:
        answer = send_file(
            packed,
            mimetype=BINARY,
            conditional=True,
            etag=f"{tag}-gzip",
        )
        answer.headers["Content-Encoding"] = "gzip"
    else:
        answer = send_file(
            BytesIO(gzip.decompress(packed.read_bytes())),
            mimetype=BINARY,
            conditional=True,
            etag=tag,
            last_modified=facts.st_mtime,
        )
    answer.vary.add("Accept-Encoding")
    return _private(answer)


def _private(answer: Response) -> Response:
    """To be kept by who asked, and by no proxy for others."""
    answer.headers["Cache-Control"] = f"private, max-age={_KEEP_S}"
    answer.headers.pop("Date", None)  # the server says it; some readers choke on two
    return answer
