"""What travels in requests and answers: ids, times, JSON, whatever the content type says."""

import zlib
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Annotated, Any

import numpy as np
import orjson
from flask import Response, request
from numpy.typing import NDArray
from pydantic import Field

from matengine.errors import Invalid
from matengine.times import from_ms, now

Ids = NDArray[np.int64]
Id = Annotated[int, Field(ge=0, lt=2**63)]
"""An id in a path or query string."""

# the largest request body once unpacked
MAX_UNPACKED_BYTES = 1_000_000_000


def refuse_nul() -> None:
    """Raise Invalid for an address with a NUL in it: no name has one, and PostgreSQL takes none."""
    if "\0" in request.path or any(
        "\0" in value for values in request.args.listvalues() for value in values
    ):
        raise Invalid("An address cannot contain NUL.")


def reply(content: Any, status: int = 200) -> Response:
    """JSON; NumPy arrays become lists, 64-bit numbers stay exact."""
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    body = orjson.dumps(content, option=options)
    return Response(body, status=status, content_type="application/json")


def reply_binary(ids: Ids) -> Response:
    """The ids as raw little-endian 64-bit numbers."""
    return Response(ids.astype("<i8").tobytes(), content_type="application/octet-stream")


def body() -> bytes:
    """The request's body, unpacked where it came gzipped."""
    content = request.get_data()
    if request.headers.get("Content-Encoding", "").lower() != "gzip":
        return content
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(content, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise Invalid("The body is not gzipped, though Content-Encoding says so.") from error
    if not unpacker.eof:
        raise Invalid("The gzipped body is cut off, or too large.")
    return unpacked


def json_body() -> Any:
    """The body as JSON, with or without a content type, on any method."""
    try:
        return orjson.loads(body())
    except orjson.JSONDecodeError as error:
        raise Invalid("The body is not JSON.") from error


def json_field(name: str) -> Any:
    """One field of a JSON object in the body; raises Invalid where it is missing."""
    content = json_body()
    if not isinstance(content, dict) or name not in content:
        raise Invalid(f"The body lacks '{name}'.", f'Send {{"{name}": …}}.')
    return content[name]


def ids_in(values: Any) -> Ids:
    """Ids of a JSON list (or a single one) as int64; numbers or texts of digits."""
    listed = values if isinstance(values, list) else [values]
    if not all(isinstance(value, int | str) and not isinstance(value, bool) for value in listed):
        raise Invalid("Ids are whole numbers.")
    try:
        return np.array([int(value) for value in listed], np.int64)
    except (ValueError, OverflowError):
        raise Invalid("Ids are whole numbers of at most 63 bits.") from None


def ids_in_body() -> Ids:
    """Ids of a body of raw little-endian 64-bit numbers; from 2^63 on as two's complement."""
    content = body()
    if len(content) % 8:
        raise Invalid(f"{len(content)} bytes are no list of 64-bit ids.")
    return np.frombuffer(content, "<i8").astype(np.int64)


def ids_out(ids: Any) -> list[Any]:
    """Ids as a JSON list: texts where ?int64_as_str=1 asks for them (for JavaScript)."""
    listed = [int(i) for i in ids]
    return [str(i) for i in listed] if flag("int64_as_str") else listed


def id_out(value: int) -> int | str:
    """One id, as `ids_out`."""
    return str(value) if flag("int64_as_str") else int(value)


def flag(name: str, default: bool = False) -> bool:
    """A query parameter that is true or false."""
    text = request.args.get(name, "").strip().lower()
    return text in ("1", "true", "yes") if text else default


def time_in(name: str) -> datetime | None:
    """A query parameter in seconds since 1970, floored to the millisecond without rounding.

    None where it is missing; raises Invalid where it is no time.
    """
    text = request.args.get(name, "").strip()
    if not text:
        return None
    try:
        ms = (Decimal(text) * 1000).to_integral_value(ROUND_FLOOR)
        return from_ms(int(ms))
    except (ArithmeticError, ValueError):
        raise Invalid(
            f"'{text}' is no time for {name}.", "Give seconds since 1970, such as 1700000000.123."
        ) from None


def time_or_now(name: str) -> datetime:
    """A query parameter as `time_in`, the present where it is missing."""
    return time_in(name) or now()


def time_required(name: str) -> datetime:
    """A query parameter as `time_in`; raises Invalid where it is missing."""
    time = time_in(name)
    if time is None:
        raise Invalid(f"The parameter {name} is missing.", "Give seconds since 1970.")
    return time
