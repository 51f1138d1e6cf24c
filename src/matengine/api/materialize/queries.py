"""Queries of tables: in a version, joined, or as of a time."""

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from matengine.api.description import JSON, gives, takes
from matengine.api.materialize.answers import respond
from matengine.api.materialize.arrow_out import CONTENT_TYPE
from matengine.api.materialize.bodies import (
    Arguments,
    JoinBody,
    LiveBody,
    TableBody,
    read_body,
)
from matengine.api.materialize.paths import (
    DATASTACK,
    LIVE,
    PREFIX,
    TABLE,
    TAG,
    VERSION,
    DatastackPath,
    TablePath,
    VersionPath,
    reference_of,
)
from matengine.engine.query import moments
from matengine.engine.query.model import At, Axes, Moment
from matengine.times import now, parse_time

ROWS = gives(CONTENT_TYPE, JSON, others=(304,))

api = APIBlueprint("materialize_queries", __name__, url_prefix=PREFIX, abp_tags=[TAG])


@api.post(
    f"{TABLE}/query",
    summary="Rows of a table",
    openapi_extensions=takes(TableBody),
    responses=ROWS,
)
def query_table(path: TablePath, query: Arguments) -> Response:
    """An Arrow IPC stream of media type `data.arrow`, or JSON; always positions as x, y and z."""
    body = read_body(TableBody)
    asked = body.question(path.table, (), query)
    return respond(path.datastack, on_axes(moment_of(path), body), asked, query)


@api.post(
    f"{VERSION}/query",
    summary="Rows of tables joined",
    openapi_extensions=takes(JoinBody),
    responses=ROWS,
)
def query_join(path: VersionPath, query: Arguments) -> Response:
    """Only rows that have a partner in every table."""
    body = read_body(JoinBody)
    at = on_axes(moment_of(path), body)
    return respond(path.datastack, at, body.query(query), query)


@api.post(
    f"{DATASTACK}/query",
    summary="Rows as of a time",
    openapi_extensions=takes(LiveBody),
    responses=ROWS,
)
def query_live(path: DatastackPath, query: Arguments) -> Response:
    """Root ids in filters must be of that time, unless they are translated or allowed."""
    body = read_body(LiveBody)
    asked = body.query(query)
    moment = now() if body.timestamp == "now" else parse_time(body.timestamp)
    return respond(path.datastack, on_axes(moment, body), asked, query)


def moment_of(path: VersionPath) -> Moment:
    """The moment that a path means."""
    reference = reference_of(path.version)
    return now() if reference == LIVE else reference


def on_axes(at: Moment, body: TableBody) -> At:
    """The moment of a query; of its root ids, a body may want another."""
    if body.segmentation is None:
        return at
    return Axes(at, moments.read(str(body.segmentation)))
