"""The nodes of the embedded chunkedgraph: what is above, below and beside each of them."""

import re
from typing import Any

import numpy as np
from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.chunkedgraph import TABLE, NodeOf, Table
from matengine.api.chunkedgraph_edits import points_in, supervoxels_of
from matengine.api.description import BINARY, JSON, gives
from matengine.api.graph_bodies import NODE_IDS, TWO_POINTS
from matengine.api.graphs import Source, open_graph
from matengine.api.wire import (
    flag,
    ids_in,
    ids_out,
    json_body,
    json_field,
    reply,
    reply_binary,
    time_or_now,
)
from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.ids import (
    DEFAULT_N_LAYERS,
    SUPERVOXEL_LAYER,
    chunk_of,
)
from matengine.segmentation.chunkedgraph.local import LocalGraph, nodes
from matengine.segmentation.chunkedgraph.local.level2 import Parts
from matengine.segmentation.chunkedgraph.protocol import Ids
from matengine.times import now

# JSON has no infinity: an edge that no cut may take has this affinity
_UNCUTTABLE = float(np.finfo(np.float32).max)

api = APIBlueprint(
    "chunkedgraph_nodes",
    __name__,
    url_prefix="/segmentation",
    abp_tags=[Tag(name="chunkedgraph nodes", description="Supervoxels, level-2 nodes and roots")],
)


class InBounds(BaseModel):
    """A box in voxels, x0-x1_y0-y1_z0-z1, widened to whole chunks."""

    bounds: str | None = None


class AtLayer(InBounds):
    """A box, and the layer of the nodes that are wanted: 1 for supervoxels."""

    stop_layer: int = SUPERVOXEL_LAYER


@api.get(f"{TABLE}/node/<int:node>/leaves", summary="The supervoxels of a node")
def leaves(path: NodeOf, query: AtLayer) -> Response:
    """With ?stop_layer=2 its level-2 nodes."""
    with open_graph(path.table) as (graph, source):
        found = nodes.leaves(graph, path.node, query.stop_layer)
        return reply({"leaf_ids": ids_out(_within(found, query.bounds, graph, source))})


@api.post(
    f"{TABLE}/node/leaves_many",
    summary="The supervoxels of several nodes",
    openapi_extensions=NODE_IDS,
)
def leaves_many(path: Table, query: AtLayer) -> Response:
    asked = ids_in(json_field("node_ids")).tolist()
    with open_graph(path.table) as (graph, source):
        found = {node: nodes.leaves(graph, node, query.stop_layer) for node in asked}
        return reply(
            {str(n): ids_out(_within(i, query.bounds, graph, source)) for n, i in found.items()}
        )


@api.get(f"{TABLE}/node/<int:node>/children", summary="The nodes right below a node")
def children(path: NodeOf) -> Response:
    with open_graph(path.table) as (graph, _):
        return reply({"children_ids": ids_out(nodes.children(graph, path.node))})


@api.get(
    f"{TABLE}/valid_nodes",
    summary="Which of some ids are nodes of the graph",
    openapi_extensions=NODE_IDS,
)
def valid_nodes(path: Table) -> Response:
    ids = ids_in(json_field("node_ids"))
    with open_graph(path.table) as (graph, _):
        found = nodes.existing(graph, ids, time_or_now("end_timestamp"))
    return reply({"valid_roots": ids_out(found)})


@api.post(
    f"{TABLE}/minimal_covering_nodes",
    summary="The fewest nodes with the same supervoxels",
    openapi_extensions=NODE_IDS,
    responses=gives(JSON, BINARY),
)
def minimal_covering_nodes(path: Table) -> Response:
    """Of now: roots and level-2 nodes all of whose supervoxels are asked for, else these."""
    ids = ids_in(json_field("node_ids"))
    with open_graph(path.table) as (graph, _):
        found = nodes.cover(graph, ids, now())
    return reply_binary(found) if flag("as_array") else reply({"node_ids": ids_out(found)})


