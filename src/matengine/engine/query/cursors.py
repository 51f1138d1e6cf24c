"""Cursors: where an answer ended, as text that the next question hands in."""

import base64
import hashlib
import struct
from binascii import Error

from matengine.errors import Invalid

_DIGEST = 12


def write(statement: str, key: tuple[int, ...]) -> str:
    """The cursor after the row of these ids in the answer to a statement."""
    packed = _digest(statement) + struct.pack(f">{len(key)}q", *key)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read(cursor: str, statement: str, length: int) -> tuple[int, ...]:
    """The ids in a cursor; raises Invalid for what is none of this statement."""
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (Error, ValueError):
        packed = b""
    if packed[:_DIGEST] != _digest(statement) or len(packed) != _DIGEST + 8 * length:
        raise Invalid(
            "This cursor is not one of this query.",
            "Repeat the query as it was, at the same version, with another limit at most.",
        )
    return struct.unpack(f">{length}q", packed[_DIGEST:])


def _digest(statement: str) -> bytes:
    return hashlib.blake2b(statement.encode(), digest_size=_DIGEST).digest()
