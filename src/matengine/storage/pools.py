"""Connection pools of a long-lived process, one an aligned volume."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from matengine.errors import NotFound, Unavailable, did_you_mean
from matengine.storage import connections
from matengine.storage.connections import Connection

MAX_CONNECTIONS = 8
WAIT_S = 10.0
IDLE_S = 300.0
# the deadline of every statement of a request
STATEMENT_TIMEOUT_S = 120

Pool = ConnectionPool[psycopg.Connection[Any]]

_pools: dict[tuple[int, str], Pool] = {}
_lock = threading.Lock()


@contextmanager
def connection(aligned_volume: str) -> Iterator[Connection]:
    """A connection in UTC whose transaction ends with the block: committed, or undone on error.

    The pool opens with the first call in a process, so it may be used after a fork. Raises
    NotFound for an unknown aligned volume, Unavailable where no connection comes free in time.
    """
    pool = _pool(connections.database_url(aligned_volume), aligned_volume)
    try:
        with pool.connection(timeout=WAIT_S) as conn:
            yield conn
    except PoolTimeout as error:
        raise Unavailable(
            "No database connection came free in time.", "Try again in a moment."
        ) from error


def close_all() -> None:
    """Close the pools of this process."""
    with _lock:
        for key in [key for key in _pools if key[0] == os.getpid()]:
            _pools.pop(key).close()


def _check(conn: Connection) -> None:
    """Raise where the server has ended a connection meanwhile."""
    if connections.has_word(conn):
        ConnectionPool.check_connection(conn)


def _pool(url: str, aligned_volume: str) -> Pool:
    key = (os.getpid(), url)
    with _lock:
        if key not in _pools:
            known = connections.aligned_volumes()
            if aligned_volume not in known:
                raise NotFound(
                    f"There is no aligned volume '{aligned_volume}'.",
                    did_you_mean(aligned_volume, known),
                )
            _pools[key] = ConnectionPool(
                make_conninfo(
                    url,
                    application_name="matengine",
                    connect_timeout=connections.CONNECT_TIMEOUT_S,
                    options=f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_S}s",
                ),
                min_size=0,
                max_size=MAX_CONNECTIONS,
                max_idle=IDLE_S,
                check=_check,
                open=True,
                name=f"matengine {aligned_volume}",
            )
        return _pools[key]
