"""Compacting: a history is written anew in the order of its roots, while readers go on.

A unit of work, one table in one transaction: copy the rows into a new table, index it, then put it
in the old one's place. Killed at any moment, the transaction is gone and the old table stands.
While the run goes on it has the datastack's lease, so that no epoch is made.

The copy is loaded frozen, that is visible to every snapshot, also to those older than itself. That
is right here, and only here, because a row version carries its own time: a reader of any epoch
picks the same rows from the copy as from the original.
"""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.annotations import tables
from matengine.engine.runs import runs, units
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import Effect, Unit
from matengine.engine.versions import exchange, guard, layout
from matengine.engine.versions.layout import Layout
from matengine.errors import Conflict, NotFound
from matengine.storage.connections import Connection, conninfo_of, open_connection
from matengine.storage.names import joined

WORKFLOW = "compact"
MEMORY = "SET LOCAL work_mem = '128MB'; SET LOCAL maintenance_work_mem = '128MB'"


def start(conn: Connection, datastack: str, only: Sequence[str] = ()) -> int:
    """Begin to compact the histories of some or all annotation tables; gives the run. Commits.

    Raises Conflict where an epoch is being made, NotFound for an unknown table, and where there
    is no epoch yet.
    """
    with conn.transaction():
        segmentation = datastacks.lock(conn, datastack).segmentation.name
        for table in only:
            layout.layout_of(conn, table, segmentation)
        row = conn.execute(
            "SELECT max(epoch) FROM matengine.epoch WHERE datastack = %s AND sealed IS NOT NULL",
            (datastack,),
        ).fetchone()
        if row is None or row[0] is None:
            raise NotFound(
                f"'{datastack}' has nothing to compact yet.", "Begin with: matengine materialize."
            )
        try:
            with conn.transaction():
                # naming an epoch, the newest, keeps the next one from beginning
                run_id = runs.enter(conn, datastack, WORKFLOW, epoch=row[0], tables=list(only))
        except psycopg.errors.UniqueViolation:
            raise Conflict(
                f"A run is making an epoch of '{datastack}', or compacts it.",
                "Wait for it, see: matengine runs.",
            ) from None
    conn.commit()
    return run_id


def sizes(conn: Connection, datastack: str) -> dict[str, int]:
    """Bytes on disk of each history with its indexes, by annotation table."""
    segmentation = datastacks.get(conn, datastack).segmentation.name
    rows = conn.execute(
        "SELECT t, pg_total_relation_size(to_regclass(h)) FROM unnest(%s::text[], %s::text[])"
        " AS u(t, h) WHERE to_regclass(h) IS NOT NULL",
        (
            names := tables.list_tables(conn, deleted=True),
            [layout.layout_of(conn, n, segmentation).history.as_string(conn) for n in names],
        ),
    )
    return {table: int(size) for table, size in rows}


def ready(conn: Connection, run: Run) -> bool:
    """There is nothing to wait for."""
    return True


def plan(conn: Connection, run: Run) -> None:
    """A unit for each table."""
    wanted = set(run.parameters["tables"])
    for table in layout.of_run(conn, run):
        if not wanted or table.table in wanted:
            units.plan(conn, run.run_id, WORKFLOW, table.table)


def undo(conn: Connection, run: Run) -> None:
    """Nothing: what a unit did not finish has never been there."""


def compact(conn: Connection, run: Run, unit: Unit) -> None:
    """The work of a unit. Raises Conflict where readers never make way."""
    table = layout.of_unit(conn, run, unit)
    # readers go on; nobody writes, indexes or vacuums
    conn.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(table.history))
    conn.execute(MEMORY)
    # never seen by others under this name
    name = f"compact_{unit.unit_id}_{unit.attempts}"
    copy = sql.Identifier("history", name)
    _copy(conn, table, copy)
    indexes = _index(conn, run, table, name)
    conn.execute(sql.SQL("ANALYZE {}").format(copy))
    guard.install(conn, copy, table.segmentation)
    exchange.keep_readers_out(conn, table)
    units.hold(conn, unit)
    exchange.exchange(conn, table, name, indexes)
    units.finish(conn, unit, Effect())
    conn.commit()


def _copy(conn: Connection, table: Layout, copy: sql.Identifier) -> None:
    """All row versions into a new table, in the order of the root that reads are mostly by."""
    names = {"history": table.history, "copy": copy, "order": sql.Identifier(table.order)}

    def statement(text: str) -> sql.Composed:
        return sql.SQL(text).format(**names)

    conn.execute(
        statement(
            "CREATE TABLE {copy} (LIKE {history} INCLUDING ALL EXCLUDING INDEXES)"
            " WITH (fillfactor = 90)"
        )
    )
    with (
        open_connection(conninfo_of(conn)) as reader,
        reader.cursor() as source,
        conn.cursor() as target,
    ):
        reader.execute(MEMORY)
        with (
            source.copy(
                statement(
                    "COPY (SELECT * FROM {history} ORDER BY coalesce({order}, 0), id, from_epoch)"
                    " TO STDOUT (FORMAT binary)"
                )
            ) as rows,
            target.copy(statement("COPY {copy} FROM STDIN (FORMAT binary, FREEZE)")) as into,
        ):
            for block in rows:
                into.write(block)
        if target.rowcount != source.rowcount:
            raise RuntimeError(f"{target.rowcount} rows were copied of {source.rowcount}")


def _index(conn: Connection, run: Run, table: Layout, copy: str) -> dict[str, str]:
    """Index the copy as the original is; gives the names that its indexes are to have.

    In the order of roots each page holds rows of many epochs, and the BRIN on from_epoch finds
    those of compacted epochs no more. So the rows that the oldest kept epoch does not show get a
    b-tree on the same expression: that is what diffs and collections ask for.
    """
    changed = joined(table.name, "changed")
    names = {f"{copy}_changed": changed}
    for number, (name, definition) in enumerate(_definitions(conn, table)):
        if name != changed:
            names[f"{copy}_{number}"] = name
            conn.execute(
                sql.SQL("CREATE INDEX {} ON {} ").format(
                    sql.Identifier(f"{copy}_{number}"), sql.Identifier("history", copy)
                )
                + sql.SQL(definition)  # as PostgreSQL itself spells it
            )
    conn.execute(
        sql.SQL("CREATE INDEX {} ON {} ((from_epoch + 0)) WHERE from_epoch + 0 > {}").format(
            sql.Identifier(f"{copy}_changed"),
            sql.Identifier("history", copy),
            sql.Literal(_oldest_kept(conn, run)),
        )
    )
    return names


def _definitions(conn: Connection, table: Layout) -> list[tuple[str, str]]:
    """Names of the history's indexes and what follows the table in their definitions."""
    return conn.execute(
        "SELECT c.relname, substr(pg_get_indexdef(c.oid), length(format("
        "   'CREATE INDEX %%I ON %%I.%%I ', c.relname, n.nspname, t.relname)) + 1)"
        " FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
        " JOIN pg_class AS t ON t.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = t.relnamespace"
        " WHERE i.indrelid = %s::regclass ORDER BY 1",
        (table.history.as_string(conn),),
    ).fetchall()


def _oldest_kept(conn: Connection, run: Run) -> int:
    row = conn.execute(
        "SELECT min(epoch) FROM matengine.epoch"
        " WHERE datastack = %s AND sealed IS NOT NULL AND collected IS NULL",
        (run.datastack,),
    ).fetchone()
    assert row is not None
    return int(row[0])
