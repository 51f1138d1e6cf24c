"""Connections that the server ends at a certain statement, as when a process or a network dies."""

from typing import Any, Self

import psycopg

from matengine.storage.connections import Connection, conninfo_of, open_connection


class Cut(Exception):
    """The connection was lost right after a commit, so that nobody knows whether it took place."""


class _Cursor(psycopg.Cursor[Any]):
    def execute(self, *arguments: Any, **options: Any) -> Self:
        _count(self.connection)
        return super().execute(*arguments, **options)

    def executemany(self, *arguments: Any, **options: Any) -> None:
        _count(self.connection)
        super().executemany(*arguments, **options)

    def copy(self, *arguments: Any, **options: Any) -> Any:
        _count(self.connection)
        return super().copy(*arguments, **options)


class _Connection(psycopg.Connection[Any]):
    left: int | None = None

    def commit(self) -> None:
        if self.left == 0:
            super().commit()
            _end(self)
            self.close()  # whose block has just been left closes it no more
            raise Cut
        _count(self)
        super().commit()


def cut_connection(conninfo: str, *, after: int) -> Connection:
    """A connection that works for so many statements and commits.

    The next one finds it ended by the server, or, where it is a commit, loses the answer.
    """
    conn = _Connection.connect(conninfo, cursor_factory=_Cursor)
    conn.execute("SET timezone TO 'UTC'")
    conn.commit()
    conn.left = after
    return conn


def _count(conn: Any) -> None:
    if conn.left is None:
        return
    if conn.left == 0:
        _end(conn)
    conn.left = max(conn.left - 1, 0)


def _end(conn: Connection) -> None:
    with open_connection(conninfo_of(conn)) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (conn.info.backend_pid,))
