"""Arrow columns of any fitting type to the types that are stored, every misfit marked.

Works on whole arrays. A value that does not fit becomes null and is marked; the caller stores
nothing as long as something is marked.
"""

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from matengine import times
from matengine.engine.annotations.faults import Marker
from matengine.errors import Invalid

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WHOLE = r"^[+-]?\d{1,30}(\.0*)?$"
_ZONED = r":.*(Z|[+-]\d\d(:?\d\d)?)$"
_WIDE = pa.decimal128(38, 0)
# beyond it a double no longer tells neighbouring integers apart
_EXACT = 2**53
_TIMES_US = (-62_135_596_800_000_000, 253_402_300_800_000_000)  # years 1 to 9999
TIME = pa.timestamp("us", "UTC")

Mask = NDArray[np.bool_]
Reader = Callable[[pa.Array, Marker], pa.Array]
Fits = Callable[[pa.DataType], bool]


def fits(kind: pa.DataType, target: pa.DataType) -> bool:
    """Whether a column of type `kind` may hold values for one of type `target`."""
    return bool(pa.types.is_null(kind) or any(test(kind) for test in _READERS[target][0]))


def read(values: pa.Array, target: pa.DataType, marker: Marker) -> pa.Array:
    """`values`, of a type that fits, as an array of type `target`."""
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), target)
    return _READERS[target][1](values, marker)


def mask(found: pa.Array) -> Mask:
    """A boolean array for NumPy, null counted as false."""
    numpy: Mask = pc.fill_null(found, False).to_numpy(zero_copy_only=False)
    return numpy


def blank(values: pa.Array, wrong: Mask) -> pa.Array:
    """`values` with null where `wrong` is true."""
    if not wrong.any():
        return values
    return pc.if_else(pa.array(wrong), pa.scalar(None, values.type), values)


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_number(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind))


def numbers(values: pa.Array, marker: Marker) -> pa.Array:
    """Doubles; text is read as a number. NaN and infinity pass."""
    if not is_text(values.type):
        return values.cast(pa.float64(), safe=False)
    text = pc.utf8_trim_whitespace(values)
    named = pc.is_in(pc.utf8_lower(text), pa.array(["nan", "inf", "-inf", "+inf"], text.type))
    wrong = ~mask(pc.or_(pc.match_substring_regex(text, _NUMBER), named)) & mask(text.is_valid())
    marker.mark("value", wrong, "is not a number")
    return blank(text, wrong).cast(pa.float64())


def _finite(values: pa.Array, marker: Marker) -> pa.Array:
    doubles = numbers(values, marker)
    wrong = ~mask(pc.is_finite(doubles)) & mask(doubles.is_valid())
    marker.mark("value", wrong, "is not a finite number; leave it empty where it is not known")
    return blank(doubles, wrong)


def _integers(target: pa.DataType) -> Reader:
    bits = target.bit_width
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def read_integers(values: pa.Array, marker: Marker) -> pa.Array:
        whole = _whole(values, marker)
        if pa.types.is_integer(whole.type) and whole.type.bit_width < 64:
            whole = whole.cast(pa.int64())
        # compare in the column's own type, whose range may be wider or narrower
        wide = whole if pa.types.is_integer(whole.type) else whole.cast(_WIDE)
        outside = np.zeros(len(wide), bool)
        for bound, compare in ((low, pc.less), (high, pc.greater)):
            limit = _scalar(bound, wide.type)
            if limit is not None:
                outside |= mask(compare(wide, limit))
        marker.mark("range", outside, f"does not fit into {bits} bits")
        return blank(wide, outside).cast(target)

    return read_integers


def _scalar(bound: int, kind: pa.DataType) -> pa.Scalar | None:
    """`bound` in the type, or None where every value of the type is within it."""
    if pa.types.is_uint64(kind):
        return pa.scalar(bound, kind) if bound >= 0 else None
    return pa.scalar(Decimal(bound) if pa.types.is_decimal(kind) else bound, kind)


