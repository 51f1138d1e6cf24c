"""Rows out of PostgreSQL as Arrow, batch by batch."""

from collections.abc import Iterator
from contextlib import contextmanager

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa


@contextmanager
def stream(conninfo: str, query: str) -> Iterator[pa.RecordBatchReader]:
    """Run `query` (already composed, nothing bound) and read it as record batches.

    `conninfo` is a libpq connection string. The reader lives as long as the context.
    """
    with adbc.connect(conninfo) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        yield cursor.fetch_record_batch()


def read_table(conninfo: str, query: str) -> pa.Table:
    """The whole answer of `query` at once, for answers known to be small."""
    with stream(conninfo, query) as reader:
        return reader.read_all()
