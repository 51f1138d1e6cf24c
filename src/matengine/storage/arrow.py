"""Rows out of PostgreSQL as Arrow, batch by batch."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from adbc_driver_postgresql import StatementOptions

from matengine.errors import Gone, MatengineError, Unavailable
from matengine.storage import arrow_pool

# nothing waits for ever; long enough for a unit of work on a large table
DEADLINE_S = 12 * 3600.0
_NOT_KEPT = "is not kept any more"  # matengine.readable
# what libpq says of a connection that the server has ended (fe-misc.c, fe-exec.c)
_LOST = ("server closed the connection", "no connection to the server", "terminating connection")
# a batch is about so large: little is held at a time, and what it costs is the same up to 16 MB
BATCH_BYTES = 4_000_000
_BATCH_OPTION = StatementOptions.BATCH_SIZE_HINT_BYTES.value


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
    place = arrow_pool.bounded(conninfo, deadline_s)
    connection, cursor = _executed(place, query, deadline_s)
    answer = None
    try:
        with _told(deadline_s):
            answer = _Answer(cursor.fetch_record_batch(), deadline_s)
        yield pa.RecordBatchReader.from_batches(answer.reader.schema, answer)
    finally:
        if answer and answer.whole:
            cursor.close()
            arrow_pool.keep(place, connection)
        else:
            if answer:
                answer.left = True
            with suppress(adbc.Error):
                cursor.adbc_cancel()
            arrow_pool.end(connection)


def _executed(place: str, query: str, deadline_s: float) -> tuple[adbc.Connection, adbc.Cursor]:
    """A connection on which the query has begun, and its cursor.

    Whether a connection that was kept still lives is found out by asking on it: where the server
    has ended it meanwhile, nothing was read, and a new one asks again.
    """
    while (kept := arrow_pool.take_idle(place)) is not None:
        try:
            return kept, _cursor(kept, query)
        except adbc.OperationalError as error:
            arrow_pool.end(kept)
            if not _was_lost(str(error)):
                with _told(deadline_s):
                    raise
        except BaseException:
            arrow_pool.end(kept)
            raise
    with _told(deadline_s):
        opened = arrow_pool.open_new(place)
        try:
            return opened, _cursor(opened, query)
        except BaseException:
            arrow_pool.end(opened)
            raise


def _was_lost(told: str) -> bool:
    """Whether a connection was lost before the query began, which is prepared first."""
    return "prepare" in told and any(lost in told for lost in _LOST)


def _cursor(connection: adbc.Connection, query: str) -> adbc.Cursor:
    cursor = connection.cursor()
    try:
        cursor.adbc_statement.set_options(**{_BATCH_OPTION: str(BATCH_BYTES)})
        cursor.execute(query)
    except BaseException:
        cursor.close()
        raise
    return cursor


def read_table(conninfo: str, query: str) -> pa.Table:
    """The whole answer of `query` at once, for answers known to be small."""
    with stream(conninfo, query) as reader:
        return reader.read_all()


class _Answer:
    """The batches of a reader, as long as its connection is there."""

    def __init__(self, reader: pa.RecordBatchReader, deadline_s: float) -> None:
        self.reader = reader
        self.whole = self.left = False
        self._deadline_s = deadline_s

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while not self.left:
            try:
                with _told(self._deadline_s):
                    batch = self.reader.read_next_batch()
            except StopIteration:
                self.whole = True
                return
            yield batch
        raise Unavailable("The answer was left before it was read.")


@contextmanager
def _told(deadline_s: float) -> Iterator[None]:
    """Say what the driver's errors mean."""
    try:
        yield
    except adbc.ProgrammingError:
        raise  # the statement is wrong: a fault of ours
    except (adbc.Error, OSError) as error:  # OSError: from the C stream of batches
        raise _meaning(str(error), deadline_s) from error
    except pa.ArrowInvalid as error:  # what the C stream makes of the state that this error has
        if _NOT_KEPT not in str(error):
            raise
        raise _meaning(str(error), deadline_s) from error


def _meaning(text: str, deadline_s: float) -> MatengineError:
    if "statement timeout" in text:
        return Unavailable(
            f"The query was still running after {deadline_s:g} s, and was ended.",
            "Ask for less: a limit, fewer columns, or filters on ids, roots or a smaller box.",
        )
    if _NOT_KEPT in text:
        return Gone("The version that was asked for is not kept any more.")
    said = text.partition("ERROR:")[2] or text
    return Unavailable(f"PostgreSQL ended the query: {said.strip().splitlines()[0]}.")
