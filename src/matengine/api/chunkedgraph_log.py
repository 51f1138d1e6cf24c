"""The record of what was done to the embedded chunkedgraph."""

from datetime import timedelta
from typing import Any

import numpy as np
import orjson
from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from matengine.api.chunkedgraph import TABLE, Table
from matengine.api.graph_bodies import ROOT_IDS
from matengine.api.graphs import open_graph
from matengine.api.wire import Id, flag, ids_in, ids_out, json_field, reply, time_in
from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.local import LocalGraph, Operation
from matengine.times import to_ms

api = APIBlueprint(
    "chunkedgraph_log",
    __name__,
    url_prefix="/segmentation",
    abp_tags=[Tag(name="chunkedgraph log", description="Which edits were made, when, by whom")],
)


class RootOf(Table):
    """A root of a chunkedgraph."""

    root: Id


class UserOperations(BaseModel):
    """Whose operations (0: everybody's), and when, in seconds since 1970."""

    user_id: Id | None = None
    include_undo: bool = True
    start_time: str | None = None
    end_time: str | None = None


@api.get(f"{TABLE}/operation_details", summary="What operations did")
def operation_details(path: Table) -> Response:
    """`operation_ids` is a JSON list."""
    try:
        numbers = ids_in(orjson.loads(request.args.get("operation_ids", "[]")))
    except orjson.JSONDecodeError as error:
        raise Invalid("operation_ids is no JSON list.", "Send operation_ids=[1, 2].") from error
    with open_graph(path.table) as (graph, _):
        found = graph.operations(numbers)
    return reply({str(operation.operation_id): _details(operation) for operation in found})


@api.get(f"{TABLE}/user_operations", summary="The operations of a user")
def user_operations(path: Table, query: UserOperations) -> Response:
    since, until = time_in("start_time"), time_in("end_time")
    with open_graph(path.table) as (graph, _):
        found = graph.list_operations(user_id=query.user_id or None, since=since, until=until)
    if not query.include_undo:
        found = [operation for operation in found if operation.undo_of is None]
    return reply(
        {
            "operation_id": [operation.operation_id for operation in found],
            "timestamp": [to_ms(operation.at) for operation in found],
            "user_id": [_user(operation) for operation in found],
        }
    )


@api.get(
    f"{TABLE}/tabular_change_log_many",
    summary="The edits that made roots, as tables",
    openapi_extensions=ROOT_IDS,
)
def tabular_change_log_many(path: Table) -> Response:
    """Each table is JSON text of its columns by row number.

    With ?filtered=True only edits of supervoxels that are in the root still.
    """
    roots = ids_in(json_field("root_ids")).tolist()
    with open_graph(path.table) as (graph, _):
        tables = {str(root): _table(*_history(graph, root, flag("filtered"))) for root in roots}
    return reply({root: orjson.dumps(table).decode() for root, table in tables.items()})


@api.get(f"{TABLE}/root/<int:root>/change_log", summary="How many edits made a root")
def change_log(path: RootOf) -> Response:
    with open_graph(path.table) as (graph, _):
        operations, _ = _history(graph, path.root, flag("filtered"))
    users: dict[str, dict[str, int]] = {}
    for operation in operations:
        counts = users.setdefault(_user(operation), {"n_splits": 0, "n_mergers": 0})
        counts["n_mergers" if _is_merge(operation) else "n_splits"] += 1
    past = {root for operation in operations for root in operation.former_roots.tolist()}
    return reply(
        {
            "n_splits": sum(counts["n_splits"] for counts in users.values()),
            "n_mergers": sum(counts["n_mergers"] for counts in users.values()),
            "user_info": users,
            "operations_ids": [operation.operation_id for operation in operations],
            "past_ids": ids_out(sorted(past)),
        }
    )


@api.get(f"{TABLE}/root/<int:root>/merge_log", summary="The edges that merges added to a root")
def merge_log(path: RootOf) -> Response:
    """Positions of the edges are not recorded, so `merge_edge_coords` is empty."""
    with open_graph(path.table) as (graph, _):
        operations, _ = _history(graph, path.root, flag("filtered"))
    merges = [operation for operation in operations if _is_merge(operation)]
    edges = [ids_out(edge) for operation in merges for edge in operation.edges]
    return reply({"merge_edges": edges, "merge_edge_coords": []})


def _history(graph: LocalGraph, root: int, filtered: bool) -> tuple[list[Operation], list[int]]:
    """The operations that led to a root, by id, and the root with all of its ancestors.

    `filtered` leaves out those none of whose edges has an end in the root.
    """
    before = graph.oldest_timestamp() - timedelta(milliseconds=1)
    ancestors = graph.lineage([root], None, before).nodes
    ids = {
        node.operation_id
        for ancestor, node in ancestors.items()
        if ancestor != root and node.operation_id is not None
    }
    operations = graph.operations(sorted(ids))
    if filtered:
        inside = graph.leaves(root)
        operations = [op for op in operations if np.isin(op.edges, inside).any()]
    return operations, sorted(ancestors)


def _is_merge(operation: Operation) -> bool:
    return operation.kind == "merge"


def _user(operation: Operation) -> str:
    return "" if operation.user_id is None else str(operation.user_id)


def _table(operations: list[Operation], family: list[int]) -> dict[str, dict[str, Any]]:
    """The columns by row number; of new roots those that the asked one came from, or is."""
    columns: dict[str, list[Any]] = {
        "operation_id": [op.operation_id for op in operations],
        "timestamp": [to_ms(op.at) for op in operations],
        "user_id": [_user(op) for op in operations],
        "before_root_ids": [ids_out(op.former_roots) for op in operations],
        "after_root_ids": [
            ids_out(op.new_roots[np.isin(op.new_roots, family)]) for op in operations
        ],
        "is_merge": [_is_merge(op) for op in operations],
        "user_name": [_user(op) for op in operations],
        "user_affiliation": ["" for _ in operations],
    }
    return {
        name: {str(row): value for row, value in enumerate(values)}
        for name, values in columns.items()
    }


def _details(operation: Operation) -> dict[str, Any]:
    """An operation as PyChunkedGraph records it."""
    edges = "added_edges" if _is_merge(operation) else "removed_edges"
    details = {
        "user": _user(operation),
        "roots": ids_out(operation.new_roots),
        "former_roots": ids_out(operation.former_roots),
        "source_ids": ids_out(operation.sources),
        "sink_ids": ids_out(operation.sinks),
        # where people clicked is not recorded
        "source_coords": [],
        "sink_coords": [],
        edges: [ids_out(edge) for edge in operation.edges],
        "operation_status": 0,
        "operation_ts": str(operation.at),
        "timestamp": str(operation.at),
    }
    if operation.undo_of is not None:
        details["undo_operation_id"] = operation.undo_of
    return details
