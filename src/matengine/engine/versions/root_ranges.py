"""Ranges of the ordering root, by which the rows of a table are shared out among units."""

from collections.abc import Iterable
from itertools import pairwise

from psycopg import sql

from matengine.engine.runs.units import Unit
from matengine.engine.versions.layout import Layout

Range = tuple[int | None, int | None]


def between(cuts: Iterable[tuple[int | None]]) -> list[Range]:
    """The ranges that rising cuts make; the first and the last are open."""
    bounds = [None, *(int(cut) for (cut,) in cuts if cut is not None), None]
    # a cut begins a range, so the range before it ends one short of it
    return [(low, None if high is None else high - 1) for low, high in pairwise(bounds)]


def order(table: Layout, *alias: str) -> sql.Composed:
    """The ordering root; 0 for rows where it is not known."""
    return sql.SQL("coalesce({}, 0)").format(sql.Identifier(*alias, table.order))


def within(table: Layout, unit: Unit, alias: str) -> sql.Composed:
    """The condition that a row is in the unit's range."""
    conditions = [sql.SQL("true").format()]
    for bound, comparison in ((unit.first_id, ">="), (unit.last_id, "<=")):
        if bound is not None:
            conditions.append(
                sql.SQL(f"{{}} {comparison} {{}}").format(order(table, alias), sql.Literal(bound))
            )
    return sql.SQL(" AND ").join(conditions)
