"""Values of filters: checked against the type of a column, and made SQL literals."""

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
from psycopg import sql

from matengine.engine.query.relation import TIME
from matengine.errors import Invalid
from matengine.times import parse_time

_LARGEST = 2**63 - 1
# from here on a float no longer tells whole numbers apart
_EXACT = 2**53
_DIGITS = re.compile(r"[+-]?[0-9]{1,100}")
_BOOLEANS = {"true": True, "t": True, "false": False, "f": False}

SQL_TYPES: dict[pa.DataType, str] = {
    pa.int64(): "bigint",
    pa.int32(): "float8",  # numbers of all kinds may be compared with it, exactly
    pa.float64(): "float8",
    pa.bool_(): "boolean",
    pa.string(): "text",
    TIME: "timestamptz",
}
_CALLED = {
    pa.int64(): "a whole number",
    pa.int32(): "a number",
    pa.float64(): "a number",
    pa.bool_(): "true or false",
    pa.string(): "text",
    TIME: "an ISO time",
}


def check(kind: pa.DataType, value: Any, what: str) -> Any:
    """The value in the Python type that a column of this type is compared with.

    Whole numbers may be given as text, so may times and true and false. Raises Invalid, saying
    `what` the value is for.
    """
    if hasattr(value, "item"):
        value = value.item()  # a NumPy scalar
    try:
        return _CHECKS[kind](value)
    except (ValueError, TypeError, KeyError, OverflowError):
        hint = "NULL passes no filter." if value is None else None
        raise Invalid(f"{what} takes {_CALLED[kind]}, not {_shown(value)}.", hint) from None


def check_all(kind: pa.DataType, values: Any, what: str) -> list[Any]:
    """A list of values; whole numbers that no bigint can be are left out."""
    if hasattr(values, "tolist"):
        values = values.tolist()  # of NumPy or Arrow
    if isinstance(values, str | bytes | dict) or not isinstance(values, Sequence | set | frozenset):
        raise Invalid(f"{what} takes a list of values, not {_shown(values)}.")
    if kind == pa.int64():
        if not all(type(value) is int for value in values):
            values = [check(kind, value, what) for value in values]
        return [value for value in values if -_LARGEST - 1 <= value <= _LARGEST]
    return [check(kind, value, what) for value in values]


def literal(kind: pa.DataType, value: Any) -> sql.Composed:
    """A checked value."""
    if kind == pa.int64() and abs(value) > _LARGEST:
        return sql.SQL("{}::numeric").format(sql.Literal(str(value)))
    return sql.SQL("{}::{}").format(sql.Literal(_text(value)), sql.SQL(SQL_TYPES[kind]))


def array(kind: pa.DataType, values: list[Any]) -> sql.Composed:
    """Checked values as one array literal, which is quick to parse also with 10^5 of them."""
    if kind == pa.string():
        body: sql.Composable = sql.Literal(values)
    else:
        texts = map(str if kind == pa.int64() else _text, values)
        body = sql.Literal("{" + ",".join(texts) + "}")
    return sql.SQL("{}::{}[]").format(body, sql.SQL(SQL_TYPES[kind]))


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _whole(value: Any) -> int:
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value.strip()):
            raise ValueError
    elif isinstance(value, float):
        if not value.is_integer() or abs(value) >= _EXACT:
            raise ValueError
    elif not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    number = float(value)
    if math.isnan(number):
        raise ValueError
    return number


def _boolean(value: Any) -> bool:
    return value if isinstance(value, bool) else _BOOLEANS[str(value).lower()]


def _string(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    value.encode()  # lone surrogates are a ValueError
    return value


def _time(value: Any) -> datetime:
    if isinstance(value, str):
        return parse_time(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_CHECKS: dict[pa.DataType, Callable[[Any], Any]] = {
    pa.int64(): _whole,
    pa.int32(): _number,
    pa.float64(): _number,
    pa.bool_(): _boolean,
    pa.string(): _string,
    TIME: _time,
}
