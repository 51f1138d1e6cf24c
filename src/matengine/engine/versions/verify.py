"""Verifying: whether a version's rows are still those that were published, found from scratch."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.versions import catalogue, fingerprint, layout
from matengine.engine.versions.layout import OPEN, Layout
from matengine.progress import Progress, quiet
from matengine.storage.connections import Connection, conninfo_of, open_connection

# Pages of history that one statement reads: 64 MB, some 250,000 synapses, about a second.
PAGES = 8192


@dataclass(frozen=True)
class Tally:
    """What is counted of a table at an epoch; `fingerprint` is below 2^64."""

    row_count: int
    fingerprint: int
    gaps: int


@dataclass(frozen=True)
class Checked:
    """A table of a version: what the catalogue recorded and what the rows give.

    `misplaced` counts row versions, whichever version shows them, whose epochs cannot be.
    """

    table: str
    recorded: Tally
    found: Tally
    misplaced: int

    @property
    def right(self) -> bool:
        return self.found == self.recorded and not self.misplaced

    @property
    def words(self) -> str:
        """What is wrong, as a sentence without its full stop; empty where nothing is."""
        found, recorded = self.found, self.recorded
        faults = []
        if found.row_count != recorded.row_count:
            faults.append(f"has {found.row_count} rows, not {recorded.row_count}")
        if found.gaps != recorded.gaps:
            faults.append(f"has {found.gaps} gaps, not {recorded.gaps}")
        if found.fingerprint != recorded.fingerprint:
            faults.append(f"has the fingerprint {found.fingerprint}, not {recorded.fingerprint}")
        if self.misplaced:
            faults.append(f"has {self.misplaced} row versions of epochs that cannot be")
        return f"'{self.table}' {', '.join(faults)}" if faults else ""


def verify(
    conn: Connection, datastack: str, version: int, progress: Progress = quiet
) -> list[Checked]:
    """Recompute count, fingerprint and gaps of each table of a version from its rows.

    Reads history once, in the order of its pages and in statements that end soon, on a connection
    of its own, whose one snapshot keeps rows from being met twice or missed when an epoch moves
    them. `progress` counts pages. Raises NotFound for an unknown version and Gone for one that
    failed or has expired.
    """
    segmentation = datastacks.get(conn, datastack).segmentation.name
    told = catalogue.tables_at(conn, datastack, catalogue.version(conn, datastack, version).epoch)
    layouts = [layout.layout_of(conn, t.table_name, segmentation) for t in told]
    with open_connection(conninfo_of(conn)) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.read_only = True
        _hold(reader, [table for table in layouts if _pages(conn, table)])
        epoch = catalogue.version(reader, datastack, version).epoch
        last = _last_epoch(reader, datastack)
        return [
            _check(reader, table, recorded, epoch, last, progress)
            for table, recorded in zip(
                layouts, catalogue.tables_at(reader, datastack, epoch), strict=True
            )
        ]


def _hold(conn: Connection, tables: list[Layout]) -> None:
    """Keep histories in their place, before the snapshot is taken.

    One that compaction puts in the place of another holds no row that an older snapshot sees.
    """
    for table in tables:
        conn.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(table.history))


def _last_epoch(conn: Connection, datastack: str) -> int:
    """The newest epoch, also where it is being made."""
    row = conn.execute(
        "SELECT max(epoch) FROM matengine.epoch WHERE datastack = %s", (datastack,)
    ).fetchone()
    assert row is not None
    return int(row[0])


def _check(
    conn: Connection,
    table: Layout,
    told: catalogue.VersionTable,
    epoch: int,
    last: int,
    progress: Progress,
) -> Checked:
    rows = hashes = gaps = misplaced = 0
    pages = _pages(conn, table)
    for first, end in _ranges(pages):
        row = conn.execute(_tally(table, epoch, last, first, end)).fetchone()
        assert row is not None
        rows += row[0]
        hashes += int(row[1])
        gaps += row[2]
        misplaced += row[3]
        progress(min(end, pages), pages, f"pages of {table.table}")
    return Checked(
        table.table,
        Tally(told.row_count, int(told.fingerprint), told.gaps),
        Tally(rows, hashes % fingerprint.MODULUS, gaps),
        misplaced,
    )


def _pages(conn: Connection, table: Layout) -> int:
    """Pages of a history, 0 where it is gone; it may grow by rows that the snapshot has not."""
    row = conn.execute(
        "SELECT coalesce(max(pg_relation_size(oid)), 0) / current_setting('block_size')::integer"
        " FROM pg_class WHERE relnamespace = 'history'::regnamespace AND relname = %s",
        (table.name,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _ranges(pages: int) -> Iterator[tuple[int, int]]:
    for first in range(0, pages, PAGES):
        yield first, first + PAGES


def _tally(table: Layout, epoch: int, last: int, first: int, end: int) -> sql.Composed:
    """Rows, sum of hashes, gaps and misplaced row versions of the pages [first, end)."""
    return sql.SQL("""
        SELECT count(*) FILTER (WHERE {visible}),
               coalesce(sum({hash}::numeric) FILTER (WHERE {visible}), 0),
               coalesce(sum({gap}) FILTER (WHERE {visible}), 0),
               count(*) FILTER (WHERE from_epoch NOT BETWEEN 1 AND {last}
                 OR to_epoch < from_epoch OR to_epoch > {last} AND to_epoch <> {open})
        FROM {history} AS h WHERE h.ctid >= {first} AND h.ctid < {end}
        """).format(
        visible=layout.visible("h", epoch),
        hash=fingerprint.row_hash(table, "h"),
        gap=fingerprint.gap(table, "h"),
        history=table.history,
        last=sql.Literal(last),
        open=sql.Literal(OPEN),
        first=_page(first),
        end=_page(end),
    )


def _page(number: int) -> sql.Composed:
    """The address before all rows of a page."""
    return sql.SQL("{}::tid").format(sql.Literal(f"({number},0)"))
