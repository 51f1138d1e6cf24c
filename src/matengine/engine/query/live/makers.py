"""Connections that overlays are made on, apart from those of requests.

A new one costs as much as what a last edit changed, so a few are kept.
"""

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from matengine.storage.connections import Connection, conninfo_of, has_word, open_connection

_MOST = 2
_idle: list[tuple[int, str, Connection]] = []  # process, where to; those used last at the end
_lock = threading.Lock()


@contextmanager
def connection(like: Connection) -> Iterator[Connection]:
    """A connection to where another one goes; its transaction ends with the block."""
    where = conninfo_of(like)
    conn = _kept(where) or open_connection(where)
    try:
        with conn.transaction():
            yield conn
    except BaseException:
        conn.close()
        raise
    _keep(where, conn)


def _kept(where: str) -> Connection | None:
    """One that is kept, unless the server has ended it."""
    with _lock:
        mine = [entry for entry in _idle if entry[:2] == (os.getpid(), where)]
        if not mine:
            return None
        _idle.remove(mine[-1])
    conn = mine[-1][2]
    if not has_word(conn):
        return conn
    conn.close()
    return None


def _keep(where: str, conn: Connection) -> None:
    with _lock:
        _idle.append((os.getpid(), where, conn))
        oldest = _idle.pop(0) if len(_idle) > _MOST else None
    if oldest and oldest[0] == os.getpid():  # not one that a parent process opened
        oldest[2].close()


@atexit.register
def _close() -> None:
    for process, _, conn in _idle:
        if process == os.getpid():
            conn.close()
