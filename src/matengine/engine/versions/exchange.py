"""Exchanging a history for the table that was written anew, in the transaction that wrote it.

Readers are kept out for the moment of the exchange alone. Whoever waits for them makes those wait
who come later, so the exchange gives up its place in line soon and tries again.
"""

import time

import psycopg
from psycopg import sql

from matengine.engine.runs import units
from matengine.engine.runs.units import Unit
from matengine.engine.versions.layout import Layout
from matengine.errors import Conflict
from matengine.storage.connections import Connection

# How long to stand in line for readers to end, how long to let them pass, and how long in all.
LOCK_TIMEOUT = "200ms"
PAUSE_S = 1.0
WAIT_S = 300.0


def keep_readers_out(conn: Connection, table: Layout, unit: Unit) -> None:
    """Hold the history and its views alone, and the unit.

    Raises Conflict where readers do not make way within WAIT_S, and LeaseLost.
    """
    deadline = time.monotonic() + WAIT_S
    while not _try_alone(conn, table, unit):
        if time.monotonic() > deadline:
            raise Conflict(
                f"Statements that read the history of '{table.table}' do not end.",
                "Try again at a quieter time.",
            )
        time.sleep(PAUSE_S)


def _try_alone(conn: Connection, table: Layout, unit: Unit) -> bool:
    # views before the table, as readers do
    wanted = [*(view for view, _ in _views(conn, table)), table.history]
    try:
        with conn.transaction():
            conn.execute(sql.SQL("SET LOCAL lock_timeout TO {}").format(sql.Literal(LOCK_TIMEOUT)))
            _hold(conn, unit)
            conn.execute(
                sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(wanted))
            )
            conn.execute("SET LOCAL lock_timeout TO DEFAULT")
    except (
        psycopg.errors.LockNotAvailable,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.UndefinedTable,  # a version was dropped just now
        psycopg.errors.InvalidSchemaName,
    ):
        return False
    return True


def _hold(conn: Connection, unit: Unit) -> None:
    """Hold the unit, where nobody else does: that would be the run's end, waiting for us."""
    try:
        units.hold(conn, unit)
    except psycopg.errors.LockNotAvailable:
        raise units.LeaseLost from None


def _views(conn: Connection, table: Layout) -> list[tuple[sql.Identifier, sql.Composable]]:
    """The views of a history, and what each selects."""
    rows = conn.execute(
        "SELECT DISTINCT n.nspname, v.relname, pg_get_viewdef(v.oid) FROM pg_depend AS d"
        " JOIN pg_rewrite AS r ON r.oid = d.objid JOIN pg_class AS v ON v.oid = r.ev_class"
        " JOIN pg_namespace AS n ON n.oid = v.relnamespace"
        " WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass"
        " AND d.refobjid = %s::regclass AND v.relkind = 'v' ORDER BY 1, 2",
        (table.history.as_string(conn),),
    ).fetchall()
    return [(sql.Identifier(schema, name), sql.SQL(text)) for schema, name, text in rows]


def exchange(conn: Connection, table: Layout, copy: str, indexes: dict[str, str]) -> None:
    """Put the copy in the place of the original, which goes."""
    views = _views(conn, table)
    rename = sql.SQL("ALTER TABLE {} RENAME TO {}")
    conn.execute(rename.format(table.history, sql.Identifier(f"{copy}_old")))
    conn.execute(rename.format(sql.Identifier("history", copy), sql.Identifier(table.name)))
    for view, definition in views:
        conn.execute(sql.SQL("CREATE OR REPLACE VIEW {} AS {}").format(view, definition))
    try:
        conn.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("history", f"{copy}_old")))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise Conflict(
            f"Something depends on the history of '{table.table}': "
            f"{(error.diag.message_detail or '').splitlines()[0]}.",
            "Only views may; remove it first.",
        ) from None
    for own, name in indexes.items():
        conn.execute(
            sql.SQL("ALTER INDEX {} RENAME TO {}").format(
                sql.Identifier("history", own), sql.Identifier(name)
            )
        )
