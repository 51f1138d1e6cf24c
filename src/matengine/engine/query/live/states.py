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

    unresolved: rows with a root that is not known yet. age: since it was made; idle: since it was
    noted that somebody uses it.
    """

    name: str
    step: int
    size: int
    unresolved: int
    past: int
    age: timedelta = timedelta(0)
    idle: timedelta = timedelta(0)


def note(conn: Connection, state: State) -> bool:
    """Note that a state is in use; False where it is being dropped."""
    noted = conn.execute(
        "UPDATE matengine.overlay SET used = now() WHERE name = %s AND step = %s",
        (state.name, state.step),
    )
    return bool(noted.rowcount)


def before(conn: Connection, datastack: str, table: Layout, gulf: Gulf, gone: Ids) -> State | None:
    """The latest state from which a moment can be reached by what happened after it.

    gone: all roots that have ended at the moment.
    """
    if gulf.settled is not None and not gulf.frozen:
        return None
    with conn.cursor(row_factory=class_row(State)) as cursor:
        found = cursor.execute(
            "SELECT name, step, size, unresolved, past, now() - made AS age FROM matengine.overlay"
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
            },
        ).fetchone()
    if found is None or not np.isin(roots(conn, found), gone).all():
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
