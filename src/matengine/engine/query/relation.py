"""A relation: rows that can be asked for, as SQL, and their columns as users see them.

A table at an epoch is one. Filters, joins, counts, samples and cursors are written once against
relations, whatever they are made from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import pyarrow as pa
from psycopg import sql

from matengine.engine import schemas
from matengine.engine.schemas import Kind
from matengine.engine.versions import layout
from matengine.engine.versions.layout import Layout
from matengine.errors import NotFound, did_you_mean

AXES = "xyz"
TIME = pa.timestamp("us", "UTC")
_ARROW = {
    Kind.FLOAT: pa.float64(),
    Kind.STRING: pa.string(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.INTEGER: pa.int32(),
}


class Form(Enum):
    """How users see a column of the source."""

    PLAIN = "as it is"
    ZERO = "0 for NULL"  # ids of the segmentation: 0 on the wire is "none is known"
    X = "x of a geometry"
    Y = "y of a geometry"
    Z = "z of a geometry"
    TRUE = "true"


@dataclass(frozen=True)
class Column:
    """A column of a relation. `stored` is the source's column that it is made from.

    `point` is the position (`pre_pt_position`) that an axis (`pre_pt_position_x`) belongs to.
    is_root: it holds root ids of the moment. always: no row of the source lacks it.
    """

    name: str
    type: pa.DataType
    stored: str
    form: Form = Form.PLAIN
    point: str | None = None
    is_root: bool = False
    always: bool = False

    @property
    def field(self) -> pa.Field:
        never_null = self.form is Form.ZERO or self.name == "id"
        return pa.field(self.name, self.type, nullable=not never_null)

    @property
    def axis(self) -> int:
        """0, 1 or 2 of a column of a position."""
        return AXES.index(self.name[-1])

    def raw(self, alias: str) -> sql.Composable:
        """The column as indexes know it: in a ZERO column, none is NULL or 0."""
        return sql.Identifier(alias, self.stored)

    def value(self, alias: str) -> sql.Composable:
        """The column as users see it."""
        if self.form is Form.TRUE:
            return sql.SQL("true")
        raw = self.raw(alias)
        if self.form is Form.ZERO:
            return sql.SQL("coalesce({}, 0)").format(raw)
        if self.form is Form.PLAIN:
            return raw
        return sql.SQL("ST_{}({})").format(sql.SQL(self.form.name), raw)


@dataclass(frozen=True)
class Relation:
    """Rows to ask for. `source` is SQL for FROM, without an alias.

    resolution_nm: nm of a unit of its positions; None where nobody knows it. key: the columns
    that tell its rows apart, and in whose order rows come; none where there are no such. tables:
    the annotation tables that it shows. total: its number of rows, where that is known.
    """

    name: str
    source: sql.Composed
    columns: tuple[Column, ...]
    resolution_nm: tuple[float, float, float] | None
    key: tuple[str, ...] = ("id",)
    tables: tuple[str, ...] = ()
    epoch: int | None = None
    total: int | None = None
    unresolved: int = 0  # rows with a root that is not known yet
    # (table, SQL of the rows in which it differs from an epoch), where such are among them
    differing: tuple[tuple[str, sql.Composed], ...] = ()
    hidden: tuple[Column, ...] = ()  # of the key, where readers see no column of it
    live: str | None = None  # the live table of which its rows are, by `id`

    @cached_property
    def by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def points(self) -> dict[str, tuple[Column, ...]]:
        """The columns of each position, in the order x, y, z."""
        found: dict[str, tuple[Column, ...]] = {}
        for column in self.columns:
            if column.point:
                found[column.point] = (*found.get(column.point, ()), column)
        return found

    def key_column(self, name: str) -> Column:
        """A column of the key, which readers may not see."""
        return next((c for c in self.hidden if c.name == name), None) or self.by_name[name]

    def column(self, name: str) -> Column:
        """The column of this name; raises NotFound, also for the name of a position."""
        if name not in self.by_name:
            raise self.unknown(name)
        return self.by_name[name]

    def unknown(self, name: str) -> NotFound:
        """The error for a name that no column has."""
        return NotFound(
            f"'{self.name}' has no column '{name}'.",
            did_you_mean(name, [*self.by_name, *self.points]),
        )


def of_epoch(table: Layout, epoch: int, total: int | None = None) -> Relation:
    """A table at a sealed epoch.

    Its SQL fails where the epoch has been collected: checked once a statement, and as of the
    moment of its reading, so that no answer can lack rows.
    """
    source = sql.SQL(
        "(SELECT * FROM {history} AS r WHERE {visible}"
        " AND (SELECT matengine.readable({segmentation}, {epoch})))"
    ).format(
        history=table.history,
        visible=layout.visible("r", epoch),
        segmentation=sql.Literal(table.segmentation),
        epoch=sql.Literal(epoch),
    )
    return Relation(
        table.table,
        sql.Composed([rendered(source)]),
        tuple(_columns(table)),
        table.voxel_resolution_nm,
        tables=(table.table,),
        epoch=epoch,
        total=total,
        live=table.table,
    )


def rendered(text: sql.Composable) -> sql.SQL:
    """The same as plain text, which is not put together anew each time it is used."""
    return sql.SQL(text.as_string(None))


def _columns(table: Layout) -> Iterator[Column]:
    yield Column("id", pa.int64(), "id", always=True)
    yield Column("created", TIME, "created", always=True)
    yield Column("valid", pa.bool_(), "valid", Form.TRUE)
    for column in table.columns:
        yield from columns_of(column)


def columns_of(column: schemas.Column) -> Iterator[Column]:
    """What users see of a column of a schema: three of a position, else one."""
    if column.kind is Kind.GEOMETRY:
        for axis in AXES:
            name = f"{column.name}_{axis}"
            yield Column(name, pa.float64(), column.name, Form[axis.upper()], column.name)
    else:
        form = Form.ZERO if column.in_segmentation else Form.PLAIN
        kind = _ARROW.get(column.kind, pa.int64())
        is_root = column.in_segmentation and column.name.endswith("_root_id")
        yield Column(column.name, kind, column.name, form, is_root=is_root)