@api.get(f"{TABLE}/node/<int:node>/lvl2_graph", summary="Which level-2 nodes are neighbours")
def level2_graph(path: NodeOf, query: InBounds) -> Response:
    with open_graph(path.table) as (graph, source):
        pairs = _parts(graph, path.node).node_edges()
        if query.bounds:
            inside = _within(np.unique(pairs), query.bounds, graph, source)
            pairs = pairs[np.isin(pairs, inside).all(axis=1)]
    answer = reply({"edge_graph": [ids_out(pair) for pair in pairs]})
    answer.headers["Used-Bounds"] = str(bool(query.bounds))
    return answer


@api.get(f"{TABLE}/node/<int:node>/subgraph", summary="The edges between an object's supervoxels")
def subgraph(path: NodeOf, query: InBounds) -> Response:
    """`nodes` are pairs of supervoxels; without a known affinity or area: null and 0."""
    with open_graph(path.table) as (graph, source):
        pairs, affinity, area = graph.edges(path.node)
        if query.bounds:
            inside = _within(np.unique(pairs), query.bounds, graph, source)
            kept = np.isin(pairs, inside).all(axis=1)
            pairs, affinity, area = pairs[kept], affinity[kept], area[kept]
    return reply(
        {
            "nodes": [ids_out(pair) for pair in pairs],
            "affinities": np.minimum(affinity, _UNCUTTABLE).astype(np.float64),
            "areas": np.maximum(area, 0),
        }
    )


@api.post(
    f"{TABLE}/graph/find_path",
    summary="Level-2 nodes from one point of an object to another",
    openapi_extensions=TWO_POINTS,
)
def find_path(path: Table) -> Response:
    """The body: [[root, x, y, z], [root, x, y, z]], x, y, z in nm. Over the fewest nodes.

    `centroids_list` are the middles of their chunks in nm.
    """
    points = points_in(json_body())
    if len(points) != 2:
        raise Invalid("A path has two ends.", "Send [[id, x, y, z], [id, x, y, z]].")
    with open_graph(path.table) as (graph, source):
        ends = np.array(supervoxels_of(points, graph, source), np.int64)
        roots = np.unique(graph.roots(ends, now()))
        if len(roots) > 1 or not roots[0]:
            raise Invalid("The two ends of a path lie in one object of now.")
        parts = _parts(graph, int(roots[0]))
        first, last = parts.nodes[np.searchsorted(parts.supervoxels, ends)].tolist()
        found = np.array(parts.path(first, last), np.int64)
        middles = _middles_nm(found, graph, source)
    return reply({"centroids_list": middles, "l2_path": ids_out(found), "failed_l2_ids": []})


def _parts(graph: LocalGraph, root: int) -> Parts:
    return graph.level2().of_root(root, graph.leaves(root))


def _within(ids: Ids, bounds: str | None, graph: LocalGraph, source: Source) -> Ids:
    """Those of the nodes (of one layer) in chunks that touch x0-x1_y0-y1_z0-z1 in voxels."""
    if not bounds or not len(ids):
        return ids
    # at most 18 digits, so that they fit
    number = r"(-?\d{1,18})"
    ends = re.fullmatch("_".join([f"{number}-{number}"] * 3), bounds, re.ASCII)
    if ends is None:
        raise Invalid(f"'{bounds}' are no bounds.", "Write them as x0-x1_y0-y1_z0-z1 in voxels.")
    offset, size = _chunks(source)
    box = np.array(ends.groups(), np.int64).reshape(3, 2).T - offset
    low, high = box[0] // size, -(-box[1] // size)
    chunk = chunk_of(ids, graph.n_layers or DEFAULT_N_LAYERS)
    inside: Ids = ids[((chunk >= low) & (chunk < high)).all(axis=1)]
    return inside


def _middles_nm(ids: Ids, graph: LocalGraph, source: Source) -> Any:
    """The middle of each node's chunk, shape (n, 3)."""
    offset, size = _chunks(source)
    chunk = chunk_of(ids, graph.n_layers or DEFAULT_N_LAYERS)
    return ((chunk + 0.5) * size + offset) * np.array(source.open_volume().resolution_nm)


def _chunks(source: Source) -> tuple[Ids, Ids]:
    """Where chunks begin and how large they are (x, y, z; voxels)."""
    if source.chunk_size is None:
        raise Invalid(f"The chunkedgraph '{source.name}' has no chunks in space.")
    return np.array(source.open_volume().scale.voxel_offset), np.array(source.chunk_size)
