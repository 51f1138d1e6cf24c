"""Where the rows of an annotation table live: the live table, its history, what is looked up."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from psycopg import sql

from matengine.engine import datastacks, schemas
from matengine.engine.annotations import tables
from matengine.engine.annotations.tables import TableMetadata
from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import Unit
from matengine.engine.schemas import BoundColumns, Column
from matengine.engine.versions import guard
from matengine.storage.connections import Connection
from matengine.storage.names import joined, paired

# `to_epoch` of a row version that no epoch has closed
OPEN = 2147483647


@dataclass(frozen=True)
class Layout:
    """The tables and columns of one annotation table in one segmentation.

    `columns` are the flattened schema's columns that a version shows, in CAVE's order and
    without `valid`, which is true of every row a version shows.
    """

    table: str
    segmentation: str
    schema_type: str
    voxel_resolution_nm: tuple[float, float, float]
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """The name of the history and of the table of lookups."""
        return paired(self.table, self.segmentation)

    @property
    def live(self) -> sql.Identifier:
        return sql.Identifier("public", self.table)

    @property
    def history(self) -> sql.Identifier:
        return sql.Identifier("history", self.name)

    @property
    def lookups(self) -> sql.Identifier:
        """Supervoxels found ahead of the epoch that will want them."""
        return sql.Identifier(*self.lookups_name)

    @property
    def lookups_name(self) -> tuple[str, str]:
        """Schema and name of `lookups`."""
        return "staging", self.name

    def staged(self, epoch: int | None) -> sql.Identifier:
        """The rows that an open epoch is to write; there as long as it is made."""
        return sql.Identifier(*self.staged_name(epoch))

    def staged_name(self, epoch: int | None) -> tuple[str, str]:
        """Schema and name of `staged`."""
        return "staging", joined(self.name, f"epoch_{epoch}")

    @cached_property
    def _bound(self) -> tuple[BoundColumns, ...]:
        return schemas.bound_columns(schemas.get(self.schema_type))

    @cached_property
    def positions(self) -> tuple[str, ...]:
        """The position columns of the points that have a supervoxel and a root."""
        return tuple(c.position for c in self._bound)

    @cached_property
    def supervoxels(self) -> tuple[str, ...]:
        return tuple(c.supervoxel_id for c in self._bound)

    @cached_property
    def roots(self) -> tuple[str, ...]:
        return tuple(c.root_id for c in self._bound)

    @cached_property
    def annotation(self) -> tuple[Column, ...]:
        """The columns that come from the live table."""
        return tuple(c for c in self.columns if not c.in_segmentation)

    @property
    def order(self) -> str:
        """The column that the heap is kept in order of: reads are mostly by root."""
        return self.roots[-1] if self.roots else "id"


def layout_of(conn: Connection, table: str, segmentation: str) -> Layout:
    """The layout of an annotation table; raises NotFound for an unknown one."""
    return of_metadata(tables.get_metadata(conn, table), segmentation)


def of_metadata(metadata: TableMetadata, segmentation: str) -> Layout:
    """The layout of the annotation table of this metadata."""
    columns = schemas.flat_columns(schemas.get(metadata.schema_type))
    return Layout(
        metadata.name,
        segmentation,
        metadata.schema_type,
        metadata.voxel_resolution_nm,
        tuple(c for c in columns if c.name != "valid"),
    )


def of_run(conn: Connection, run: Run) -> list[Layout]:
    """The layouts of the tables that a run is about.

    Those of its epoch are settled when it begins to collect, so that a table which comes or goes
    meanwhile changes nothing; a run without an epoch is about those that there are.
    """
    if run.epoch is not None:
        return of_epoch(conn, run.datastack, run.epoch)
    segmentation = datastacks.get(conn, run.datastack).segmentation.name
    return [layout_of(conn, table, segmentation) for table in tables.list_tables(conn)]


def of_epoch(conn: Connection, datastack: str, epoch: int) -> list[Layout]:
    """The layouts of the tables that an epoch shows."""
    segmentation = datastacks.get(conn, datastack).segmentation.name
    names = conn.execute(
        "SELECT table_name FROM matengine.epoch_table WHERE datastack = %s AND epoch = %s"
        " ORDER BY 1",
        (datastack, epoch),
    ).fetchall()
    return [layout_of(conn, name, segmentation) for (name,) in names]


def settle(conn: Connection, run: Run) -> list[Layout]:
    """Enter the tables of a run's epoch: all that were not deleted at its time."""
    conn.execute(
        "INSERT INTO matengine.epoch_table (datastack, epoch, table_name, schema_type, row_count,"
        "   fingerprint, gaps, rows_added, rows_closed)"
        " SELECT %s, %s, table_name, schema_type, 0, 0, 0, 0, 0"
        " FROM public.annotation_table_metadata WHERE deleted IS NULL OR deleted > %s",
        (run.datastack, run.epoch, run.time),
    )
    return of_run(conn, run)


