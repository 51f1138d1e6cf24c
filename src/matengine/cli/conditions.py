"""What the options of a query say: conditions, boxes and joins as text."""

import re
from collections.abc import Iterable

from matengine.engine.query.model import Filter, Join, Op
from matengine.errors import Invalid

_OPS = {
    "=": Op.IN,
    "!=": Op.NOT_IN,
    ">": Op.GREATER,
    "<": Op.LESS,
    ">=": Op.GREATER_EQUAL,
    "<=": Op.LESS_EQUAL,
    "~": Op.REGEX,
}
_CONDITION = re.compile(r"\s*([\w.]+)\s*(!=|>=|<=|=|>|<|~)(.*)", re.DOTALL)
_JOIN = re.compile(r"\s*(\w+)\.(\w+)\s*=\s*(\w+)\.(\w+)\s*")


def filters(table: str, where: Iterable[str], boxes: Iterable[str]) -> tuple[Filter, ...]:
    """Conditions `COLUMN=VALUE` and boxes `COLUMN=x,y,z,x,y,z`, of `table` or `TABLE.COLUMN`.

    Several values of a column with = or with != are one list. Raises Invalid.
    """
    listed: dict[tuple[str, str, Op], list[str]] = {}
    found = []
    for text in where:
        matched = _CONDITION.fullmatch(text)
        if matched is None:
            raise Invalid(
                f"'{text}' is no condition.",
                f"Write --where 'COLUMN=VALUE', or with one of {' '.join(_OPS)}.",
            )
        name, sign, value = matched.groups()
        op = _OPS[sign]
        if op in (Op.IN, Op.NOT_IN):
            listed.setdefault((*_place(table, name), op), []).append(value.strip())
        else:
            found.append(Filter(*_place(table, name), op, value.strip()))
    found += [Filter(*place, values) for place, values in listed.items()]
    return (*found, *(_box(table, text) for text in boxes))


def joins(texts: Iterable[str]) -> tuple[Join, ...]:
    """Joins `TABLE.COLUMN=TABLE.COLUMN`; raises Invalid."""
    found = []
    for text in texts:
        matched = _JOIN.fullmatch(text)
        if matched is None:
            raise Invalid(f"'{text}' is no join.", "Write --join TABLE.COLUMN=OTHER_TABLE.COLUMN.")
        found.append(Join(*matched.groups()))
    return tuple(found)


def columns(text: str | None, about: Iterable[str]) -> dict[str, list[str]] | list[str] | None:
    """A list of columns; as soon as one is written TABLE.COLUMN, all are told by table."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not any("." in name for name in names):
        return names
    first = next(iter(about))
    by_table: dict[str, list[str]] = {}
    for table, column in (_place(first, name) for name in names):
        by_table.setdefault(table, []).append(column)
    return by_table


def numbers(text: str, count: int, what: str) -> list[float]:
    """So many numbers with commas between; raises Invalid."""
    try:
        found = [float(number) for number in text.split(",")]
    except ValueError:
        found = []
    if len(found) != count:
        raise Invalid(f"{what} takes {count} numbers with commas between, not '{text}'.")
    return found


def _place(table: str, name: str) -> tuple[str, str]:
    """(table, column) of a column that may be written with its table."""
    other, dot, column = name.strip().rpartition(".")
    return (other, column) if dot else (table, column)


def _box(table: str, text: str) -> Filter:
    name, _, corners = text.partition("=")
    six = numbers(corners, 6, "--box COLUMN=")
    return Filter(*_place(table, name), Op.BOX, [six[:3], six[3:]])
