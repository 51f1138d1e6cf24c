"""The ids of annotations: from the table's sequence, or given and then left out by it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from matengine.errors import Conflict, Invalid
from matengine.storage.connections import Connection

# ids that may be given: the sequence must be able to go on behind them
MAX_ID = 2**62
_SHOWN = 10
_LOCK = 0x6D617473


def check(given: Sequence[Any], what: str = "id", *, repeated: bool = False) -> list[int]:
    """`given` as distinct ids, where they may be `repeated` each once; else raises Invalid."""
    checked = [_id(value, what) for value in given]
    if repeated:
        return list(dict.fromkeys(checked))
    if len(set(checked)) < len(checked):
        seen: set[int] = set()
        twice = [i for i in checked if i in seen or seen.add(i)]  # type: ignore[func-returns-value]
        raise Invalid(f"The {what} {named(twice)} is given more than once.")
    return checked


def _id(value: Any, what: str) -> int:
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool) or not isinstance(plain, int):
        raise Invalid(f"An {what} must be an integer, not {plain!r}.")
    if not 0 <= plain <= MAX_ID:
        raise Invalid(f"An {what} must lie between 0 and 2^62, not {plain}.")
    return plain


def named(ids: Sequence[int]) -> str:
    """Some ids for a message."""
    more = len(ids) - _SHOWN
    shown = ", ".join(map(str, sorted(set(ids))[:_SHOWN]))
    return f"{shown} and {more} more" if more > 0 else shown


def take(conn: Connection, table: str, count: int) -> NDArray[np.int64]:
    """The next `count` ids of the table's sequence, rising. They never return, even unused."""
    with _sequence(conn, table) as name:
        rows = conn.execute("SELECT nextval(%s) FROM generate_series(1, %s)", (name, count))
        return np.fromiter((i for (i,) in rows), np.int64, count)


def advance(conn: Connection, table: str, past: int) -> None:
    """Let the sequence go on behind `past`, unless it is there already."""
    if past < 1:  # where sequences begin
        return
    with _sequence(conn, table) as name:
        # regclass prints a name that is quoted where it must be
        conn.execute(
            sql.SQL(
                "SELECT setval({name}, {past}) FROM {sequence} WHERE last_value < {past}"
                " OR (last_value = {past} AND NOT is_called)"
            ).format(
                name=sql.Literal(name),
                past=sql.Literal(past),
                sequence=sql.Identifier(*_parts(conn, name)),
            )
        )


def _parts(conn: Connection, name: str) -> tuple[str, ...]:
    row = conn.execute("SELECT parse_ident(%s)", (name,)).fetchone()
    assert row is not None
    return tuple(row[0])


@contextmanager
def _sequence(conn: Connection, table: str) -> Iterator[str]:
    """The sequence of the table's ids, one user at a time.

    A sequence has no compare-and-set: between reading and setting it another could take ids behind
    the value set. Rolling back lets go of the lock at once; sequences do not roll back.
    """
    row = conn.execute(
        "SELECT pg_get_serial_sequence(%s, 'id'), %s::regclass::oid::int",
        (f'public."{table}"',) * 2,
    ).fetchone()
    assert row is not None
    name, oid = row
    with conn.transaction(force_rollback=True):
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCK, oid))
        yield name


def taken(conn: Connection, table: str, given: Sequence[int]) -> list[int]:
    """Which of these ids the table has."""
    rows = conn.execute(
        sql.SQL("SELECT id FROM {} WHERE id = ANY(%s) ORDER BY 1").format(
            sql.Identifier("public", table)
        ),
        (list(given),),
    )
    return [i for (i,) in rows]


def refuse_taken(conn: Connection, table: str, given: Sequence[int]) -> None:
    """Raise Conflict where the table has one of these ids."""
    found = taken(conn, table, given)
    if found:
        raise Conflict(
            f"The table '{table}' has already rows of id {named(found)}.",
            "Update them, or leave the ids out to get new ones.",
        )
