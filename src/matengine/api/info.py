"""The info service: which datastacks there are, and what clients must know of each.

Addresses of this server are built from the name that the request calls it by.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.auth import current_user
from matengine.api.description import takes
from matengine.api.places import datastack_names, open_datastack
from matengine.api.wire import json_body, reply
from matengine.engine import access, datastacks, info
from matengine.engine.datastacks import Datastack
from matengine.engine.info import AlignedVolume, Info
from matengine.errors import Invalid, NotFound, did_you_mean
from matengine.storage import connections, pools
from matengine.storage.connections import Connection

# clients choose what they may ask by this version of the info service
VERSION = "4.3.3"

api = APIBlueprint(
    "info",
    __name__,
    url_prefix="/info",
    abp_tags=[Tag(name="info", description="Datastacks and where things are")],
)


class OfDatastack(BaseModel):
    """The name of a datastack."""

    datastack: str


class OfVolume(BaseModel):
    """The name of an aligned volume."""

    aligned_volume: str


class OfNumber(BaseModel):
    """The id of an aligned volume."""

    number: int


class Source(BaseModel):
    """The name of an image source; the usual one where it is left out."""

    image_source_name: str | None = None


@api.get("/version", summary="The version of the info service whose interface this is")
def interface_version() -> Response:
    return reply(VERSION)


@api.get("/api/versions", summary="The versions of this interface")
def interface_versions() -> Response:
    return reply([2])


@api.get("/health", summary="The service answers")
def health() -> Response:
    return reply({"status": "alive"})


@api.get("/api/v2/datastacks", summary="The names of all datastacks")
def all_datastacks() -> Response:
    return reply(list(datastack_names()))


@api.get("/api/v2/datastack/full/<string:datastack>", summary="All that is told of a datastack")
@api.get("/api/v2/datastack/<string:datastack>", summary="All that is told of a datastack")
def record(path: OfDatastack, query: Source) -> Response:
    with _viewed(path.datastack) as (conn, datastack, told):
        return reply(_record(conn, datastack, told, query.image_source_name))


@api.put(
    "/api/v2/datastack/<string:datastack>",
    summary="Change what is told of a datastack",
    openapi_extensions=takes({"type": "object", "description": "What is to be different"}),
)
def change(path: OfDatastack) -> Response:
    """The body: what is to be different, such as {"soma_table": "nuclei"}; null takes it away."""
    changed = json_body()
    if not isinstance(changed, dict):
        raise Invalid('The body must be an object, such as {"soma_table": "nuclei"}.')
    access.check_admin(current_user())
    with open_datastack(path.datastack) as (conn, datastack):
        told = info.change(conn, datastack.name, changed)
        return reply(_record(conn, datastack, told, None))


@api.get("/api/v2/datastack/<string:datastack>/image_sources", summary="Its sources of images")
def image_sources(path: OfDatastack) -> Response:
    with _viewed(path.datastack) as (conn, _, told):
        volume = info.aligned_volume(conn)
        return reply([_volume_record(volume, told, name) for name in told.image_sources])


@api.get("/api/v2/aligned_volume", summary="The names of all aligned volumes")
def all_volumes() -> Response:
    return reply(connections.aligned_volumes())


@api.get("/api/v2/aligned_volume/<string:aligned_volume>", summary="An aligned volume")
def volume_record(path: OfVolume) -> Response:
    with _viewed_volume(path.aligned_volume) as conn:
        return reply(_volume_record(info.aligned_volume(conn), _first_told(conn), None))


@api.get("/api/v2/aligned_volume/id/<int:number>", summary="An aligned volume by its id")
def volume_by_number(path: OfNumber) -> Response:
    with _viewed_volume(info.name_of(path.number)) as conn:
        return reply(_volume_record(info.aligned_volume(conn), _first_told(conn), None))


@api.get(
    "/api/v2/aligned_volume/<string:aligned_volume>/datastacks",
    summary="The names of the datastacks of an aligned volume",
)
def datastacks_of_volume(path: OfVolume) -> Response:
    with _viewed_volume(path.aligned_volume) as conn:
        return reply(datastacks.names(conn))


@contextmanager
def _viewed(name: str) -> Iterator[tuple[Connection, Datastack, Info]]:
    """A datastack that the user may see, and what is told of it; raises NotFound, Forbidden."""
    access.check_datastack(current_user(), name)
    with open_datastack(name) as (conn, datastack):
        yield conn, datastack, info.get(conn, name)


@contextmanager
def _viewed_volume(name: str) -> Iterator[Connection]:
    """An aligned volume that the user may see; raises NotFound, Forbidden."""
    with pools.connection(name) as conn:
        access.check_aligned_volume(current_user(), name, datastacks.names(conn))
        yield conn


def _first_told(conn: Connection) -> Info:
    names = datastacks.names(conn)
    return info.get(conn, names[0]) if names else Info()


def _record(
    conn: Connection, datastack: Datastack, told: Info, image_source: str | None
) -> dict[str, Any]:
    server = request.host_url.rstrip("/")
    resolution = told.viewer_resolution_nm or datastack.segmentation.resolution_nm
    x, y, z = resolution or (None, None, None)
    volume = _volume_record(info.aligned_volume(conn), told, image_source)
    return {
        "aligned_volume": volume,
        "description": datastack.description,
        "local_server": server,
        "segmentation_source": info.segmentation_source(datastack, server),
        "skeleton_source": told.skeleton_source,
        "analysis_database": told.analysis_database,
        "viewer_site": told.viewer_site,
        "viewer_resolution_x": x,
        "viewer_resolution_y": y,
        "viewer_resolution_z": z,
        **{name: getattr(told, name) for name in info.TABLES},
    }


def _volume_record(volume: AlignedVolume, told: Info, image_source: str | None) -> dict[str, Any]:
    """An aligned volume with one image source: the one named, or the usual one."""
    sources = told.image_sources
    if image_source is not None and image_source not in sources:
        hint = did_you_mean(image_source, sources)
        raise NotFound(f"There is no image source '{image_source}'.", hint)
    name = image_source or next(iter(sources), None)
    return {
        "id": volume.number,
        "name": volume.name if image_source is None else image_source,
        "display_name": told.display_name,
        "description": volume.description,
        "image_source": sources[name] if name is not None else None,
    }
