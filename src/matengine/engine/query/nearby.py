"""Boxes by an index: which rows may lie in one, where few do.

A history has no index on points: it would make every epoch dearer. But the live table has one, a
row's points never change, and so it tells the ids; the conditions on the history's own points
decide. Rows that the live table has lost, or whose points somebody moved there, are in
`matengine.strayed`, and are looked at always. Read in the same statement, both are of one moment.
"""

from collections.abc import Iterator
from typing import Any

from psycopg import sql

from matengine.engine.query import filters
from matengine.engine.query.compose import Body
from matengine.engine.query.model import Op
from matengine.storage.connections import Connection

# more ids than these are found sooner by reading the table: of 1 M synapses 1,500 took an eighth of
# the time, 23,000 half of it, 96,000 a third more
MOST = 50_000


def hints(conn: Connection, body: Body) -> tuple[sql.Composed, ...]:
    """Conditions that all rows of a body meet anyway, and by which an index finds them."""
    return tuple(_hints(conn, body))


def _hints(conn: Connection, body: Body) -> Iterator[sql.Composed]:
    for asked in body.query.filters:
        live = body.relations[asked.table].live
        if asked.op is not Op.BOX or live is None:
            continue
        found = sql.SQL("SELECT l.id FROM {} AS l WHERE l.{} &&& {}").format(
            sql.Identifier("public", live),
            sql.Identifier(asked.column),
            filters.diagonal(asked),
        )
        if _expected(conn, found) + _strayed(conn, live) <= MOST:
            yield sql.SQL(
                "{row}.id = ANY(ARRAY({found} UNION ALL"
                " SELECT generate_series(s.first_id, s.last_id) FROM matengine.strayed AS s"
                " WHERE s.table_name = {live}))"
            ).format(
                row=sql.Identifier(body.rows[asked.table]), found=found, live=sql.Literal(live)
            )


def _expected(conn: Connection, found: sql.Composed) -> float:
    """How many ids the planner expects by an index; infinitely many without one."""
    row = conn.execute(sql.SQL("EXPLAIN (FORMAT JSON) ") + found).fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    rows = float(plan["Plan Rows"])
    while "Plans" in plan:
        plan = plan["Plans"][0]
    return rows if "Index Name" in plan else float("inf")


def _strayed(conn: Connection, live: str) -> int:
    row = conn.execute(
        "SELECT coalesce(sum(last_id - first_id + 1), 0)::float8 FROM matengine.strayed"
        " WHERE table_name = %s",
        (live,),
    ).fetchone()
    assert row is not None
    return int(row[0])
