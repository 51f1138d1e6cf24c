"""The embedded chunkedgraph as PyChunkedGraph's clients know it.

Times follow the half-open rule (a root is alive at t when created <= t < expired), except that
delta_roots takes both ends of its range in, as PyChunkedGraph does.
"""

from datetime import datetime, timedelta
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.description import BINARY, gives
from matengine.api.graph_bodies import NODE_IDS, RAW_IDS, ROOT_IDS
from matengine.api.graphs import open_graph
from matengine.api.wire import (
    Id,
    flag,
    id_out,
    ids_in,
    ids_in_body,
    ids_out,
    json_field,
    reply,
    reply_binary,
    time_in,
    time_or_now,
    time_required,
)
from matengine.errors import NotFound
from matengine.segmentation.chunkedgraph.local import LocalGraph, nodes
from matengine.segmentation.chunkedgraph.protocol import Ids
from matengine.times import to_ms

# clients choose what they may ask by this version of PyChunkedGraph
VERSION = "2.21.1"
_MS = timedelta(milliseconds=1)

api = APIBlueprint(
    "chunkedgraph",
    __name__,
    url_prefix="/segmentation",
    abp_tags=[Tag(name="chunkedgraph", description="Supervoxels and roots through time")],
)
TABLE = "/api/v1/table/<string:table>"


class Table(BaseModel):
    """The name of a chunkedgraph."""

    table: str


class NodeOf(Table):
    """A node of a chunkedgraph."""

    node: Id


class At(BaseModel):
    """A moment, in seconds since 1970; now where it is left out."""

    timestamp: str | None = None


class AtLayer(At):
    """A moment, and the layer at which to stop."""

    stop_layer: int | None = None


class Between(BaseModel):
    """A range of time, in seconds since 1970."""

    timestamp_past: str | None = None
    timestamp_future: str | None = None


@api.get("/api/versions", summary="The versions of this interface")
def interface_versions() -> Response:
    return reply([0, 1])


@api.get("/api/version", summary="The version of PyChunkedGraph whose interface this is")
def interface_version() -> Response:
    return reply(VERSION)


@api.post(
    f"{TABLE}/roots_binary",
    summary="The root of each node (raw 64-bit ids)",
    openapi_extensions=RAW_IDS,
    responses=gives(BINARY),
)
def roots_binary(path: Table, query: AtLayer) -> Response:
    with open_graph(path.table) as (graph, _):
        at = time_or_now("timestamp")
        return reply_binary(nodes.climb(graph, ids_in_body(), at, query.stop_layer))


@api.post(f"{TABLE}/roots", summary="The root of each node (JSON)", openapi_extensions=NODE_IDS)
def roots(path: Table, query: AtLayer) -> Response:
    ids = ids_in(json_field("node_ids"))
    with open_graph(path.table) as (graph, _):
        found = nodes.climb(graph, ids, time_or_now("timestamp"), query.stop_layer)
    return reply({"root_ids": ids_out(found)})


@api.get(f"{TABLE}/node/<int:node>/root", summary="The root of one node")
def root(path: NodeOf, query: AtLayer) -> Response:
    with open_graph(path.table) as (graph, _):
        ids = ids_in([path.node])
        (found,) = nodes.climb(graph, ids, time_or_now("timestamp"), query.stop_layer).tolist()
    if not found:
        raise NotFound(f"Node {path.node} has no root at that time.")
    return reply({"root_id": id_out(found)})


@api.post(
    f"{TABLE}/is_latest_roots",
    summary="Whether each root is alive at a time",
    openapi_extensions=NODE_IDS,
)
def is_latest_roots(path: Table, query: At) -> Response:
    ids = ids_in(json_field("node_ids"))
    at = time_in("alive_at") or time_or_now("timestamp")
    with open_graph(path.table) as (graph, _):
        return reply({"is_latest": graph.is_latest(ids, at).tolist()})


@api.post(
    f"{TABLE}/root_timestamps",
    summary="When each root was made, or was last the latest",
    openapi_extensions=NODE_IDS,
)
def root_timestamps(path: Table, query: At) -> Response:
    ids = ids_in(json_field("node_ids"))
    at = time_or_now("timestamp")
    with open_graph(path.table) as (graph, _):
        times = graph.root_timestamps(ids).tolist()
        if flag("latest"):
            times = _last_alive(graph, ids, at)
    return reply({"timestamp": [ms / 1000 for ms in times]})


@api.get(
    f"{TABLE}/past_id_mapping",
    summary="What roots were at an earlier time",
    openapi_extensions=ROOT_IDS,
)
def past_id_mapping(path: Table, query: Between) -> Response:
    ids = ids_in(json_field("root_ids"))
    with open_graph(path.table) as (graph, _):
        past = time_in("timestamp_past") or graph.oldest_timestamp()
        future = time_or_now("timestamp_future")
        former = graph.past_ids(ids, past, future)
        every = sorted({i for found in former.values() for i in found})
        later = graph.latest_ids(every, future)
    return reply(
        {
            "past_id_map": {str(i): ids_out(found) for i, found in former.items()},
            "future_id_map": {
                str(i): id_out(found[0]) for i, found in later.items() if len(found) == 1
            },
        }
    )


@api.get(f"{TABLE}/delta_roots", summary="The roots ended and made in a range of time")
def delta_roots(path: Table, query: Between) -> Response:
    past, future = time_required("timestamp_past"), time_or_now("timestamp_future")
    with open_graph(path.table) as (graph, _):
        delta = graph.delta_roots(past - _MS, future)
    return reply({"old_roots": ids_out(delta.old_roots), "new_roots": ids_out(delta.new_roots)})


@api.post(
    f"{TABLE}/lineage_graph_multiple",
    summary="How roots came from each other",
    openapi_extensions=ROOT_IDS,
)
def lineage_graph_multiple(path: Table, query: Between) -> Response:
    ids = ids_in(json_field("root_ids"))
    past, future = time_in("timestamp_past"), time_in("timestamp_future")
    with open_graph(path.table) as (graph, _):
        lineage = graph.lineage(ids, past, future)
    found = []
    for node, facts in lineage.nodes.items():
        entry: dict[str, Any] = {"id": id_out(node), "timestamp": facts.created_ms / 1000}
        if facts.operation_id is not None:
            entry["operation_id"] = facts.operation_id
        found.append(entry)
    links = [{"source": id_out(a), "target": id_out(b)} for a, b in lineage.links]
    return reply(
        {"directed": True, "multigraph": False, "graph": {}, "nodes": found, "links": links}
    )


@api.get(f"{TABLE}/oldest_timestamp", summary="When the graph began")
def oldest_timestamp(path: Table) -> Response:
    with open_graph(path.table) as (graph, _):
        start = graph.oldest_timestamp()
    return reply({"iso": start.isoformat(sep=" ", timespec="microseconds")})


def _last_alive(graph: LocalGraph, ids: Ids, at: datetime) -> list[int]:
    """For each root the time `at` in ms, or when it ended before that."""
    lineage = graph.lineage(ids, at, at)
    ended: dict[int, int] = {}
    for former, new in lineage.links:
        ended[former] = lineage.nodes[new].created_ms
    return [min(ended.get(i, to_ms(at)), to_ms(at)) for i in ids.tolist()]
