"""The list of what overlays have been made of: states, each a step of a table.

A state is never changed. A later one of the same table begins the next step.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from psycopg.rows import class_row

from matengine.engine.query.live.base import Gulf
from matengine.engine.versions.layout import Layout
from matengine.segmentation.chunkedgraph.protocol import Ids
from matengine.storage.connections import Connection


@dataclass(frozen=True)
class State:
    """A step of the table `name`. size: of all ids that differ; past: of rows that have ended.

    unresolved: rows with a root that is not known yet; stale: so it may be known by now. noted: it
    is known that the table is in use.
    """

    name: str
    step: int
    size: int
    unresolved: int
    past: int = 0
    stale: bool = False
    noted: bool = True


_COLUMNS = "name, step, size, unresolved, past, made < now() - %(retry)s AS stale"


def find(
    conn: Connection, datastack: str, table: Layout, gulf: Gulf, retry: timedelta, unused: timedelta
) -> State | None:
    """The state of a moment, if it is there; one with roots not known counts for `retry`."""
    with conn.cursor(row_factory=class_row(State)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS}, used > now() - %(lately)s AS noted FROM matengine.overlay"  # noqa: S608
            " WHERE datastack = %(datastack)s AND table_name = %(table)s AND token = %(token)s"
            " AND (unresolved = 0 OR made > now() - %(retry)s) ORDER BY made DESC LIMIT 1",
            {
                "datastack": datastack,
                "table": table.table,
                "token": gulf.token,
                "retry": retry,
                "lately": unused / 4,
            },
        ).fetchone()


def note(conn: Connection, state: State) -> bool:
    """Note that a state is in use; False where it is being dropped."""
    noted = conn.execute(
        "UPDATE matengine.overlay SET used = now() WHERE name = %s AND step = %s",
        (state.name, state.step),
    )
    return bool(noted.rowcount)


def before(
    conn: Connection, datastack: str, table: Layout, gulf: Gulf, retry: timedelta
) -> State | None:
    """The latest state from which a moment can be reached by what happened after it."""
    if gulf.settled is not None and not gulf.frozen:
        return None
    with conn.cursor(row_factory=class_row(State)) as cursor:
        found = cursor.execute(
            f"SELECT {_COLUMNS} FROM matengine.overlay"  # noqa: S608
            " WHERE datastack = %(datastack)s AND table_name = %(table)s AND ground = %(ground)s"
            " AND annotations <= %(annotations)s AND (segmentation = %(segmentation)s"
            " OR segmentation BETWEEN %(since)s AND %(segmentation)s)"
            " ORDER BY segmentation DESC, annotations DESC, made DESC LIMIT 1",
            {
                "datastack": datastack,
                "table": table.table,
                "ground": gulf.ground,
                "annotations": gulf.annotations,
                "segmentation": gulf.segmentation,
                "since": gulf.since,
                "retry": retry,
            },
        ).fetchone()
    if found is None or not np.isin(roots(conn, found), gulf.roots).all():
        return None  # what had ended has not: the chunkedgraph has been put back
    return found if note(conn, found) else None


def roots(conn: Connection, state: State) -> Ids:
    """The roots whose end a state knows of."""
    with conn.cursor(binary=True) as cursor:
        found = cursor.execute(
            "SELECT DISTINCT unnest(roots) FROM matengine.overlay WHERE name = %s AND step <= %s",
            (state.name, state.step),
        ).fetchall()
    return np.array([root for (root,) in found], np.int64)


def is_last(conn: Connection, state: State) -> bool:
    """Whether no later step of its table has begun."""
    row = conn.execute(
        "SELECT max(step) FROM matengine.overlay WHERE name = %s", (state.name,)
    ).fetchone()
    return row is not None and row[0] == state.step


def enter(
    conn: Connection, datastack: str, table: Layout, gulf: Gulf, state: State, seen: str, ended: Ids
) -> None:
    """List a state whose rows are there; `seen` is the snapshot that it knows, `ended` roots."""
    conn.execute(
        "INSERT INTO matengine.overlay (name, step, datastack, table_name, token, ground,"
        " annotations, segmentation, seen, roots, size, unresolved, past)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            state.name,
            state.step,
            datastack,
            table.table,
            gulf.token,
            gulf.ground,
            gulf.annotations,
            gulf.segmentation,
            seen,
            ended.tolist(),
            state.size,
            state.unresolved,
            state.past,
        ),
    )
