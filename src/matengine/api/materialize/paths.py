"""What the paths of the materialization API name, and the moment that each means."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Literal

from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from matengine.api.auth import current_user
from matengine.api.places import open_datastack
from matengine.engine import access
from matengine.engine.access import User
from matengine.engine.datastacks import Datastack
from matengine.engine.versions import labels
from matengine.engine.versions.catalogue import Version
from matengine.storage.connections import Connection

PREFIX = "/materialize"
API = "/api/<any(v2,v3):api_version>"
DATASTACK = f"{API}/datastack/<string:datastack>"
VERSION = f"{DATASTACK}/version/<string:version>"
TABLE = f"{VERSION}/table/<string:table>"
TAG = Tag(name="materialize", description="Versions of annotation tables, and queries of them")

_NUMBER = re.compile(r"\d{1,18}", re.ASCII)

LIVE = 0
"""The number by which paths mean the present instead of a version."""

# PostgreSQL takes no text with a NUL
Name = Annotated[str, Field(pattern=r"^[^\x00]*$")]


class ApiPath(BaseModel):
    """Either version of this interface: both answer the same."""

    api_version: Literal["v2", "v3"]


class DatastackPath(ApiPath):
    """A datastack."""

    datastack: Name


class VersionPath(DatastackPath):
    """A version of a datastack."""

    version: Name = Field(
        description="A version's number or name, `-1` or `newest`; 0 or `now` is the present"
    )


class TablePath(VersionPath):
    """An annotation table in a version."""

    table: Name


class LiveTablePath(DatastackPath):
    """An annotation table as it is now."""

    table: Name


@contextmanager
def open_for_viewing(
    datastack: str, user: User | None = None
) -> Iterator[tuple[Connection, Datastack]]:
    """A datastack that a user, by default who sent this request, may view, on a connection.

    Raises NotFound and Forbidden.
    """
    with open_datastack(datastack) as (conn, found):
        access.check_datastack(user or current_user(), datastack)
        yield conn, found


def find_version(conn: Connection, datastack: str, given: str) -> Version | None:
    """The version that a path means, if it can be read; None for the present.

    Raises NotFound, or Gone for a version that failed, is still being made, or was collected.
    """
    reference = reference_of(given)
    return None if reference == LIVE else labels.readable(conn, datastack, reference)


def reference_of(given: str) -> labels.Reference:
    """A version in a path, as `labels` takes it; `LIVE` for the present."""
    if given in ("-1", "latest"):
        return labels.NEWEST
    if given in ("now", "live"):
        return LIVE
    return int(given) if _NUMBER.fullmatch(given) else given


def wire_time(time: datetime | None) -> str | None:
    """An aware time as CAVE's clients parse it: UTC without a zone, always six digits."""
    return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%S.%f")
