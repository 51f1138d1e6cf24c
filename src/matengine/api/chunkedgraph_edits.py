"""Editing the embedded chunkedgraph: merge, split, undo."""

from dataclasses import dataclass
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from matengine.api.chunkedgraph import TABLE, Table
from matengine.api.graphs import Source, open_graph
from matengine.api.wire import flag, ids_in, ids_out, json_body, json_field, reply
from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.ids import is_supervoxel
from matengine.segmentation.chunkedgraph.local import Edit, LocalGraph
from matengine.segmentation.pick import nearest_supervoxel

# the user of record while there are no logins
USER_ID = 1

api = APIBlueprint(
    "chunkedgraph_edits",
    __name__,
    url_prefix="/segmentation",
    abp_tags=[Tag(name="chunkedgraph edits", description="Merges and splits")],
)


@api.post(f"{TABLE}/merge", summary="Join two objects by an edge between two points")
def merge(path: Table) -> Response:
    """The body: [[id, x, y, z], [id, x, y, z]], x, y, z in nm."""
    points = _points(json_body())
    if len(points) != 2:
        raise Invalid("A merge takes two points.", "Send [[id, x, y, z], [id, x, y, z]].")
    with open_graph(path.table) as (graph, source):
        ends = _supervoxels(points, graph, source)
        edit = graph.merge([(ends[0], ends[1])], user_id=USER_ID)
    return _done(edit)


@api.post(f"{TABLE}/split", summary="Cut an object between two groups of points")
def split(path: Table) -> Response:
    """The body: {"sources": [[id, x, y, z], …], "sinks": [[id, x, y, z], …]}, x, y, z in nm.

    With "mincut": false the edges between the pairs of a source and a sink are removed instead.
    """
    sides = _sides()
    with open_graph(path.table) as (graph, source):
        near, far = (_supervoxels(side, graph, source) for side in (sides.sources, sides.sinks))
        if sides.mincut:
            edit = graph.split(sources=near, sinks=far, user_id=USER_ID)
        elif len(near) != len(far):
            raise Invalid("Without a minimum cut, sources and sinks are pairs.")
        else:
            edit = graph.split(list(zip(near, far, strict=True)), user_id=USER_ID)
    return _done(edit)


@api.post(f"{TABLE}/graph/split_preview", summary="What a split would leave")
def split_preview(path: Table) -> Response:
    sides = _sides()
    with open_graph(path.table) as (graph, source):
        near, far = (_supervoxels(side, graph, source) for side in (sides.sources, sides.sinks))
        pieces = graph.preview_split(sources=near, sinks=far)
    components = [ids_out(piece) for piece in pieces]
    return reply({"supervoxel_connected_components": components, "illegal_split": len(pieces) < 2})


@api.post(f"{TABLE}/undo", summary="Take an operation back by a new one")
def undo(path: Table) -> Response:
    number = _operation_id()
    with open_graph(path.table) as (graph, _):
        edit = graph.undo(number, user_id=USER_ID)
    return _done(edit)


@api.post(f"{TABLE}/redo", summary="Do an operation again that was taken back")
def redo(path: Table) -> Response:
    """The body names the operation; what undid it is taken back."""
    number = _operation_id()
    with open_graph(path.table) as (graph, _):
        undone = [op for op in graph.list_operations() if op.undo_of == number]
        if not undone:
            raise Invalid(f"Operation {number} was not taken back.")
        edit = graph.undo(undone[-1].operation_id, user_id=USER_ID)
    return _done(edit)


@dataclass(frozen=True)
class _Point:
    """A node and a position near it (x, y, z; nm)."""

    node: int
    nm: tuple[float, float, float]


@dataclass(frozen=True)
class _Sides:
    sources: list[_Point]
    sinks: list[_Point]
    mincut: bool


def _points(content: Any) -> list[_Point]:
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
        points.append(_Point(node, (x, y, z)))
    if not points or len(points) != len(listed):
        raise Invalid("Points are a list of [id, x, y, z], with x, y, z in nm.")
    return points


def _sides() -> _Sides:
    content = json_body()
    if not isinstance(content, dict):
        raise Invalid('A split takes {"sources": [[id, x, y, z], …], "sinks": […]}.')
    mincut = bool(content.get("mincut", True)) and flag("mincut", default=True)
    return _Sides(_points(content.get("sources")), _points(content.get("sinks")), mincut)


def _supervoxels(points: list[_Point], graph: LocalGraph, source: Source) -> list[int]:
    """The points' supervoxels; where a root is named, its supervoxel nearest to the position."""
    return [
        point.node
        if is_supervoxel(point.node).all()
        else nearest_supervoxel(source.open_volume(), point.nm, graph.leaves(point.node))
        for point in points
    ]


def _operation_id() -> int:
    (number,) = ids_in(json_field("operation_id")).tolist()
    return int(number)


def _done(edit: Edit) -> Response:
    return reply({"operation_id": edit.operation_id, "new_root_ids": ids_out(edit.new_roots)})
