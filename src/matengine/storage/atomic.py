"""All or nothing, inside the caller's transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.pq import TransactionStatus

from matengine.storage.connections import Connection


@contextmanager
def atomic(conn: Connection) -> Iterator[None]:
    """A block whose writes all stay or all go; the caller's transaction survives an error.

    On an autocommit connection the block is a transaction of its own.
    """
    if not conn.autocommit and conn.info.transaction_status == TransactionStatus.IDLE:
        # begins the caller's transaction: without one the block's end would commit
        conn.execute("SELECT 1")
    with conn.transaction():
        yield
