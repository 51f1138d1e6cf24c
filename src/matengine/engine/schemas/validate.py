"""Checks one annotation as clients write it and flattens it to column values."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from matengine.errors import Invalid, did_you_mean

from .flatten import flat_name, flatten
from .model import Field, Kind, Schema

Position = tuple[float, float, float]


class _Fault(Exception):
    """Why one value cannot be stored; the message reads on from the field's name."""


def validate_row(schema: Schema, nested: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every column of `flatten(schema)`; None where nothing was given.

    `nested` is the client's form: `{"pt": {"position": [x, y, z]}, "tag": "soma"}`, positions in
    voxels of the table's resolution. Positions become tuples of three floats, ids and integers int.
    Keys that the schema does not know are dropped at the top level, as clients send `id` and
    columns of their own there, and refused inside a point. A user id is not demanded: the server
    fills it in.

    Raises Invalid with all faults, one `field: reason` a line.
    """
    if not isinstance(nested, Mapping):
        raise Invalid(f"An annotation must be an object of fields, not {_shown(nested)}.")
    values: dict[str, Any] = {column.name: None for column in flatten(schema)}
    faults: list[str] = []
    for field in schema.fields:
        given = nested.get(field.name)
        if given is None:
            if field.required and field.kind is not Kind.USER:
                faults.append(_missing(field, nested))
        elif field.kind.is_point:
            _read_point(field, given, values, faults)
        else:
            _read(field, given, field.name, field.name, values, faults)
    if faults:
        raise Invalid("\n".join(faults))
    return values


def _missing(field: Field, nested: Mapping[str, Any]) -> str:
    reason = f"{field.name}: is required"
    flat = flat_name(field.name, "position")
    if field.kind.is_point and flat in nested:
        reason += f'; write {{"{field.name}": {{"position": [x, y, z]}}}} for {flat}'
    return reason


def _read_point(field: Field, given: Any, values: dict[str, Any], faults: list[str]) -> None:
    """Read the parts of a point into their columns."""
    if not isinstance(given, Mapping):
        faults.append(f'{field.name}: must be {{"position": [x, y, z]}}, not {_shown(given)}')
        return
    known = {part.name: part for part in field.parts}
    for key in given:
        if key not in known:
            hint = did_you_mean(str(key), known)
            faults.append(f"{field.name}.{key}: is not part of a {field.kind}. {hint}")
    for name, part in known.items():
        path = f"{field.name}.{name}"
        if given.get(name) is not None:
            _read(part, given[name], flat_name(field.name, name), path, values, faults)
        elif part.required:
            faults.append(f"{path}: is required")


def _read(
    field: Field, given: Any, column: str, path: str, values: dict[str, Any], faults: list[str]
) -> None:
    """Read one value into its column, or add why not to the faults."""
    try:
        value = _READERS[field.kind](_plain(given))
        if field.choices and value not in field.choices:
            choices = ", ".join(map(str, field.choices))
            raise _Fault(f"must be one of {choices}, not {_shown(given)}")
    except _Fault as fault:
        faults.append(f"{path}: {fault}")
    else:
        values[column] = value


def _position(given: Any) -> Position:
    if not isinstance(given, list | tuple) or len(given) != 3:
        raise _Fault(f"must be three numbers x, y, z in voxels, not {_shown(given)}")
    x, y, z = (_float(number) for number in given)
    return x, y, z


def _float(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise _Fault(f"must be a number, not {_shown(given)}")
    try:
        value = float(given)
    except OverflowError:
        raise _Fault(f"must be a finite number, not {_shown(given)}") from None
    if not isfinite(value):
        raise _Fault(f"must be a finite number, not {_shown(given)}")
    return value


def _integer(given: Any) -> int:
    """A 32-bit integer; whole floats pass, as dataframes with gaps turn integers to floats."""
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    return _within(given, -(2**31), 2**31 - 1)


def _bigint(given: Any) -> int:
    return _within(given, -(2**63), 2**63 - 1)


def _segmentation(given: Any) -> int:
    return _within(given, 0, 2**63 - 1)


def _within(given: Any, low: int, high: int) -> int:
    """An integer of this range. Floats are refused: an id that was one may have lost digits."""
    if isinstance(given, bool) or not isinstance(given, int):
        raise _Fault(f"must be an integer, not {_shown(given)}")
    if not low <= given <= high:
        raise _Fault(f"must lie between {low} and {high}, not {_shown(given)}")
    return given


def _string(given: Any) -> str:
    if not isinstance(given, str):
        raise _Fault(f"must be a string, not {_shown(given)}")
    if "\0" in given or any("\ud800" <= letter <= "\udfff" for letter in given):
        raise _Fault("must not contain NUL or half of a surrogate pair, which cannot be stored")
    return str(given)


def _boolean(given: Any) -> bool:
    if not isinstance(given, bool):
        raise _Fault(f"must be true or false, not {_shown(given)}")
    return given


_READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.GEOMETRY: _position,
    Kind.SEGMENTATION: _segmentation,
    Kind.REFERENCE: _bigint,
    Kind.USER: _bigint,
    Kind.BIGINT: _bigint,
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.STRING: _string,
    Kind.BOOLEAN: _boolean,
}


def _plain(given: Any) -> Any:
    """NumPy scalars and arrays as Python's own values, without importing NumPy."""
    return given.tolist() if hasattr(given, "tolist") else given


def _shown(given: Any) -> str:
    """A value for a message, cut where it is long."""
    try:
        told = repr(given)
    except ValueError:  # Python prints no integers of more than some thousand digits
        return "a value too long to show"
    return told if len(told) <= 60 else f"{told[:57]}..."
