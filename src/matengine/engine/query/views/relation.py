"""A view as a relation, made out of the relations of its tables at some moment."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from psycopg import sql

from matengine.engine.query.compose import Body
from matengine.engine.query.model import Query
from matengine.engine.query.relation import AXES, Column, Form, Relation
from matengine.engine.query.views.definition import Definition, ViewColumn
from matengine.errors import Invalid, NotFound, did_you_mean

_NUMBERS = (pa.int64(), pa.int32(), pa.float64())
_ORDERED = (*_NUMBERS, pa.string(), pa.timestamp("us", "UTC"))


@dataclass(frozen=True)
class _Part:
    """What one column of a view adds: SQL under a name, and the columns that readers see of it."""

    value: sql.Composable
    stored: str
    columns: tuple[Column, ...]
    is_group: bool


def relation_of(name: str, what: Definition, relations: Mapping[str, Relation]) -> Relation:
    """The view at the moment of the relations of its tables.

    Raises NotFound for unknown columns, Invalid where the definition does not fit the tables.
    """
    body = Body(Query(what.table, what.joins, what.filters), dict(relations))
    resolution = next((r.resolution_nm for r in relations.values() if r.resolution_nm), None)
    parts = [_part(c, what, body, resolution) for c in what.columns]
    listed = [sql.SQL("{} AS {}").format(p.value, sql.Identifier(p.stored)) for p in parts]
    hidden = _keys(what, body, parts)
    listed += [sql.SQL("{} AS {}").format(v, sql.Identifier(c.stored)) for c, v in hidden]
    statement = sql.SQL("SELECT {} ").format(sql.SQL(", ").join(listed)) + body.text
    if what.grouped:
        groups = [str(place) for place, part in enumerate(parts, 1) if part.is_group]
        if groups:
            statement += sql.SQL(" GROUP BY " + ", ".join(groups))
    moments = {r.epoch for r in relations.values()}
    return Relation(
        name,
        sql.SQL("({})").format(statement),
        tuple(column for part in parts for column in part.columns),
        resolution,
        key=tuple(column.name for column, _ in hidden),
        hidden=tuple(column for column, _ in hidden),
        tables=tuple(relations),
        epoch=moments.pop() if len(moments) == 1 else None,
        unresolved=sum(r.unresolved for r in relations.values()),
        differing=tuple(rows for r in relations.values() for rows in r.differing),
    )


def _part(
    given: ViewColumn, what: Definition, body: Body, resolution: tuple[float, ...] | None
) -> _Part:
    if given.aggregate == "count" and given.column is None:
        return _Part(sql.SQL("count(*)"), given.name, (_plain(given.name, pa.int64()),), False)
    table, relation = _table_of(given, body)
    row = body.rows[table]
    assert given.column is not None  # the definition was read
    if given.column in relation.points:
        if what.grouped:
            raise Invalid(f"A view that counts cannot show the position '{given.column}'.")
        return _position(given.name, relation, given.column, row, resolution)
    column = relation.column(given.column)
    if given.aggregate:
        return _aggregated(given, column, row)
    if what.grouped:
        # no root, and none that is known, are one group
        seen = Column(given.name, column.type, given.name, is_root=column.is_root)
        return _Part(column.value(row), given.name, (seen,), True)
    if column.form in (Form.PLAIN, Form.ZERO):
        # as indexes know it
        seen = Column(given.name, column.type, given.name, column.form, is_root=column.is_root)
        return _Part(column.raw(row), given.name, (seen,), False)
    return _Part(column.value(row), given.name, (_plain(given.name, column.type),), False)


def _table_of(given: ViewColumn, body: Body) -> tuple[str, Relation]:
    if given.table is not None:
        if given.table not in body.relations:
            raise Invalid(
                f"The view is not about '{given.table}'.", did_you_mean(given.table, body.relations)
            )
        return given.table, body.relations[given.table]
    for name, relation in body.relations.items():
        if given.column in relation.by_name or given.column in relation.points:
            return name, relation
    known = {n for r in body.relations.values() for n in (*r.by_name, *r.points)}
    raise NotFound(
        f"None of the tables has a column '{given.column}'.",
        did_you_mean(str(given.column), known),
    )


def _plain(name: str, kind: pa.DataType) -> Column:
    return Column(name, kind, name)


def _position(
    name: str, relation: Relation, point: str, row: str, resolution: tuple[float, ...] | None
) -> _Part:
    """A position, in voxels of the view's first table."""
    axes = relation.points[point]
    if axes[0].form is not Form.X:
        raise Invalid(f"'{point}' of '{relation.name}' cannot be shown as a position.")
    value = axes[0].raw(row)
    if relation.resolution_nm != resolution and relation.resolution_nm and resolution:
        factors = [a / b for a, b in zip(relation.resolution_nm, resolution, strict=True)]
        value = sql.SQL("ST_Scale({}, {})").format(
            value, sql.SQL(", ").join(sql.SQL("{}::float8").format(repr(f)) for f in factors)
        )
    columns = tuple(
        Column(f"{name}_{axis}", pa.float64(), name, Form[axis.upper()], name) for axis in AXES
    )
    return _Part(value, name, columns, False)


def _aggregated(given: ViewColumn, column: Column, row: str) -> _Part:
    value, kind = column.value(row), column.type
    made: dict[str, tuple[str, pa.DataType, tuple[pa.DataType, ...] | None]] = {
        "count": ("count({})", pa.int64(), None),
        "count_distinct": ("count(DISTINCT {})", pa.int64(), None),
        "sum": (
            "sum({})::float8" if kind == pa.float64() else "sum({})::bigint",
            pa.float64() if kind == pa.float64() else pa.int64(),
            _NUMBERS,
        ),
        "mean": ("avg({})::float8", pa.float64(), _NUMBERS),
        "min": ("min({})", kind, _ORDERED),
        "max": ("max({})", kind, _ORDERED),
    }
    assert given.aggregate is not None
    text, out, fits = made[given.aggregate]
    if fits is not None and kind not in fits:
        raise Invalid(f"'{given.column}' is {kind}: there is no {given.aggregate} of it.")
    return _Part(sql.SQL(text).format(value), given.name, (_plain(given.name, out),), False)


def _keys(what: Definition, body: Body, parts: list[_Part]) -> list[tuple[Column, sql.Composable]]:
    """What tells the rows of the view apart, with the SQL of it: ids of the tables' rows."""
    if not what.grouped:
        return [
            (_plain(f"key {place}", pa.int64()), body.key(*key))
            for place, key in enumerate(body.keys)
        ]
    groups = [part.value for part in parts if part.is_group]
    # a number for each combination; text has no end, and cursors are made of numbers
    told: sql.Composable = sql.SQL("0::bigint")
    if groups:
        told = sql.SQL("hashtextextended(ROW({})::text, 0)").format(sql.SQL(", ").join(groups))
    return [(_plain("key 0", pa.int64()), told)]