def of_unit(conn: Connection, run: Run, unit: Unit) -> Layout:
    """The layout of the table that a unit is about."""
    return layout_of(conn, unit.table_name, datastacks.get(conn, run.datastack).segmentation.name)


def create(conn: Connection, layout: Layout) -> None:
    """Make the history, guarded and without indexes, and the lookups where they are missing."""
    # two runs may want them at once, and IF NOT EXISTS is no protection
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (layout.name,))
    columns = [sql.SQL("{} {}").format(_name(c), sql.SQL(c.sql_type)) for c in layout.columns]
    conn.execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (id bigint NOT NULL, created timestamptz NOT NULL,"
            " from_epoch integer NOT NULL, to_epoch integer NOT NULL DEFAULT {} {})"
            # room on the page for closing a row where it lies
            " WITH (fillfactor = 90)"
        ).format(layout.history, sql.Literal(OPEN), _and(columns))
    )
    guard.install(conn, layout.history, layout.segmentation)
    conn.execute(
        sql.SQL("CREATE TABLE IF NOT EXISTS {} (id bigint PRIMARY KEY {})").format(
            layout.lookups, _bigints(layout.supervoxels)
        )
    )


def create_staged(conn: Connection, layout: Layout, epoch: int | None, *, twice: bool) -> None:
    """Make the table of an open epoch's rows.

    `shown`: history shows the row, as it was. `resolved` rows have all that could be found.
    `twice`: most rows are staged first and resolved then, so there is room to do it in place.
    """
    conn.execute(
        sql.SQL(
            "CREATE TABLE {} (id bigint PRIMARY KEY, shown boolean NOT NULL DEFAULT false,"
            " resolved boolean NOT NULL DEFAULT false {})"
            " WITH (fillfactor = {})"
        ).format(
            layout.staged(epoch),
            _bigints(layout.supervoxels + layout.roots),
            sql.Literal(50 if twice else 100),
        )
    )


def drop_staged(conn: Connection, layout: Layout, epoch: int | None) -> None:
    """Remove the table of an epoch's rows, whether it is there or not."""
    conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(layout.staged(epoch)))


def indexes(layout: Layout) -> list[sql.Composed]:
    """The statements that build the indexes of a history where they are missing.

    `to_epoch` is in none of them, so that closing a row stays a HOT update. The BRIN is on an
    expression that no query of users spells: a plain one on `from_epoch` would be used for reads
    at old epochs and make them recheck whole pages.
    """
    by_value = [
        sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ({})").format(
            sql.Identifier(joined(layout.name, column)), layout.history, sql.Identifier(column)
        )
        for column in (*layout.roots, "id")
    ]
    by_epoch = sql.SQL(
        "CREATE INDEX IF NOT EXISTS {} ON {} USING brin ((from_epoch + 0))"
        " WITH (pages_per_range = 32, autosummarize = on)"
    ).format(sql.Identifier(joined(layout.name, "from_epoch")), layout.history)
    return [*by_value, by_epoch]


def visible(alias: str, epoch: int) -> sql.Composed:
    """The condition that a row version shows at an epoch."""
    row = sql.Identifier(alias)
    return sql.SQL("{row}.from_epoch <= {epoch} AND {row}.to_epoch > {epoch}").format(
        row=row, epoch=sql.Literal(epoch)
    )


def names_of(layout: Layout) -> sql.Composed:
    """All of the history's columns but the epochs, as a list."""
    return sql.SQL(", ").join(
        [sql.Identifier("id"), sql.Identifier("created"), *map(_name, layout.columns)]
    )


def trailing(columns: Sequence[str], *alias: str) -> sql.Composed:
    """Columns as the end of a list: each after a comma."""
    return _and([sql.SQL("{}").format(sql.Identifier(*alias, c)) for c in columns])


def _name(column: Column) -> sql.Identifier:
    return sql.Identifier(column.name)


def _bigints(columns: tuple[str, ...]) -> sql.Composed:
    return _and([sql.SQL("{} bigint").format(sql.Identifier(c)) for c in columns])


def _and(parts: list[sql.Composed]) -> sql.Composed:
    return sql.SQL("").join(sql.SQL(", ") + part for part in parts)
