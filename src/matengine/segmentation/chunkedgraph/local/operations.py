"""What operations were done."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import numpy as np

from matengine.errors import NotFound
from matengine.segmentation.chunkedgraph.local.arrays import as_ids
from matengine.segmentation.chunkedgraph.local.store import NEVER, Store
from matengine.segmentation.chunkedgraph.protocol import Ids, IdsLike
from matengine.times import from_ms, to_ms


@dataclass(frozen=True)
class Operation:
    """An operation as recorded.

    `edges`, shape (n, 2), are those that a merge added or a split removed (found by the minimum
    cut where none were given), each smaller id first. Root ids are sorted.
    """

    operation_id: int
    at: datetime
    kind: str
    user_id: int | None
    sources: Ids
    sinks: Ids
    edges: Ids
    undo_of: int | None
    former_roots: Ids
    new_roots: Ids


def read_operation(store: Store, operation_id: int) -> Operation:
    """One operation; raises NotFound."""
    found = read_operations(store, [operation_id])
    if not found:
        raise NotFound(f"There is no operation {operation_id}.")
    return found[0]


def read_operations(store: Store, operation_ids: IdsLike) -> list[Operation]:
    """Those of the operations that exist, by id."""
    ids = as_ids(operation_ids, "operation ids")
    return _operations(store.run(_SELECT + " WHERE operation_id = ANY(%s) ORDER BY 1", ids))


def list_operations(
    store: Store, *, user_id: int | None, since: datetime | None, until: datetime | None
) -> list[Operation]:
    """Operations with since <= time < until, by time; None sets no limit."""
    return _operations(
        store.run(
            _SELECT + " WHERE (%s::bigint IS NULL OR user_id = %s)"
            " AND at_ms >= %s AND at_ms < %s ORDER BY at_ms",
            user_id, user_id, -NEVER if since is None else to_ms(since),
            NEVER if until is None else to_ms(until),
        )
    )  # fmt: skip


_SELECT: LiteralString = """
SELECT operation_id, at_ms, kind, user_id, undo_of, source_ids, sink_ids, edges_a, edges_b,
  (SELECT coalesce(array_agg(root_id ORDER BY root_id), '{{}}') FROM {g}.root
    WHERE expired_ms = at_ms AND retired_by = operation_id),
  (SELECT coalesce(array_agg(root_id ORDER BY root_id), '{{}}') FROM {g}.root
    WHERE created_ms = at_ms AND created_by = operation_id)
FROM {g}.operation"""


def _operations(rows: Iterable[tuple[Any, ...]]) -> list[Operation]:
    return [
        Operation(
            operation_id, from_ms(at_ms), kind, user_id, sources, sinks,
            np.stack([edges_a, edges_b], 1), undo_of, formers, new,
        )
        for operation_id, at_ms, kind, user_id, undo_of, sources, sinks, edges_a, edges_b,
        formers, new in rows
    ]  # fmt: skip
