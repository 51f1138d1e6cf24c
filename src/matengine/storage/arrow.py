"""Rows out of PostgreSQL as Arrow, batch by batch."""

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

# The driver reads the whole catalogue of types when it opens a database (0.1 s and more), so one
# opening is kept for each database and process; connections are cloned from it.
_KEPT = 8
_opened: dict[tuple[int, str], adbc.Connection] = {}
_lock = threading.Lock()


@contextmanager
def stream(conninfo: str, query: str) -> Iterator[pa.RecordBatchReader]:
    """Run `query` (already composed, nothing bound) and read it as record batches.

    `conninfo` is a libpq connection string. The reader lives as long as the context.
    """
    with _original(conninfo).adbc_clone() as connection, connection.cursor() as cursor:
        cursor.execute(query)
        yield cursor.fetch_record_batch()


def read_table(conninfo: str, query: str) -> pa.Table:
    """The whole answer of `query` at once, for answers known to be small."""
    with stream(conninfo, query) as reader:
        return reader.read_all()


@atexit.register
def close() -> None:
    """Close what is kept open; the driver complains where a process ends without."""
    with _lock:
        while _opened:
            (pid, _), connection = _opened.popitem()
            if pid == os.getpid():
                connection.close()


def _original(conninfo: str) -> adbc.Connection:
    key = (os.getpid(), conninfo)
    with _lock:
        if key not in _opened:
            while len(_opened) >= _KEPT:
                oldest = next(iter(_opened))
                connection = _opened.pop(oldest)
                if oldest[0] == key[0]:  # not one that a parent process opened
                    connection.close()
            _opened[key] = adbc.connect(conninfo)
        return _opened[key]
