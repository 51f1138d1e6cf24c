"""Rows out of PostgreSQL as Arrow, batch by batch."""

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from matengine.errors import Gone, MatengineError, Unavailable

# The driver reads the whole catalogue of types when it opens a database (0.1 s and more), so one
# opening is kept for each database and process; connections are cloned from it.
_KEPT = 8
_opened: dict[tuple[int, str], adbc.Connection] = {}
_lock = threading.Lock()
# nothing waits for ever; long enough for a unit of work on a large table
DEADLINE_S = 12 * 3600.0


@contextmanager
def stream(
    conninfo: str, query: str, deadline_s: float = DEADLINE_S
) -> Iterator[pa.RecordBatchReader]:
    """Run `query` (already composed, nothing bound) and read it as record batches.

    `conninfo` is a libpq connection string. The reader lives as long as the context; when that is
    left before the end of the answer, the query is cancelled. Raises Unavailable, also in the
    midst of the answer, where the query is still running after `deadline_s` or the server ends
    it, and Gone where it reads an epoch that is not kept any more.
    """
    with _told(deadline_s):
        connection = _original(conninfo).adbc_clone()
    with connection, connection.cursor() as cursor:
        with _told(deadline_s):
            cursor.execute(f"SET statement_timeout TO {max(1, round(deadline_s * 1000))}")
            cursor.execute(query)
        answer = _Answer(cursor.fetch_record_batch(), deadline_s)
        try:
            yield pa.RecordBatchReader.from_batches(answer.reader.schema, answer)
        finally:
            if not answer.ended:
                answer.ended = True
                with suppress(adbc.Error):
                    cursor.adbc_cancel()


def read_table(conninfo: str, query: str) -> pa.Table:
    """The whole answer of `query` at once, for answers known to be small."""
    with stream(conninfo, query) as reader:
        return reader.read_all()


class _Answer:
    """The batches of a reader as long as its connection is there."""

    def __init__(self, reader: pa.RecordBatchReader, deadline_s: float) -> None:
        self.reader = reader
        self.ended = False
        self._deadline_s = deadline_s

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while not self.ended:
            try:
                with _told(self._deadline_s):
                    batch = self.reader.read_next_batch()
            except StopIteration:
                break
            yield batch
        self.ended = True


@contextmanager
def _told(deadline_s: float) -> Iterator[None]:
    """Say what the driver's errors mean."""
    try:
        yield
    except adbc.ProgrammingError:
        raise  # the statement is wrong: a fault of ours
    except (adbc.Error, OSError) as error:  # OSError: from the C stream of batches
        raise _meaning(str(error), deadline_s) from error


def _meaning(text: str, deadline_s: float) -> MatengineError:
    if "statement timeout" in text:
        return Unavailable(
            f"The query was still running after {deadline_s:g} s, and was ended.",
            "Ask for less: a limit, fewer columns, or filters on ids, roots or a smaller box.",
        )
    if "is not kept any more" in text:
        return Gone("The version that was asked for is not kept any more.")
    said = text.partition("ERROR:")[2] or text
    return Unavailable(f"PostgreSQL ended the query: {said.strip().splitlines()[0]}.")


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
