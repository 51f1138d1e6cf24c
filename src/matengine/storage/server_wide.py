"""The database for what belongs to no aligned volume: the states of viewers.

It is made with its first use, and bears a mark, as aligned volumes do.
"""

from contextlib import suppress
from functools import lru_cache

from psycopg import errors as pg
from psycopg import sql

from matengine import settings
from matengine.storage import connections
from matengine.storage.connections import Connection

NAME = "matengine_server"
MARK = "matengine server"

_TABLES = """
CREATE TABLE IF NOT EXISTS state (
  kind text NOT NULL,                       -- 'state' or 'property'
  id bigint NOT NULL,                       -- below 2^53, for JavaScript
  content bytea NOT NULL,                   -- as it was sent
  created timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (kind, id));
"""


def connect() -> Connection:
    """A connection to the database, which is made where it is missing.

    Raises Unavailable where the server does not answer.
    """
    server = settings.load().database_url
    _prepare(server)
    return connections.open_connection(connections.database_url(NAME, server))


@lru_cache(maxsize=8)
def _prepare(server: str) -> None:
    """Once a process and server."""
    with connections.open_connection(server, autocommit=True) as conn:
        known = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", (NAME,)).fetchone()
        if known is None:
            # another process may be faster
            with suppress(pg.DuplicateDatabase, pg.UniqueViolation):
                conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
    with connections.open_connection(connections.database_url(NAME, server)) as conn:
        # IF NOT EXISTS is no protection against another process
        conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (NAME,))
        conn.execute(_TABLES)
        conn.execute(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(NAME), sql.Literal(MARK))
        )
