"""What differs between two versions of a table: rows added, removed, changed, as Arrow.

The cost is that of what changed, not of the table. Every row that changed between two epochs left
a row version or a tombstone that begins between them, and these are found by the BRIN on
`from_epoch + 0`; the row as either epoch has it is found by the index on `id`. Where roots are
given, the rows that show them are found by the indexes on roots instead.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.annotations import tables
from matengine.engine.annotations.tables import PUBLIC
from matengine.engine.versions import catalogue, layout
from matengine.engine.versions.layout import Layout
from matengine.errors import NotFound, did_you_mean
from matengine.storage import arrow
from matengine.storage.connections import Connection, conninfo_of


@dataclass(frozen=True)
class Difference:
    """A question: what differs of a table from the epoch `old` to the epoch `new`.

    `roots` keeps rows that show one of them at either epoch, in any root column. `old` may be the
    later epoch: then rows that came since are removed.
    """

    table: Layout
    old: int
    new: int
    roots: tuple[int, ...] | None = None


def between(
    conn: Connection,
    datastack: str,
    table: str,
    old: int | None,
    new: int | None,
    roots: Sequence[int] | None = None,
) -> Difference:
    """The difference of a table between two versions; None is the newest epoch.

    A table may be missing from the earlier of the two: then all its rows are added. Raises
    NotFound where a version or the table is not there, Gone for an expired version.
    """
    epochs = [epoch_of(conn, datastack, version) for version in (old, new)]
    names = [t.table_name for t in catalogue.tables_at(conn, datastack, max(epochs))]
    if table not in names:
        later = max(zip(epochs, (old, new), strict=True))[1]
        where = "The newest epoch" if later is None else f"Version {later}"
        raise NotFound(
            f"{where} of '{datastack}' has no table '{table}'.",
            did_you_mean(table, {*names}.intersection(tables.list_tables(conn, permission=PUBLIC))),
        )
    segmentation = datastacks.get(conn, datastack).segmentation.name
    found = layout.layout_of(conn, table, segmentation)
    return Difference(found, epochs[0], epochs[1], None if roots is None else tuple(roots))


def epoch_of(conn: Connection, datastack: str, version: int | None) -> int:
    """The epoch of an available version, or the newest that is sealed; raises NotFound, Gone."""
    if version is not None:
        return catalogue.version(conn, datastack, version).epoch
    row = conn.execute(
        "SELECT max(epoch) FROM matengine.epoch WHERE datastack = %s AND sealed IS NOT NULL",
        (datastack,),
    ).fetchone()
    if row is None or row[0] is None:
        raise NotFound(f"'{datastack}' has no epoch yet.", "Make one: matengine materialize.")
    return int(row[0])


def related(
    conn: Connection, datastack: str, roots: Sequence[int], old: int, new: int
) -> list[int]:
    """Roots with what they were at one epoch and became by the other, sorted.

    Raises NotFound for an unknown root.
    """
    graph = datastacks.graph_of(conn, datastack)
    earlier, later = (
        conn.execute(
            "SELECT time FROM matengine.epoch WHERE datastack = %s AND epoch = %s",
            (datastack, epoch),
        ).fetchone()[0]  # type: ignore[index]  # sealed epochs stay
        for epoch in sorted((old, new))
    )
    found = set(roots)
    for relatives in (
        graph.past_ids(roots, past=earlier, future=later),
        graph.latest_ids(roots, at=later),
    ):
        found.update(*relatives.values())
    return sorted(found)


def compose(difference: Difference) -> sql.Composed:
    """The SQL of a difference, in the order of `id`.

    Columns: id, change ('added', 'removed', 'changed'), then for each supervoxel and root column
    X of the table old_X and new_X, bigint: NULL where the row is not there, 0 where it is not
    known. The statement fails where one of the epochs has been collected.
    """
    table = difference.table
    names = {
        "history": table.history,
        "columns": layout.names_of(table),
        "pairs": _pairs(table),
        "candidates": _by_epoch(difference) if difference.roots is None else _by_root(difference),
        "at_old": layout.visible("r", difference.old),
        "at_new": layout.visible("r", difference.new),
        "segmentation": sql.Literal(table.segmentation),
        "old": sql.Literal(difference.old),
        "new": sql.Literal(difference.new),
    }
    # Joined row by row, and by LIMIT not otherwise: the planner must not come to think that it is
    # cheaper to read the whole of the table.
    return sql.SQL("""
        SELECT c.id,
               CASE WHEN o.id IS NULL THEN 'added' WHEN n.id IS NULL THEN 'removed'
                    ELSE 'changed' END AS change {pairs}
        FROM ({candidates}) AS c
        LEFT JOIN LATERAL (SELECT {columns} FROM {history} AS r
                           WHERE r.id = c.id AND {at_old} LIMIT 1) AS o ON true
        LEFT JOIN LATERAL (SELECT {columns} FROM {history} AS r
                           WHERE r.id = c.id AND {at_new} LIMIT 1) AS n ON true
        WHERE ((o.id IS NULL) <> (n.id IS NULL) OR o *<> n)
          AND (SELECT matengine.readable({segmentation}, {old}))
          AND (SELECT matengine.readable({segmentation}, {new}))
        ORDER BY c.id
        """).format(**names)


def _by_epoch(difference: Difference) -> sql.Composed:
    """Ids of all rows that may have changed."""
    low, high = sorted((difference.old, difference.new))
    return sql.SQL(
        "SELECT DISTINCT r.id FROM {history} AS r"
        " WHERE r.from_epoch + 0 > {low} AND r.from_epoch + 0 <= {high}"
    ).format(history=difference.table.history, low=sql.Literal(low), high=sql.Literal(high))


def _by_root(difference: Difference) -> sql.Composed:
    """Ids of rows of which a row version with one of the roots shows at one of the epochs only."""
    roots = [sql.Literal(root) for root in difference.roots or ()]
    if not roots or not difference.table.roots:
        return sql.SQL("SELECT NULL::bigint AS id WHERE false").format()
    return sql.SQL(" UNION ").join(
        sql.SQL(
            "SELECT DISTINCT r.id FROM {history} AS r"
            " WHERE r.{column} = ANY(ARRAY[{roots}]::bigint[]) AND ({at_old}) <> ({at_new})"
        ).format(
            history=difference.table.history,
            column=sql.Identifier(column),
            roots=sql.SQL(", ").join(roots),
            at_old=layout.visible("r", difference.old),
            at_new=layout.visible("r", difference.new),
        )
        for column in difference.table.roots
    )


def _pairs(table: Layout) -> sql.Composed:
    """old_X and new_X of the supervoxel and root columns, in the table's order."""
    ids = [c.name for c in table.columns if c.name in table.supervoxels + table.roots]
    return sql.SQL("").join(
        sql.SQL(", CASE WHEN {row}.id IS NOT NULL THEN coalesce({value}, 0) END AS {name}").format(
            row=sql.Identifier(alias),
            value=sql.Identifier(alias, column),
            name=sql.Identifier(f"{side}_{column}"),
        )
        for column in ids
        for alias, side in (("o", "old"), ("n", "new"))
    )


@contextmanager
def stream(conn: Connection, difference: Difference) -> Iterator[pa.RecordBatchReader]:
    """The difference batch by batch; it is read on a connection of its own."""
    query = compose(difference).as_string(conn)
    with arrow.stream(conninfo_of(conn), query) as reader:
        yield reader


def read(conn: Connection, difference: Difference) -> pa.Table:
    """The whole difference at once."""
    with stream(conn, difference) as reader:
        return reader.read_all()
