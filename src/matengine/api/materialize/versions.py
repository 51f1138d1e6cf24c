"""The versions of a datastack.

A client takes the largest number listed for its default, so the list of a datastack without any
version is not empty: it holds 0, the present.
"""

from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel

from matengine.api.materialize.paths import (
    DATASTACK,
    LIVE,
    PREFIX,
    TAG,
    VERSION,
    DatastackPath,
    VersionPath,
    open_for_viewing,
    reference_of,
    wire_time,
)
from matengine.api.wire import reply
from matengine.engine.versions import catalogue, labels
from matengine.engine.versions.catalogue import Version
from matengine.storage.connections import Connection
from matengine.times import floor_ms, now

api = APIBlueprint("materialize_versions", __name__, url_prefix=PREFIX, abp_tags=[TAG])


class Expired(BaseModel):
    """expired: also those that expired, failed, or are still being made."""

    expired: bool = False


@api.get(f"{DATASTACK}/versions", summary="The numbers of the versions")
def list_versions(path: DatastackPath, query: Expired) -> Response:
    """Oldest first; `[0]`, the present, where there is none yet."""
    with open_for_viewing(path.datastack) as (conn, _):
        found = _versions(conn, path.datastack, query.expired)
    return reply([v.version for v in found] or [LIVE])


@api.get(f"{DATASTACK}/metadata", summary="What is known of the versions")
def list_metadata(path: DatastackPath, query: Expired) -> Response:
    with open_for_viewing(path.datastack) as (conn, _):
        found = _versions(conn, path.datastack, query.expired)
    return reply([_wire(path.datastack, v) for v in found] or [_live(path.datastack)])


@api.get(VERSION, summary="What is known of one version")
def get_version(path: VersionPath) -> Response:
    """Whatever its status."""
    with open_for_viewing(path.datastack) as (conn, _):
        reference = reference_of(path.version)
        if reference == LIVE:
            return reply(_live(path.datastack))
        return reply(_wire(path.datastack, labels.look_up(conn, path.datastack, reference)))


def _versions(conn: Connection, datastack: str, expired: bool) -> list[Version]:
    known = catalogue.versions(conn, datastack)
    return [v for v in known if expired or v.status == "AVAILABLE"]


def _wire(datastack: str, version: Version) -> dict[str, Any]:
    return {
        "id": version.version,
        "datastack": datastack,
        "version": version.version,
        # one that never came to be has the time at which it was begun
        "time_stamp": wire_time(version.time or version.created),
        "expires_on": wire_time(version.expires_on),
        "valid": version.status == "AVAILABLE",
        "status": version.status,
        "is_merged": True,
        "parent_version": None,
        "name": version.name,
        "note": version.note,
        "pinned": version.pinned,
    }


def _live(datastack: str) -> dict[str, Any]:
    """The present in the form of a version."""
    moment = floor_ms(now())
    version = Version(LIVE, 0, "AVAILABLE", moment, moment, None, False, "the present", None)
    return _wire(datastack, version)
