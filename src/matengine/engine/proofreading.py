"""Proofreading the embedded chunkedgraph of a datastack: the one way in for every edit.

An edit gets a time later than every epoch of the datastack: one at or before an epoch would
change what that epoch's versions have already said.
"""

from datetime import datetime

import pyarrow as pa

from matengine.engine import datastacks
from matengine.errors import Invalid
from matengine.progress import Progress, quiet
from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.chunkedgraph.local import Edit
from matengine.segmentation.chunkedgraph.local.edits import EdgesLike
from matengine.segmentation.chunkedgraph.protocol import IdsLike
from matengine.storage.connections import Connection


def merge(
    conn: Connection,
    datastack: str,
    edges: EdgesLike,
    *,
    at: datetime | None = None,
    user_id: int | None = None,
) -> Edit:
    """Join objects by edges (n, 2) between supervoxels, now or at a time after the last epoch.

    Raises Invalid for unknown supervoxels, for edges that join nothing, for a time that is too
    early and where the graph is another server's.
    """
    return local.merge(conn, _graph(conn, datastack, at), edges, at=at, user_id=user_id)


def split(
    conn: Connection,
    datastack: str,
    edges: EdgesLike = (),
    *,
    sources: IdsLike = (),
    sinks: IdsLike = (),
    at: datetime | None = None,
    user_id: int | None = None,
) -> Edit:
    """Take an object apart: by removing edges, or by the minimum cut from sources to sinks.

    Raises Invalid as `merge`, and where nothing falls apart.
    """
    name = _graph(conn, datastack, at)
    return local.split(conn, name, edges, sources=sources, sinks=sinks, at=at, user_id=user_id)


def undo(
    conn: Connection, datastack: str, operation_id: int, *, user_id: int | None = None
) -> Edit:
    """Take an operation back by a new one.

    Raises NotFound for an unknown operation, Invalid as `merge` and where nothing of it is left.
    """
    return local.undo(conn, _graph(conn, datastack, None), operation_id, user_id=user_id)


def redo(
    conn: Connection, datastack: str, operation_id: int, *, user_id: int | None = None
) -> Edit:
    """Do an operation again that was taken back last; raises Invalid where it was not."""
    name = _graph(conn, datastack, None)
    undone = [
        operation.operation_id
        for operation in local.LocalGraph(conn, name).list_operations()
        if operation.undo_of == operation_id
    ]
    if not undone:
        raise Invalid(f"Operation {operation_id} was not taken back.")
    return local.undo(conn, name, undone[-1], user_id=user_id)


def replay(conn: Connection, datastack: str, edits: pa.Table, progress: Progress = quiet) -> int:
    """Play a history (columns of a dataset's edits.parquet) at its own times, all or nothing.

    Operations that are there already are skipped. Returns the number played. Raises Invalid
    where one to be played is not after the last epoch, Conflict where an operation is there with
    another time.
    """
    return local.replay(conn, _graph(conn, datastack, None), edits, progress)


def _graph(conn: Connection, datastack: str, at: datetime | None) -> str:
    """The name of the graph to edit; raises Invalid where there can be no edit at `at`.

    An epoch being made meanwhile seals the graph first, which then refuses on its own.
    """
    segmentation = datastacks.get(conn, datastack).segmentation
    if segmentation.graph != datastacks.LOCAL:
        raise Invalid(
            f"The chunkedgraph of '{datastack}' is on another server: {segmentation.graph}.",
            "Proofread it there.",
        )
    if at is not None:
        _refuse_sealed(conn, datastack, at)
    return segmentation.name


def _refuse_sealed(conn: Connection, datastack: str, at: datetime) -> None:
    row = conn.execute(
        "SELECT max(time) FROM matengine.epoch WHERE datastack = %s", (datastack,)
    ).fetchone()
    if row is not None and row[0] is not None and at <= row[0]:
        raise Invalid(
            f"An edit at {at.isoformat()} would be lost: '{datastack}' has been materialized"
            f" up to {row[0].isoformat()}.",
            "Give a later time, or none.",
        )
