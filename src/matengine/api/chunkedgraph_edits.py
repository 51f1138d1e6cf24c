"""Proofreading the embedded chunkedgraph: merge, split, undo."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from matengine.api.auth import current_user
from matengine.api.chunkedgraph import TABLE, Table
from matengine.api.graph_bodies import OPERATION, SIDES, TWO_POINTS
from matengine.api.graphs import Source, open_graph
from matengine.api.wire import flag, ids_in, ids_out, json_body, json_field, reply
from matengine.engine import proofreading
from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.ids import is_supervoxel
from matengine.segmentation.chunkedgraph.local import Edit, LocalGraph
from matengine.segmentation.pick import nearest_supervoxel
from matengine.times import now

api = APIBlueprint(
    "chunkedgraph_edits",
    __name__,
    url_prefix="/segmentation",
    abp_tags=[Tag(name="chunkedgraph edits", description="Merges and splits")],
)


@api.post(
    f"{TABLE}/merge",
    summary="Join two objects by an edge between two points",
    openapi_extensions=TWO_POINTS,
)
def merge(path: Table) -> Response:
    """The body: [[id, x, y, z], [id, x, y, z]], x, y, z in nm."""
    points = points_in(json_body())
    if len(points) != 2:
        raise Invalid("A merge takes two points.", "Send [[id, x, y, z], [id, x, y, z]].")
    with open_graph(path.table, "edit") as (graph, source):
        ends = supervoxels_of(points, graph, source)
        edit = proofreading.merge(
            graph.connection, _datastack(source), [(ends[0], ends[1])], user_id=_user_id()
        )
    return _done(edit)


@api.post(
    f"{TABLE}/split", summary="Cut an object between two groups of points", openapi_extensions=SIDES
)
def split(path: Table) -> Response:
    """The body: {"sources": [[id, x, y, z], …], "sinks": [[id, x, y, z], …]}, x, y, z in nm.

    With "mincut": false the edges between the pairs of a source and a sink are removed instead.
    """
    sides = _sides()
    with open_graph(path.table, "edit") as (graph, source):
        near, far = (supervoxels_of(side, graph, source) for side in (sides.sources, sides.sinks))
        if not sides.mincut and len(near) != len(far):
            raise Invalid("Without a minimum cut, sources and sinks are pairs.")
        edges = () if sides.mincut else list(zip(near, far, strict=True))
        edit = proofreading.split(
            graph.connection,
            _datastack(source),
            edges,
            sources=near,
            sinks=far,
            user_id=_user_id(),
        )
    return _done(edit)


@api.post(
    f"{TABLE}/graph/split_preview", summary="What a split would leave", openapi_extensions=SIDES
)
def split_preview(path: Table) -> Response:
    """The piece with most sources comes first, then the one with most sinks."""
    sides = _sides()
    with open_graph(path.table) as (graph, source):
        near, far = (supervoxels_of(side, graph, source) for side in (sides.sources, sides.sinks))
        pieces = graph.preview_split(sources=near, sinks=far)
        if len(np.unique(graph.roots(near + far, now()))) > 1:
            raise Invalid("A split needs supervoxels of one object; these are of several.")
    of_sources = max(pieces, key=lambda piece: np.isin(near, piece).sum())
    others = [piece for piece in pieces if piece is not of_sources]
    others.sort(key=lambda piece: -np.isin(far, piece).sum())
    components = [ids_out(piece) for piece in (of_sources, *others)]
    legal = bool(others) and np.isin(near, of_sources).all() and np.isin(far, others[0]).all()
    return reply({"supervoxel_connected_components": components, "illegal_split": not legal})


@api.post(
    f"{TABLE}/undo", summary="Take an operation back by a new one", openapi_extensions=OPERATION
)
def undo(path: Table) -> Response:
    number = _operation_id()
    with open_graph(path.table, "edit") as (graph, source):
        edit = proofreading.undo(graph.connection, _datastack(source), number, user_id=_user_id())
    return _done(edit)


@api.post(
    f"{TABLE}/redo",
    summary="Do an operation again that was taken back",
    openapi_extensions=OPERATION,
)
def redo(path: Table) -> Response:
    """The body names the operation; what undid it is taken back."""
    number = _operation_id()
    with open_graph(path.table, "edit") as (graph, source):
        edit = proofreading.redo(graph.connection, _datastack(source), number, user_id=_user_id())
    return _done(edit)


@dataclass(frozen=True)
class Point:
    """A node and a position near it (x, y, z; nm)."""

    node: int
    nm: tuple[float, float, float]


@dataclass(frozen=True)
class _Sides:
    sources: list[Point]
    sinks: list[Point]
    mincut: bool


def points_in(content: Any) -> list[Point]:
    """Points of a body [[id, x, y, z], …]; raises Invalid."""
    listed = content if isinstance(content, list) else []
    points = []
    for entry in listed:
        if not isinstance(entry, list) or len(entry) != 4:
            break
        (node,) = ids_in(entry[:1]).tolist()
        try:
            x, y, z = (float(c) for c in entry[1:])
        except (TypeError, ValueError):
            break
        points.append(Point(node, (x, y, z)))
    if not points or len(points) != len(listed):
        raise Invalid("Points are a list of [id, x, y, z], with x, y, z in nm.")
    return points


def _sides() -> _Sides:
    content = json_body()
    if not isinstance(content, dict):
        raise Invalid('A split takes {"sources": [[id, x, y, z], …], "sinks": […]}.')
    mincut = bool(content.get("mincut", True)) and flag("mincut", default=True)
    return _Sides(points_in(content.get("sources")), points_in(content.get("sinks")), mincut)


def supervoxels_of(points: list[Point], graph: LocalGraph, source: Source) -> list[int]:
    """The points' supervoxels; where a root is named, its supervoxel nearest to the position."""
    return [
        point.node
        if is_supervoxel(point.node).all()
        else nearest_supervoxel(source.open_volume(), point.nm, graph.leaves(point.node))
        for point in points
    ]


def _datastack(source: Source) -> str:
    if source.datastack is None:
        raise Invalid(f"The chunkedgraph '{source.name}' belongs to no datastack.")
    return source.datastack


def _user_id() -> int:
    return current_user().user_id


def _operation_id() -> int:
    numbers = ids_in(json_field("operation_id")).tolist()
    if len(numbers) != 1:
        raise Invalid("'operation_id' is one number.")
    return int(numbers[0])


def _done(edit: Edit) -> Response:
    return reply({"operation_id": edit.operation_id, "new_root_ids": ids_out(edit.new_roots)})
