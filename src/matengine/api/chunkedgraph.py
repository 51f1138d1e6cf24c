"""The embedded chunkedgraph as PyChunkedGraph's clients know it.

Times follow the half-open rule (a root is alive at t when created <= t < expired), except that
delta_roots takes both ends of its range in, as PyChunkedGraph does.
"""

import re
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.graphs import Source, open_graph
from matengine.api.wire import (
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
from matengine.errors import Invalid, NotFound
from matengine.segmentation.chunkedgraph.ids import (
    DEFAULT_N_LAYERS,
    SUPERVOXEL_LAYER,
    chunk_of,
    is_supervoxel,
    layer_of,
)
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.segmentation.chunkedgraph.protocol import Ids
from matengine.times import now, to_ms

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

    node: int


class At(BaseModel):
    """A moment, in seconds since 1970; now where it is left out."""

    timestamp: str | None = None


class AtLayer(At):
    """A moment, and the layer at which to stop."""

    stop_layer: int | None = None


class InBounds(BaseModel):
    """A box in voxels, x0-x1_y0-y1_z0-z1, widened to whole chunks; a layer to stop at."""

    bounds: str | None = None
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


@api.post(f"{TABLE}/roots_binary", summary="The root of each supervoxel (raw 64-bit ids)")
def roots_binary(path: Table, query: AtLayer) -> Response:
    with open_graph(path.table) as (graph, _):
        return reply_binary(_roots(graph, ids_in_body(), query.stop_layer))


@api.post(f"{TABLE}/roots", summary="The root of each supervoxel (JSON)")
def roots(path: Table, query: AtLayer) -> Response:
    ids = ids_in(json_field("node_ids"))
    with open_graph(path.table) as (graph, _):
        return reply({"root_ids": ids_out(_roots(graph, ids, query.stop_layer))})


@api.get(f"{TABLE}/node/<int:node>/root", summary="The root of one supervoxel")
def root(path: NodeOf, query: AtLayer) -> Response:
    with open_graph(path.table) as (graph, _):
        (found,) = _roots(graph, ids_in([path.node]), query.stop_layer).tolist()
    if not found:
        raise NotFound(f"Node {path.node} has no root at that time.")
    return reply({"root_id": id_out(found)})


@api.get(f"{TABLE}/node/<int:node>/leaves", summary="The supervoxels of a root")
def leaves(path: NodeOf, query: InBounds) -> Response:
    """Where a client asks for nodes of a layer between, it gets supervoxels too."""
    with open_graph(path.table) as (graph, source):
        found = _leaves(graph, path.node)
        if query.bounds:
            found = _in_bounds(found, query.bounds, graph, source)
    return reply({"leaf_ids": ids_out(found)})


@api.post(f"{TABLE}/node/leaves_many", summary="The supervoxels of several roots")
def leaves_many(path: Table) -> Response:
    nodes = ids_in(json_field("node_ids")).tolist()
    with open_graph(path.table) as (graph, _):
        return reply({str(node): ids_out(_leaves(graph, node)) for node in nodes})


@api.get(f"{TABLE}/node/<int:node>/children", summary="The nodes right below a node")
def children(path: NodeOf) -> Response:
    with open_graph(path.table) as (graph, _):
        if is_supervoxel(path.node).all():
            return reply({"children_ids": []})
        return reply({"children_ids": ids_out(graph.leaves(path.node))})


@api.post(f"{TABLE}/is_latest_roots", summary="Whether each root is alive at a time")
def is_latest_roots(path: Table, query: At) -> Response:
    ids = ids_in(json_field("node_ids"))
    at = time_in("alive_at") or time_or_now("timestamp")
    with open_graph(path.table) as (graph, _):
        return reply({"is_latest": graph.is_latest(ids, at).tolist()})


@api.post(f"{TABLE}/root_timestamps", summary="When each root was made, or was last the latest")
def root_timestamps(path: Table, query: At) -> Response:
    ids = ids_in(json_field("node_ids"))
    at = time_or_now("timestamp")
    with open_graph(path.table) as (graph, _):
        times = graph.root_timestamps(ids).tolist()
        if flag("latest"):
            times = _last_alive(graph, ids, at)
    return reply({"timestamp": [ms / 1000 for ms in times]})


@api.get(f"{TABLE}/past_id_mapping", summary="What roots were at an earlier time")
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


@api.post(f"{TABLE}/lineage_graph_multiple", summary="How roots came from each other")
def lineage_graph_multiple(path: Table, query: Between) -> Response:
    ids = ids_in(json_field("root_ids"))
    past, future = time_in("timestamp_past"), time_in("timestamp_future")
    with open_graph(path.table) as (graph, _):
        lineage = graph.lineage(ids, past, future)
    nodes = []
    for node, facts in lineage.nodes.items():
        entry: dict[str, Any] = {"id": id_out(node), "timestamp": facts.created_ms / 1000}
        if facts.operation_id is not None:
            entry["operation_id"] = facts.operation_id
        nodes.append(entry)
    links = [{"source": id_out(a), "target": id_out(b)} for a, b in lineage.links]
    return reply(
        {"directed": True, "multigraph": False, "graph": {}, "nodes": nodes, "links": links}
    )


@api.get(f"{TABLE}/valid_nodes", summary="Which of some ids are nodes of the graph")
def valid_nodes(path: Table) -> Response:
    ids = ids_in(json_field("node_ids"))
    end = time_or_now("end_timestamp")
    with open_graph(path.table) as (graph, _):
        present = (graph.roots(ids, end) != 0) | graph.is_latest(ids, end)
        found = [*ids[present].tolist(), *_made_until(graph, np.unique(ids[~present]), to_ms(end))]
    return reply({"valid_roots": ids_out(sorted(found))})


@api.post(f"{TABLE}/minimal_covering_nodes", summary="The fewest nodes that hold supervoxels")
def minimal_covering_nodes(path: Table) -> Response:
    """Of now: a root where all of its supervoxels are among them, else these themselves."""
    ids = np.unique(ids_in(json_field("node_ids")))
    with open_graph(path.table) as (graph, _):
        roots = graph.roots(ids, now())
        whole = [
            root for root in np.unique(roots[roots != 0]) if np.isin(graph.leaves(root), ids).all()
        ]
    nodes = np.concatenate([np.array(whole, np.int64), ids[~np.isin(roots, whole)]])
    return reply_binary(nodes) if flag("as_array") else reply({"node_ids": ids_out(nodes)})


@api.get(f"{TABLE}/oldest_timestamp", summary="When the graph began")
def oldest_timestamp(path: Table) -> Response:
    with open_graph(path.table) as (graph, _):
        start = graph.oldest_timestamp()
    return reply({"iso": start.isoformat(sep=" ", timespec="microseconds")})


def _roots(graph: LocalGraph, ids: Ids, stop_layer: int | None) -> Ids:
    """Roots at ?timestamp; ids that are at the layer to stop at, or above, as they are."""
    top = graph.n_layers or DEFAULT_N_LAYERS
    if stop_layer is not None and SUPERVOXEL_LAYER < stop_layer < top:
        raise Invalid(
            "This chunkedgraph keeps no nodes between supervoxels and roots.",
            f"Leave stop_layer out, or stop at {SUPERVOXEL_LAYER} or {top}.",
        )
    found = graph.roots(ids, time_or_now("timestamp"))
    there = layer_of(ids) >= (stop_layer or top)
    found[there] = ids[there]
    return found


def _leaves(graph: LocalGraph, node: int) -> Ids:
    itself = np.array([node], np.int64)
    return itself if is_supervoxel(itself).all() else graph.leaves(node)


def _in_bounds(ids: Ids, bounds: str, graph: LocalGraph, source: Source) -> Ids:
    """The supervoxels in chunks that touch `bounds`: x0-x1_y0-y1_z0-z1 in voxels."""
    ends = re.fullmatch(r"(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)", bounds)
    if ends is None:
        raise Invalid(f"'{bounds}' are no bounds.", "Write them as x0-x1_y0-y1_z0-z1 in voxels.")
    if source.chunk_size is None or not len(ids):
        raise Invalid(f"The chunkedgraph '{source.name}' has no chunks in space.")
    box = np.array(ends.groups(), np.int64).reshape(3, 2).T
    box -= np.array(source.open_volume().scale.voxel_offset)
    size = np.array(source.chunk_size)
    low, high = box[0] // size, -(-box[1] // size)
    chunk = chunk_of(ids, graph.n_layers or DEFAULT_N_LAYERS)
    inside: Ids = ids[((chunk >= low) & (chunk < high)).all(axis=1)]
    return inside


def _last_alive(graph: LocalGraph, ids: Ids, at: datetime) -> list[int]:
    """For each root the time `at` in ms, or when it ended before that."""
    lineage = graph.lineage(ids, at, at)
    ended: dict[int, int] = {}
    for former, new in lineage.links:
        ended[former] = lineage.nodes[new].created_ms
    return [min(ended.get(i, to_ms(at)), to_ms(at)) for i in ids.tolist()]


def _made_until(graph: LocalGraph, ids: Ids, end_ms: int) -> list[int]:
    """Those of the ids that are roots made until a time, found by halving."""
    if not len(ids):
        return []
    try:
        made: list[int] = ids[graph.root_timestamps(ids) <= end_ms].tolist()
        return made
    except NotFound:
        if len(ids) == 1:
            return []
    middle = len(ids) // 2
    return _made_until(graph, ids[:middle], end_ms) + _made_until(graph, ids[middle:], end_ms)
