"""What the routes of the annotation service share: their paths, bodies and who may call them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.auth import current_user
from matengine.api.description import takes
from matengine.api.wire import body
from matengine.engine import access, datastacks
from matengine.engine.annotations import tables
from matengine.engine.annotations.tables import TableMetadata
from matengine.errors import Invalid
from matengine.storage import pools
from matengine.storage.connections import Connection

PREFIX = "/annotation/api/v2/aligned_volume/<string:aligned_volume>/table"
TAG = Tag(name="annotation", description="Annotation tables and their rows")


def takes_object(told: str, **fields: Any) -> dict[str, Any]:
    """A JSON object as the body, all of these fields in it, for `openapi_extensions`."""
    schema = {"type": "object", "description": told, "properties": fields, "required": [*fields]}
    return takes(schema)


class OfVolume(BaseModel):
    """The name of an aligned volume."""

    aligned_volume: str


class OfTable(OfVolume):
    """The name of an annotation table."""

    table: str


@contextmanager
def open_volume(name: str, right: str) -> Iterator[Connection]:
    """An aligned volume of which the user has the right, "view" or "edit".

    The transaction commits with the block. Raises NotFound, Forbidden.
    """
    with pools.connection(name) as conn:
        access.check_aligned_volume(current_user(), name, datastacks.names(conn), right)
        yield conn


@contextmanager
def reading(path: OfTable) -> Iterator[tuple[Connection, TableMetadata]]:
    """A table that the user may read; raises NotFound, Forbidden."""
    with open_volume(path.aligned_volume, "view") as conn:
        metadata = tables.get_metadata(conn, path.table)
        access.check_read(current_user(), metadata)
        yield conn, metadata


@contextmanager
def writing(path: OfTable) -> Iterator[tuple[Connection, TableMetadata]]:
    """A table that the user may write to, if it takes rows; raises NotFound, Forbidden."""
    with open_volume(path.aligned_volume, "edit") as conn:
        metadata = tables.get_metadata(conn, path.table)
        access.check_write(current_user(), metadata)
        yield conn, metadata


def field(name: str) -> Any:
    """One field of the JSON object in the body; raises Invalid where it is missing."""
    content = lenient_json()
    if not isinstance(content, dict) or name not in content:
        raise Invalid(f"The body lacks '{name}'.", f'Send {{"{name}": …}}.')
    return content[name]


def lenient_json() -> Any:
    """The body as JSON in which NaN means null: Python writes so where a dataframe has a gap."""
    content = body()
    try:
        found = json.loads(content, parse_constant=_constant)
        if b"\\u" in content:
            # half a surrogate pair can be written so, and cannot be stored
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except (ValueError, RecursionError):
        raise Invalid("The body is not JSON.") from None


def _constant(name: str) -> None:
    if name != "NaN":
        raise Invalid(f"{name} is no number that can be stored.")


def noticed(answer: Response, metadata: TableMetadata) -> Response:
    """The answer with the owner's notice about the table, which clients show."""
    if metadata.notice_text:
        # headers are lines of Latin letters
        text = " ".join(metadata.notice_text.split()).encode("latin-1", "replace").decode("latin-1")
        answer.headers["Warning"] = f"Table Owner Notice: {text}"
    return answer
