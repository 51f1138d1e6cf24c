"""Queries answered the obvious way, over rows in memory: the judge of `engine.query`.

A row is a dict by column; a position is one value of it, a tuple or None.
"""

import operator
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
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
    """A table or view at a moment. `columns` in order; `points` of them are positions.

    `ids_of_segmentation` are the supervoxel and root columns, of which 0 is none. `key` are the
    values in whose order rows come, which need not be columns; none where any order is right.
    """

    columns: tuple[str, ...]
    points: frozenset[str]
    ids_of_segmentation: frozenset[str]
    resolution_nm: tuple[float, float, float]
    rows: tuple[Row, ...]
    key: tuple[str, ...] = ("id",)

    def in_order(self) -> list[Row]:
        return sorted(self.rows, key=lambda row: [row[name] for name in self.key])


Tables = Mapping[str, MemoryRelation]


def answer(query: Query, tables: Tables) -> list[dict[str, Any]]:
    """All rows of an answer, in order, whatever page or sample is asked for."""
    return [_shown(query, tables, found) for found in matches(query, tables)]


def count(query: Query, tables: Tables) -> int:
    """How many rows pass."""
    return len(matches(query, tables))


def ordered(query: Query, tables: Tables) -> bool:
    """Whether there is but one right order of the rows."""
    return all(tables[name].key for name in asked_about(query))


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


def matches(query: Query, tables: Tables) -> list[dict[str, Row]]:
    """The rows of each table that come together, in the order of their keys."""
    about = asked_about(query)
    found: list[dict[str, Row]] = [{}]
    for place, name in enumerate(about):
        filters = [asked for asked in query.filters if asked.table == name]
        rows = [r for r in tables[name].in_order() if all(_passes(query, f, r) for f in filters)]
        joins = [j for j in query.joins if name in (j.left, j.right)]
        joins = [j for j in joins if {j.left, j.right} <= {*about[: place + 1]}]
        found = _joined(found, name, rows, joins, tables)
    return found


def _joined(
    found: list[dict[str, Row]],
    name: str,
    rows: Sequence[Row],
    joins: Sequence[Join],
    tables: Tables,
) -> list[dict[str, Row]]:
    """What was found so far, each with all the rows of one more table that belong to it."""
    if not joins:
        return [{**before, name: row} for before in found for row in rows]
    first = joins[0]
    ends = [(first.left, first.left_column), (first.right, first.right_column)]
    (other, theirs), (_, ours) = ends if first.right == name else ends[::-1]
    by_value: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        by_value[row[ours]].append(row)
    pairs = [{**b, name: row} for b in found for row in by_value.get(b[other][theirs], ())]
    return [rows for rows in pairs if all(_together(join, rows, tables) for join in joins)]


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
