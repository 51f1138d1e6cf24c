"""Receipts of loads: how far each got, written in the transaction of the rows themselves."""

from dataclasses import dataclass

from matengine.errors import Conflict
from matengine.storage.connections import Connection


@dataclass(frozen=True)
class Receipt:
    """A load under way or finished. `indexes` are the statements of those yet to be made anew."""

    name: str
    fingerprint: str
    rows_done: int
    indexes: list[str]
    finished: bool


def find(conn: Connection, name: str) -> Receipt | None:
    """The receipt of this name, if there is one."""
    row = conn.execute(
        "SELECT name, fingerprint, rows_done, indexes, finished IS NOT NULL"
        " FROM matengine.bulk_receipt WHERE name = %s",
        (name,),
    ).fetchone()
    return None if row is None else Receipt(*row)


def begin(conn: Connection, name: str, table: str, fingerprint: str, indexes: list[str]) -> None:
    """Open a receipt; raises Conflict where another load opened it meanwhile."""
    made = conn.execute(
        "INSERT INTO matengine.bulk_receipt (name, table_name, fingerprint, indexes)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (name, table, fingerprint, indexes),
    )
    if made.rowcount == 0:
        raise _busy(name)


def advance(conn: Connection, name: str, done: int, rows: int) -> None:
    """Note `rows` more behind the `done` first; raises Conflict where the receipt has moved.

    Called before the rows are written: the lock on the receipt keeps a second load out.
    """
    moved = conn.execute(
        "UPDATE matengine.bulk_receipt SET rows_done = rows_done + %s, moved = clock_timestamp()"
        " WHERE name = %s AND rows_done = %s AND finished IS NULL",
        (rows, name, done),
    )
    if moved.rowcount == 0:
        raise _busy(name)


def finish(conn: Connection, name: str) -> None:
    """Close a receipt: all rows and indexes are there."""
    closed = conn.execute(
        "UPDATE matengine.bulk_receipt SET finished = clock_timestamp(), indexes = '{}'"
        " WHERE name = %s AND finished IS NULL",
        (name,),
    )
    if closed.rowcount == 0:
        raise _busy(name)


def _busy(name: str) -> Conflict:
    return Conflict(f"Another load is going on under the receipt '{name}'.")
