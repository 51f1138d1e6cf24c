"""ADBC connections of this process, opened once and used again.

The driver reads the whole catalogue of types when it opens a database (0.1 s and more), and the
first statement of a connection costs as much as many later ones, for PostGIS is loaded by it. So
one opening is kept for each database, from which connections are cloned, and connections that
nobody uses are kept, too.
"""

import atexit
import os
import threading
from contextlib import suppress
from functools import lru_cache

import adbc_driver_postgresql.dbapi as adbc
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_KEPT = 8  # databases
_IDLE = 16  # connections
# answers of some ten thousand rows are put in order without a file
WORK_MEMORY = "16MB"
_Key = tuple[int, str]

_opened: dict[_Key, adbc.Connection] = {}
_idle: list[tuple[_Key, adbc.Connection]] = []  # those used last are at the end
_lock = threading.Lock()


@lru_cache(maxsize=64)
def bounded(conninfo: str, deadline_s: float) -> str:
    """The connection string of connections whose statements are ended after a deadline."""
    parts = conninfo_to_dict(conninfo)
    options = f"{parts.get('options', '')} -c work_mem={WORK_MEMORY}"
    options += f" -c statement_timeout={max(1, round(deadline_s * 1000))}"
    return make_conninfo("", **parts | {"options": options})


def take_idle(conninfo: str) -> adbc.Connection | None:
    """A connection that was kept, for the caller alone; the server may have ended it meanwhile.

    Each statement on it is a transaction. Hand it on to `keep` or `end`.
    """
    key = (os.getpid(), conninfo)
    with _lock:
        for place in reversed(range(len(_idle))):
            if _idle[place][0] == key:
                return _idle.pop(place)[1]
    return None


def open_new(conninfo: str) -> adbc.Connection:
    """A new connection, as `take_idle` gives; raises what the driver raises."""
    found = _original((os.getpid(), conninfo)).adbc_clone()
    try:
        found.adbc_connection.set_autocommit(True)
    except BaseException:
        end(found)
        raise
    return found


def keep(conninfo: str, connection: adbc.Connection) -> None:
    """Take back a connection on which nothing runs any more."""
    with _lock:
        _idle.append(((os.getpid(), conninfo), connection))
        oldest = _idle.pop(0) if len(_idle) > _IDLE else None
    if oldest and oldest[0][0] == os.getpid():
        end(oldest[1])


def end(connection: adbc.Connection) -> None:
    """Close a connection, whatever became of it."""
    with suppress(adbc.Error):
        connection.close()


@atexit.register
def close() -> None:
    """Close what is kept open; the driver complains where a process ends without."""
    with _lock:
        kept = [*_idle, *_opened.items()]
        _idle.clear()
        _opened.clear()
    for (pid, _), found in kept:
        if pid == os.getpid():  # not one that a parent process opened
            end(found)


def _original(key: _Key) -> adbc.Connection:
    with _lock:
        if key not in _opened:
            while len(_opened) >= _KEPT:
                oldest = next(iter(_opened))
                found = _opened.pop(oldest)
                if oldest[0] == key[0]:
                    end(found)
            _opened[key] = adbc.connect(key[1])
        return _opened[key]
