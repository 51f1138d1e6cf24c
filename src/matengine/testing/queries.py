"""Queries answered the obvious way, over rows in memory: the judge of `engine.query`.

A row is a dict by column; a position is one value of it, a tuple or None.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

from matengine.engine.query.model import Filter, Join, Op, Query

Row = Mapping[str, Any]
_ORDER: dict[Op, Callable[[Any, Any], bool]] = {
    Op.GREATER: operator.gt,
    Op.LESS: operator.lt,
    Op.GREATER_EQUAL: operator.ge,
    Op.LESS_EQUAL: operator.le,
}


@dataclass(frozen=True)
class MemoryRelation:
    """A table at a moment. `columns` in order; `points` of them are positions.

    `ids_of_segmentation` are the supervoxel and root columns, of which 0 is none.
    """

    columns: tuple[str, ...]
    points: frozenset[str]
    ids_of_segmentation: frozenset[str]
    resolution_nm: tuple[float, float, float]
    rows: tuple[Row, ...]


Tables = Mapping[str, MemoryRelation]


def answer(query: Query, tables: Tables) -> list[dict[str, Any]]:
    """All rows of an answer, in order, whatever page or sample is asked for."""
    return [_shown(query, tables, found) for found in _matches(query, tables)]


def count(query: Query, tables: Tables) -> int:
    """How many rows pass."""
    return sum(1 for _ in _matches(query, tables))


def asked_about(query: Query) -> list[str]:
    """The tables of a query, in the order in which it names them."""
    ends = [name for join in query.joins for name in (join.left, join.right)]
    return list(dict.fromkeys([query.table, *ends]))


def names(query: Query, tables: Tables) -> list[tuple[str, str, str]]:
    """(table, column, name in the answer) of what is selected; positions are one."""
    chosen = _chosen(query, tables)
    about = asked_about(query)
    found = []
    for table, column in chosen:
        shared = len({t for t, c in chosen if c == column}) > 1
        place = about.index(table)
        default = "xyz"[place % 3] * (place // 3 + 1)
        suffix = query.suffixes.get(table, default) if shared else ""
        found.append((table, column, column + suffix))
    return found


def _chosen(query: Query, tables: Tables) -> list[tuple[str, str]]:
    about = asked_about(query)
    if query.columns is None:
        return [(table, column) for table in about for column in tables[table].columns]
    if isinstance(query.columns, Mapping):
        pairs = [(table, c) for table, columns in query.columns.items() for c in columns]
    else:
        pairs = [(next(t for t in about if c in tables[t].columns), c) for c in query.columns]
    found = []
    for table, column in pairs:
        partner = column.replace("root_id", "supervoxel_id")
        known = tables[table].ids_of_segmentation
        along = query.with_supervoxels and (table, partner) not in pairs
        if along and column != partner and {column, partner} <= known:
            found.append((table, partner))
        found.append((table, column))
    return found


def _matches(query: Query, tables: Tables) -> Iterator[dict[str, Row]]:
    """The rows of each table that come together, in the order of their ids."""
    about = asked_about(query)
    candidates = [
        [
            row
            for row in sorted(tables[name].rows, key=lambda row: row["id"])
            if all(_passes(query, f, row) for f in query.filters if f.table == name)
        ]
        for name in about
    ]
    for rows in product(*candidates):
        found = dict(zip(about, rows, strict=True))
        if all(_together(join, found, tables) for join in query.joins):
            yield found


def _together(join: Join, rows: Mapping[str, Row], tables: Tables) -> bool:
    left, right = rows[join.left][join.left_column], rows[join.right][join.right_column]
    of_segmentation = (
        join.left_column in tables[join.left].ids_of_segmentation
        or join.right_column in tables[join.right].ids_of_segmentation
    )
    return left is not None and left == right and not (of_segmentation and left == 0)


def _passes(query: Query, asked: Filter, row: Row) -> bool:
    value: Any = row[asked.column] if asked.column in row else _axis(row, asked.column)
    if value is None:
        return False
    if asked.op is Op.IN:
        return value in asked.value
    if asked.op is Op.NOT_IN:
        return value not in asked.value
    if asked.op is Op.EQUAL:
        return bool(value == asked.value)
    if asked.op is Op.REGEX:
        return re.search(asked.value, value) is not None
    if asked.op is Op.BOX:
        low, high = asked.value
        return all(
            lower <= v and (v < upper or (v == upper and not query.half_open))
            for lower, v, upper in zip(low, value, high, strict=True)
        )
    return _ORDER[asked.op](value, asked.value)


def _axis(row: Row, column: str) -> float | None:
    point = row[column[:-2]]
    return None if point is None else float(point["xyz".index(column[-1])])


def _shown(query: Query, tables: Tables, found: Mapping[str, Row]) -> dict[str, Any]:
    wanted = query.resolution_nm or tables[query.table].resolution_nm
    shown: dict[str, Any] = {}
    for table, column, name in names(query, tables):
        value = found[table][column]
        if column not in tables[table].points:
            shown[name] = value
            continue
        for place, axis in enumerate("xyz"):
            shown[f"{name}_{axis}"] = (
                None
                if value is None
                else scaled(value[place], tables[table].resolution_nm[place], wanted[place])
            )
    return shown


def scaled(voxel: float, resolution_nm: float, wanted_nm: float) -> float:
    """A coordinate in another unit, rounded once."""
    return float(Fraction(voxel) * Fraction(resolution_nm) / Fraction(wanted_nm))


def is_sample(rows: Sequence[Row], of: Sequence[Row]) -> bool:
    """Whether the rows are some of the others, each taken once, in their order."""
    left = iter(of)
    return all(any(row == other for other in left) for row in rows)
