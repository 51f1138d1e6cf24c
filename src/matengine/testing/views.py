"""Views worked out over rows in memory: the judge of `engine.query.views`."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from matengine.engine.query.model import Query
from matengine.engine.query.views.definition import Definition, ViewColumn
from matengine.testing.queries import MemoryRelation, Row, Tables, asked_about, matches, scaled

_AGGREGATES: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "count_distinct": lambda values: len(set(values)),
    "sum": lambda values: sum(values) if values else None,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "mean": lambda values: float(sum(map(Fraction, values)) / len(values)) if values else None,
}


def relation_of(what: Definition, tables: Tables) -> MemoryRelation:
    """A view at the moment of the tables."""
    query = Query(what.table, what.joins, what.filters)
    about = asked_about(query)
    found = matches(query, tables)
    names = tuple(column.name for column in what.columns)
    resolution = tables[what.table].resolution_nm
    if what.grouped:
        rows = tuple(_grouped(what, tables, about, found))
        return MemoryRelation(names, frozenset(), frozenset(), resolution, rows, ())
    places = {c.name: (_table_of(c, tables, about), str(c.column)) for c in what.columns}
    keys = tuple((table, name) for table in about for name in tables[table].key)
    shown = tuple(
        {name: _value(rows, *place, tables, resolution) for name, place in places.items()}
        | {f"key {number}": rows[table][name] for number, (table, name) in enumerate(keys)}
        for rows in found
    )
    return MemoryRelation(
        names,
        frozenset(n for n, (table, column) in places.items() if column in tables[table].points),
        frozenset(n for n, (table, c) in places.items() if c in tables[table].ids_of_segmentation),
        resolution,
        shown,
        tuple(f"key {number}" for number in range(len(keys))),
    )


def _table_of(column: ViewColumn, tables: Tables, about: Iterable[str]) -> str:
    return column.table or next(t for t in about if column.column in tables[t].columns)


def _value(
    rows: dict[str, Row],
    table: str,
    column: str,
    tables: Tables,
    wanted: tuple[float, float, float],
) -> Any:
    value = rows[table][column]
    if value is None or column not in tables[table].points:
        return value
    has = tables[table].resolution_nm
    return tuple(scaled(v, r, w) for v, r, w in zip(value, has, wanted, strict=True))


def _grouped(
    what: Definition, tables: Tables, about: list[str], found: list[dict[str, Row]]
) -> Iterable[Row]:
    """A row for each combination of what is no aggregate; one, where everything is."""
    single = [c for c in what.columns if c.aggregate is None]
    groups: dict[tuple[Any, ...], list[dict[str, Row]]] = {}
    for rows in found:
        group = tuple(rows[_table_of(c, tables, about)][c.column or ""] for c in single)
        groups.setdefault(group, []).append(rows)
    if not single and not groups:
        groups[()] = []
    for values, members in groups.items():
        row = dict(zip((c.name for c in single), values, strict=True))
        for column in what.columns:
            if column.aggregate:
                row[column.name] = _aggregate(column, tables, about, members)
        yield row


def _aggregate(
    column: ViewColumn, tables: Tables, about: list[str], members: list[dict[str, Row]]
) -> Any:
    """Of the values that there are; `count` without a column is of all rows."""
    if column.column is None:
        return len(members)
    table = _table_of(column, tables, about)
    values = [rows[table][column.column] for rows in members]
    assert column.aggregate is not None
    return _AGGREGATES[column.aggregate]([value for value in values if value is not None])
