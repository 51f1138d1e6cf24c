"""Writing a history anew: from a query into a new table, which takes the place of the old one.

All in one transaction, beside readers: killed at any moment, it is gone and the old table stands.
The new table has the order of roots, in which reads find their rows together.

It is loaded frozen, that is visible to every snapshot, also to those older than itself. That is
right here, and only here, because a row version carries its own time: a reader of any epoch picks
the same rows from the new table as from the old one.
"""

from dataclasses import dataclass

from psycopg import sql

from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import Unit
from matengine.engine.versions import exchange, guard
from matengine.engine.versions.layout import Layout
from matengine.storage.connections import Connection, conninfo_of, open_connection
from matengine.storage.names import joined

MEMORY = "SET LOCAL work_mem = '128MB'; SET LOCAL maintenance_work_mem = '128MB'"
# The part of a page that is filled: the rest is room for closing a row where it lies
FILLED = 0.9
# What keeps others from collecting, vacuuming or rewriting a history, and lets epochs be written
ALONE = sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE")


@dataclass(frozen=True)
class Copy:
    """A table that is to take a history's place; `indexes` maps its own names to those to be."""

    name: str
    indexes: dict[str, str]

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier("history", self.name)


def columns_of(table: Layout) -> list[str]:
    """The columns of a history in the order in which `write` takes them."""
    return ["id", "created", *(c.name for c in table.columns), "from_epoch", "to_epoch"]


def write(conn: Connection, run: Run, unit: Unit, table: Layout, rows: sql.Composed) -> Copy:
    """Write and index what a query on a connection of its own gives, the columns of `columns_of`.

    Nobody collects from the history, vacuums it or writes it anew until the transaction ends.
    """
    conn.execute(ALONE.format(table.history))
    conn.execute(MEMORY)
    # never seen by others under this name
    name = f"{unit.kind}_{unit.unit_id}_{unit.attempts}"
    _load(conn, table, sql.Identifier("history", name), rows)
    copy = Copy(name, _index(conn, run, table, name))
    conn.execute(sql.SQL("ANALYZE {}").format(copy.table))
    guard.install(conn, copy.table, table.segmentation)
    return copy


def put_in_place(conn: Connection, unit: Unit, table: Layout, copy: Copy) -> None:
    """Exchange the history for the copy, and hold the unit.

    Raises Conflict where readers never make way, and LeaseLost.
    """
    exchange.keep_readers_out(conn, table, unit)
    exchange.exchange(conn, table, copy.name, copy.indexes)


def _load(conn: Connection, table: Layout, copy: sql.Identifier, rows: sql.Composed) -> None:
    """The rows into a new table, in the order of the root that reads are mostly by."""
    names = {
        "history": table.history,
        "copy": copy,
        "rows": rows,
        "columns": sql.SQL(", ").join(map(sql.Identifier, columns_of(table))),
        "order": sql.Identifier(table.order),
        "filled": sql.Literal(round(100 * FILLED)),
    }

    def statement(text: str) -> sql.Composed:
        return sql.SQL(text).format(**names)

    conn.execute(
        statement(
            "CREATE TABLE {copy} (LIKE {history} INCLUDING ALL EXCLUDING INDEXES)"
            " WITH (fillfactor = {filled})"
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
                    "COPY (SELECT {columns} FROM ({rows}) AS r"
                    " ORDER BY coalesce({order}, 0), id, from_epoch) TO STDOUT (FORMAT binary)"
                )
            ) as given,
            target.copy(
                statement("COPY {copy} ({columns}) FROM STDIN (FORMAT binary, FREEZE)")
            ) as taken,
        ):
            for block in given:
                taken.write(block)
        if target.rowcount != source.rowcount:
            raise RuntimeError(f"{target.rowcount} rows were copied of {source.rowcount}")


def _index(conn: Connection, run: Run, table: Layout, copy: str) -> dict[str, str]:
    """Index the copy as the original is; gives the names that its indexes are to have.

    In the order of roots each page holds rows of many epochs, and the BRIN on from_epoch finds
    those of rewritten epochs no more. So the rows that the oldest kept epoch does not show get a
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
