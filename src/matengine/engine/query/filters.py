"""Filters as SQL conditions."""

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
from psycopg import errors as pg
from psycopg import sql

from matengine.engine.query import values
from matengine.engine.query.model import Filter, Op
from matengine.engine.query.relation import Column, Form, Relation
from matengine.errors import Invalid
from matengine.storage.connections import Connection

_ORDER: dict[Op, tuple[str, Callable[[Any, Any], bool]]] = {
    Op.GREATER: (">", operator.gt),
    Op.LESS: ("<", operator.lt),
    Op.GREATER_EQUAL: (">=", operator.ge),
    Op.LESS_EQUAL: ("<=", operator.le),
}


def condition(row: str, relation: Relation, asked: Filter, *, half_open: bool) -> sql.Composed:
    """What rows of a relation, under the alias `row`, must be to pass a filter.

    Raises NotFound for an unknown column and Invalid for a value that does not fit it. Regular
    expressions are checked by `check_patterns`.
    """
    what = f"The filter '{asked.op}' on '{asked.column}' of '{relation.name}'"
    if asked.op is Op.BOX:
        return _box(row, relation, asked, what, half_open=half_open)
    if asked.column in relation.points:
        raise Invalid(
            f"'{asked.column}' of '{relation.name}' is a position.",
            f"Filter it by a box, or one of {asked.column}_x, _y and _z by its value.",
        )
    column = relation.column(asked.column)
    if asked.op in (Op.IN, Op.NOT_IN):
        return _among(row, column, values.check_all(column.type, asked.value, what), asked.op)
    if asked.op is Op.EQUAL:
        wanted = values.check(column.type, asked.value, what)
        return _among(row, column, values.check_all(column.type, [wanted], what), Op.IN)
    if asked.op is Op.REGEX:
        if column.type != pa.string():
            raise Invalid(f"{what} is for text, and that is {column.type}.")
        pattern = values.literal(column.type, values.check(column.type, asked.value, what))
        return sql.SQL("{} ~ {}").format(column.value(row), pattern)
    if column.type == pa.bool_():
        raise Invalid(f"{what} has no order to go by: it is true or false.")
    return _compare(row, column, values.check(column.type, asked.value, what), asked.op)


def check_patterns(conn: Connection, filters: Iterable[Filter]) -> None:
    """Raise Invalid for a regular expression that is none."""
    for asked in filters:
        if asked.op is Op.REGEX:
            try:
                with conn.transaction():
                    conn.execute("SELECT '' ~ %s", (asked.value,))
            except pg.InvalidRegularExpression as error:
                raise Invalid(
                    f"{asked.value!r} is no regular expression: {error.diag.message_primary}."
                ) from None


def _among(row: str, column: Column, wanted: list[Any], op: Op) -> sql.Composed:
    listed = values.array(column.type, wanted)
    form = "{} = ANY({})" if op is Op.IN else "{} <> ALL({})"
    zero_passes = (0 in wanted) is (op is Op.IN) if column.form is Form.ZERO else False
    if op is Op.NOT_IN and not wanted:
        # so that NULL passes no filter, whatever is in the list
        return sql.SQL("{} IS NOT NULL").format(column.value(row))
    return _with_zero(row, column, sql.SQL(form).format(_indexed(row, column), listed), zero_passes)


def _compare(row: str, column: Column, value: Any, op: Op) -> sql.Composed:
    sign, holds = _ORDER[op]
    tested = sql.SQL("{} {} {}").format(
        _indexed(row, column), sql.SQL(sign), values.literal(column.type, value)
    )
    if column.type == pa.string():
        tested += sql.SQL(' COLLATE "C"')  # the order of code points, the same everywhere
    return _with_zero(row, column, tested, column.form is Form.ZERO and holds(0, value))


def _indexed(row: str, column: Column) -> sql.Composable:
    """The column in the form that an index has, as long as NULL is spoken of apart."""
    return column.raw(row) if column.form is Form.ZERO else column.value(row)


def _with_zero(row: str, column: Column, tested: sql.Composed, zero_passes: bool) -> sql.Composed:
    if not zero_passes:
        return tested
    return sql.SQL("({} OR {} IS NULL)").format(tested, column.raw(row))


def _box(
    row: str, relation: Relation, asked: Filter, what: str, *, half_open: bool
) -> sql.Composed:
    if asked.column not in relation.points:
        if asked.column in relation.by_name:
            raise Invalid(f"{what} is for positions.")
        raise relation.unknown(asked.column)
    low, high = _corners(asked.value, what)
    return sql.SQL(" AND ").join(
        sql.SQL("{value} >= {lower} AND {value} {below} {upper}").format(
            value=column.value(row),
            lower=_float(lower),
            below=sql.SQL("<" if half_open else "<="),
            upper=_float(upper),
        )
        for column, lower, upper in zip(relation.points[asked.column], low, high, strict=True)
    )


def diagonal(asked: Filter) -> sql.Composed:
    """A line through a box, which an index takes for the box; that rounds boxes outwards."""
    low, high = _corners(asked.value, "A box")
    return sql.SQL("ST_MakeLine(ST_MakePoint({}), ST_MakePoint({}))").format(
        *(sql.SQL(", ").join(map(_float, corner)) for corner in (low, high))
    )


def _corners(given: Any, what: str) -> tuple[list[float], list[float]]:
    hint = "Give two corners, the lower first: [[x, y, z], [x, y, z]], in voxels."
    if hasattr(given, "tolist"):
        given = given.tolist()
    try:
        low, high = (
            [values.check(pa.float64(), number, what) for number in corner] for corner in given
        )
    except (TypeError, ValueError):
        raise Invalid(f"{what} takes a box.", hint) from None
    if len(low) != 3 or len(high) != 3 or not all(map(math.isfinite, low + high)):
        raise Invalid(f"{what} takes a box.", hint)
    if any(lower > upper for lower, upper in zip(low, high, strict=True)):
        raise Invalid(f"{what} has its corners reversed.", hint)
    return low, high


def _float(number: float) -> sql.Composed:
    return values.literal(pa.float64(), number)
