"""`LocalGraph`: the embedded chunkedgraph as the engine and the server see it."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matengine.errors import NotFound
from matengine.segmentation.chunkedgraph.local import edits
from matengine.segmentation.chunkedgraph.local.arrays import as_ids
from matengine.segmentation.chunkedgraph.local.edges import active_edges
from matengine.segmentation.chunkedgraph.local.level2 import Level2
from matengine.segmentation.chunkedgraph.local.lineage import (
    ancestors,
    descendants,
    lineage,
    require_known,
)
from matengine.segmentation.chunkedgraph.local.operations import (
    Operation,
    list_operations,
    read_operations,
)
from matengine.segmentation.chunkedgraph.local.roots import roots_at
from matengine.segmentation.chunkedgraph.local.store import Connection, find
from matengine.segmentation.chunkedgraph.protocol import DeltaRoots, Ids, IdsLike, Lineage
from matengine.times import from_ms, to_ms


class LocalGraph:
    """Reads one embedded chunkedgraph; implements `ChunkedGraph`.

    Its answers are those of the connection's transaction. The editing functions of this package
    take the same connection and name.
    """

    # edits run in the same database: `seal` makes any time final at once
    settle = timedelta(0)

    def __init__(self, conn: Connection, name: str) -> None:
        """Raises NotFound where there is no graph of this name."""
        self._store = find(conn, name)
        meta = self._store.meta()
        self.name = name
        self.n_layers = meta.n_layers
        self.by_edges = meta.by_edges
        self.chunk_size = meta.chunk_size
        self._start_ms = meta.start_ms

    def roots(self, supervoxels: IdsLike, at: datetime) -> Ids:
        """The root of each supervoxel at a time, 0 where there is none."""
        return roots_at(self._store, as_ids(supervoxels, "supervoxels"), to_ms(at))

    def delta_roots(self, past: datetime, future: datetime) -> DeltaRoots:
        """The roots ended and made by operations with past < time <= future."""
        old, new = self._store.row(
            "SELECT"
            " (SELECT coalesce(array_agg(root_id ORDER BY root_id), '{{}}') FROM {g}.root"
            "  WHERE retired_by IS NOT NULL AND expired_ms > %s AND expired_ms <= %s),"
            " (SELECT coalesce(array_agg(root_id ORDER BY root_id), '{{}}') FROM {g}.root"
            "  WHERE created_by IS NOT NULL AND created_ms > %s AND created_ms <= %s)",
            to_ms(past), to_ms(future), to_ms(past), to_ms(future),
        )  # fmt: skip
        return DeltaRoots(old, new)

    def is_latest(self, roots: IdsLike, at: datetime) -> NDArray[np.bool_]:
        """Whether each root is alive at a time; false for unknown ids."""
        given = as_ids(roots, "root ids")
        (alive,) = self._store.row(
            "SELECT coalesce(array_agg(r.root_id), '{{}}')"
            " FROM unnest(%s) AS s(id) JOIN {g}.root r ON r.root_id = s.id"
            " AND r.created_ms <= %s AND r.expired_ms > %s",
            np.unique(given), to_ms(at), to_ms(at),
        )  # fmt: skip
        return np.isin(given, alive)

    def root_timestamps(self, roots: IdsLike) -> Ids:
        """Creation times in milliseconds since 1970; raises NotFound for an unknown root."""
        given = as_ids(roots, "root ids")
        wanted, place = np.unique(given, return_inverse=True)
        found, created = self._store.row(
            "SELECT coalesce(array_agg(r.root_id ORDER BY r.root_id), '{{}}'),"
            " coalesce(array_agg(r.created_ms ORDER BY r.root_id), '{{}}')"
            " FROM unnest(%s) AS s(id) JOIN {g}.root r ON r.root_id = s.id",
            wanted,
        )
        require_known(wanted, set(found.tolist()))
        times: Ids = created[place]
        return times

    def lineage(
        self, roots: IdsLike, past: datetime | None = None, future: datetime | None = None
    ) -> Lineage:
        """Ancestors and descendants of roots; raises NotFound for an unknown one."""
        return lineage(self._store, as_ids(roots, "root ids"), past, future)

    def past_ids(self, roots: IdsLike, past: datetime, future: datetime) -> dict[int, list[int]]:
        """For each root its ancestors (or itself) alive at `past`, sorted."""
        given = as_ids(roots, "root ids")
        found = ancestors(lineage(self._store, given, past, past), to_ms(past))
        return {root: sorted(found[root]) for root in given.tolist()}

    def latest_ids(self, roots: IdsLike, at: datetime) -> dict[int, list[int]]:
        """For each root its descendants (or itself) alive at a time, sorted."""
        given = as_ids(roots, "root ids")
        found = descendants(lineage(self._store, given, None, at), to_ms(at))
        return {root: sorted(found[root]) for root in given.tolist()}

    def leaves(self, root: int) -> Ids:
        """The supervoxels of a root, sorted, also of an expired one; raises NotFound."""
        (found,) = self._store.row(
            "SELECT array_agg(m.supervoxel_id) FROM {g}.root r"
            " JOIN {g}.fragment_root f ON f.root_id = r.root_id"
            " JOIN {g}.member m ON m.fragment = f.fragment"
            "  AND m.from_ms <= r.created_ms AND m.to_ms > r.created_ms"
            " WHERE r.root_id = %s",
            int(root),
        )
        if found is None:
            raise NotFound(f"There is no root id {root}.")
        leaves: Ids = np.sort(found)
        return leaves

    def made(self, roots: IdsLike, until: datetime) -> Ids:
        """Those of the ids, sorted, that are roots made until a time."""
        (found,) = self._store.row(
            "SELECT coalesce(array_agg(r.root_id ORDER BY r.root_id), '{{}}')"
            " FROM unnest(%s) AS s(id) JOIN {g}.root r ON r.root_id = s.id"
            " AND r.created_ms <= %s",
            np.unique(as_ids(roots, "root ids")), to_ms(until),
        )  # fmt: skip
        made: Ids = found
        return made

    def edges(self, root: int) -> tuple[Ids, NDArray[np.float32], Ids]:
        """The active edges (n, 2) of a root, their affinities (NaN: none) and areas (-1: none).

        Raises NotFound.
        """
        (created_ms,) = self.root_timestamps([root]).tolist()
        edges = active_edges(self._store, self.leaves(root), created_ms)
        return np.stack([edges.a, edges.b], axis=1), edges.affinity, edges.area

    def level2(self) -> Level2:
        """The level-2 nodes; raises Invalid where the graph has none."""
        return Level2(self._store)

    def oldest_timestamp(self) -> datetime:
        """When the graph began: no earlier time has roots."""
        return from_ms(self._start_ms)

    def operations(self, operation_ids: IdsLike) -> list[Operation]:
        """Those of the operations that exist, by id."""
        return read_operations(self._store, operation_ids)

    def list_operations(
        self,
        *,
        user_id: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Operation]:
        """Operations with since <= time < until, by time."""
        return list_operations(self._store, user_id=user_id, since=since, until=until)

    @property
    def connection(self) -> Connection:
        """The connection whose transaction this graph is read in."""
        return self._store.conn

    def merge(self, edges: edits.EdgesLike, **options: Any) -> edits.Edit:
        """Add edges; see `edits.merge`."""
        return edits.merge(self._store.conn, self.name, edges, **options)

    def split(self, edges: edits.EdgesLike = (), **options: Any) -> edits.Edit:
        """Remove edges or a minimum cut; see `edits.split`."""
        return edits.split(self._store.conn, self.name, edges, **options)

    def preview_split(self, edges: edits.EdgesLike = (), **options: Any) -> list[Ids]:
        """The pieces that a split would leave; see `edits.preview_split`."""
        return edits.preview_split(self._store.conn, self.name, edges, **options)

    def undo(self, operation_id: int, **options: Any) -> edits.Edit:
        """Undo an operation by a new one; see `edits.undo`."""
        return edits.undo(self._store.conn, self.name, operation_id, **options)

    def seal(self, at: datetime) -> None:
        """Make the state at a time final; see `edits.seal`."""
        edits.seal(self._store.conn, self.name, at)