def _whole(values: pa.Array, marker: Marker) -> pa.Array:
    """Integers or decimals without a fraction."""
    if pa.types.is_integer(values.type):
        return values
    given = mask(values.is_valid())
    if is_text(values.type):
        text = pc.utf8_trim_whitespace(values)
        wrong = given & ~mask(pc.match_substring_regex(text, _WHOLE))
        marker.mark("value", wrong, "is not a whole number")
        plain = pc.replace_substring_regex(blank(text, wrong), r"^\+|\.0*$", "")
        return plain.cast(_WIDE)
    doubles = values.cast(pa.float64(), safe=False)
    wrong = given & ~mask(pc.equal(pc.floor(doubles), doubles))
    marker.mark("value", wrong, "is not a whole number")
    vague = given & ~wrong & mask(pc.greater(pc.abs(doubles), _EXACT))
    marker.mark("range", vague, "is a float too large to be an exact whole number")
    return blank(doubles, wrong | vague).cast(pa.int64())


def _text(values: pa.Array, marker: Marker) -> pa.Array:
    wrong = mask(pc.match_substring(values, "\0"))
    marker.mark("value", wrong, "contains a zero byte, which cannot be stored")
    return blank(values, wrong)


def _booleans(values: pa.Array, marker: Marker) -> pa.Array:
    if pa.types.is_boolean(values.type):
        return values
    words = values
    if pa.types.is_integer(values.type):
        words = values.cast(pa.string())
    words = pc.utf8_lower(pc.utf8_trim_whitespace(words))
    yes = mask(pc.is_in(words, pa.array(["true", "t", "1"], words.type)))
    no = mask(pc.is_in(words, pa.array(["false", "f", "0"], words.type)))
    given = mask(words.is_valid())
    marker.mark("value", given & ~yes & ~no, "is neither true nor false")
    return pa.array(yes, mask=~(yes | no))


def _times(values: pa.Array, marker: Marker) -> pa.Array:
    if is_text(values.type):
        return _written_times(values, marker)
    naive = values.cast(
        pa.timestamp("us", values.type.tz if _is_time(values.type) else None), safe=False
    )
    micros = naive.cast(pa.int64())
    outside = mask(pc.or_(pc.less(micros, _TIMES_US[0]), pc.greater_equal(micros, _TIMES_US[1])))
    marker.mark("range", outside, "is not a time between the years 1 and 9999")
    # Arrow keeps UTC inside whatever the zone; a naive time means UTC
    return blank(micros, outside).cast(TIME)


def _written_times(text: pa.Array, marker: Marker) -> pa.Array:
    zoned = mask(pc.match_substring_regex(text, _ZONED))
    try:
        with_zone = blank(text, ~zoned).cast(TIME)
        without = blank(text, zoned).cast(pa.timestamp("us")).cast(pa.int64()).cast(TIME)
        return pc.coalesce(with_zone, without)
    except pa.ArrowInvalid:
        return _one_by_one(text, marker)


def _one_by_one(text: pa.Array, marker: Marker) -> pa.Array:
    """Some time cannot be read, or in a spelling that only Python knows."""
    read_times, wrong = [], np.zeros(len(text), bool)
    for place, word in enumerate(text.to_pylist()):
        try:
            read_times.append(None if word is None else times.parse_time(word))
        except Invalid:
            read_times.append(None)
            wrong[place] = True
    marker.mark("value", wrong, "is not a time; write it as 2026-01-31T12:00:00 (UTC)")
    return pa.array(read_times, TIME)


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind))


# target type: the kinds of column that fit, and how they are read
_READERS: dict[pa.DataType, tuple[tuple[Fits, ...], Reader]] = {
    pa.int64(): ((is_number, is_text), _integers(pa.int64())),
    pa.int32(): ((is_number, is_text), _integers(pa.int32())),
    pa.float64(): ((is_number, is_text), _finite),
    pa.bool_(): ((pa.types.is_boolean, pa.types.is_integer, is_text), _booleans),
    pa.string(): ((is_text,), _text),
    TIME: ((_is_time, pa.types.is_date, is_text), _times),
}
