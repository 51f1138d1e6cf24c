"""What differs between versions, whether they are as published, and where things come from."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pyarrow as pa
from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, Field

from matengine.api.auth import current_user
from matengine.api.description import gives
from matengine.api.materialize import arrow_out, limits
from matengine.api.materialize.paths import (
    DATASTACK,
    PREFIX,
    VERSION,
    DatastackPath,
    VersionPath,
    find_version,
    open_for_viewing,
)
from matengine.api.wire import Id, reply
from matengine.engine import access, datastacks
from matengine.engine.annotations import tables
from matengine.engine.query import diff as differences
from matengine.engine.query.row_history import row_history
from matengine.engine.versions.verify import Checked, Tally
from matengine.engine.versions.verify import verify as checked
from matengine.errors import Invalid
from matengine.storage.connections import Connection
from matengine.times import from_ms, parse_time

api = APIBlueprint(
    "materialize_proof",
    __name__,
    url_prefix=PREFIX,
    abp_tags=[Tag(name="proof", description="Differences, fingerprints, histories, lineages")],
)


class Difference(BaseModel):
    """table: an annotation table. old, new: versions by number or name, `newest`, or `now` for
    what is up to date without being a version. root: only rows that show one of these root ids in
    either. follow: also of what these were in the one and became by the other.
    """

    table: str
    old: str
    new: str
    root: list[Id] | None = Field(None)
    follow: bool = False


class RowPath(DatastackPath):
    """A row of an annotation table."""

    table: str
    row: Id


class RootPath(DatastackPath):
    """A root of the datastack's segmentation."""

    root: Id


class Between(BaseModel):
    """How far to go, in ISO 8601; UTC where it has no zone."""

    past: str | None = None
    future: str | None = None


@api.get(
    f"{DATASTACK}/diff",
    summary="The rows that differ between two versions",
    responses=gives(arrow_out.CONTENT_TYPE),
)
def diff(path: DatastackPath, query: Difference) -> Response:
    """An Arrow IPC stream: `id`, `change` (added, removed, changed), old and new supervoxels and
    roots. The cost is what changed, not the size of the table."""
    if query.follow and not query.root:
        raise Invalid("'follow' is for root ids.", "Name some: root=ID.")
    user = current_user()
    with ExitStack() as held:
        with open_for_viewing(path.datastack, user) as (conn, _):
            access.check_read(user, tables.get_metadata(conn, query.table))
            asked = _difference(conn, path.datastack, query)
            reader = held.enter_context(differences.stream(conn, asked))
        limits.bound_sending()
        response = Response(_sent(reader), content_type=arrow_out.CONTENT_TYPE)
        response.call_on_close(held.pop_all().close)
    response.vary.add("Accept-Encoding")
    return response


@api.get(f"{VERSION}/verify", summary="Whether a version is what was published")
def verify(path: VersionPath) -> Response:
    """Its fingerprints computed anew from its rows: reads all of them. Numbers of 64 bits are
    texts."""
    user = current_user()
    with open_for_viewing(path.datastack, user) as (conn, _):
        version = find_version(conn, path.datastack, path.version)
        if version is None:
            raise Invalid("The present has not been published.", "Name a version.")
        found = checked(conn, path.datastack, version.version)
        shown = [
            table
            for table in found
            if access.may_read(user, tables.get_metadata(conn, table.table))
        ]
    return reply(
        {
            "datastack": path.datastack,
            "version": version.version,
            "right": all(table.right for table in found),
            "tables": [_checked(table) for table in shown],
        }
    )


@api.get(f"{DATASTACK}/table/<string:table>/row/<int:row>/history", summary="The life of a row")
def history(path: RowPath) -> Response:
    """The annotations that superseded each other, and what each version showed of this one."""
    user = current_user()
    with open_for_viewing(path.datastack, user) as (conn, _):
        access.check_read(user, tables.get_metadata(conn, path.table))
        return reply(row_history(conn, path.datastack, path.table, path.row))


@api.get(f"{DATASTACK}/root/<int:root>/lineage", summary="What a root came from and became")
def lineage(path: RootPath, query: Between) -> Response:
    """`ended_by` is the operation that ended a root, null while it is alive."""
    past, future = (None if t is None else parse_time(t) for t in (query.past, query.future))
    with open_for_viewing(path.datastack) as (conn, datastack):
        graph = datastacks.open_graph(conn, datastack.segmentation)
        found = graph.lineage([path.root], past, future)
    by_time = sorted(found.nodes.items(), key=lambda node: (node[1].created_ms, node[0]))
    return reply(
        {
            "root_id": path.root,
            "roots": [
                {
                    "root_id": root,
                    "created": from_ms(node.created_ms),
                    "ended_by": node.operation_id,
                }
                for root, node in by_time
            ],
            "links": [{"former": former, "new": new} for former, new in found.links],
        }
    )


def _difference(conn: Connection, datastack: str, asked: Difference) -> differences.Difference:
    old, new = (_number(conn, datastack, text) for text in (asked.old, asked.new))
    found = differences.between(conn, datastack, asked.table, old, new, asked.root)
    if asked.root and asked.follow:
        family = differences.related(conn, datastack, asked.root, found.old, found.new)
        return replace(found, roots=tuple(family))
    return found


def _number(conn: Connection, datastack: str, given: str) -> int | None:
    """The number of a version; None for the newest epoch."""
    version = None if given == "now" else find_version(conn, datastack, given)
    return None if version is None else version.version


def _sent(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    rows = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in reader:
            rows += batch.num_rows
            yield batch

    return arrow_out.write(
        counted(),
        reader.schema,
        codec=arrow_out.codec_of(request.headers),
        told={},
        end=lambda: {"rows": rows},
    )


def _checked(table: Checked) -> dict[str, Any]:
    return {
        "table": table.table,
        "right": table.right,
        "recorded": _tally(table.recorded),
        "found": _tally(table.found),
        "misplaced": table.misplaced,
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "rows": tally.row_count,
        "gaps": tally.gaps,
        "fingerprint": str(tally.fingerprint),
    }
