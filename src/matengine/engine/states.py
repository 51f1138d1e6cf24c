"""States of viewers, kept by a number: JSON text as it was sent, which never changes."""

import json
import secrets

from matengine.errors import Conflict, Invalid, NotFound
from matengine.storage import server_wide

STATE, PROPERTY = "state", "property"
MAX_BYTES = 32_000_000
# JavaScript has no integers from here on
_MAX_ID = 2**53


def put(kind: str, content: bytes, number: int | None = None) -> int:
    """Keep a JSON text and give its number: a random one, or the one that is wanted. Commits.

    Raises Invalid for what is no JSON or too long, Conflict where the number has another text.
    """
    _check(content)
    if number is not None and not 0 < number < _MAX_ID:
        raise Invalid(f"{number} cannot number a state.", "Use one from 1 to 2^53.")
    with server_wide.connect() as conn:
        while True:
            wanted = number or 1 + secrets.randbelow(_MAX_ID - 1)
            added = conn.execute(
                "INSERT INTO state (kind, id, content) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING RETURNING id",
                (kind, wanted, content),
            ).fetchone()
            if added is not None:
                return wanted
            if number is not None:
                break
    if get(kind, number) != content:
        raise Conflict(f"The number {number} has another {kind}.", "What is kept never changes.")
    return number


def get(kind: str, number: int) -> bytes:
    """The text of a number, byte for byte; raises NotFound."""
    if number < 2**63:
        with server_wide.connect() as conn:
            found = conn.execute(
                "SELECT content FROM state WHERE kind = %s AND id = %s", (kind, number)
            ).fetchone()
        if found is not None:
            return bytes(found[0])
    raise NotFound(f"There is no {kind} {number}.")


def _check(content: bytes) -> None:
    if len(content) > MAX_BYTES:
        raise Invalid(f"A state has at most {MAX_BYTES // 1_000_000} MB.")
    try:
        # Python's reader, because Python's writer makes NaN of gaps
        json.loads(content)
    except (ValueError, RecursionError):
        raise Invalid("The body is not JSON.") from None
