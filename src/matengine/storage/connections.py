"""Aligned volumes are databases: make them, list them, connect to them."""

import select
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from matengine import settings
from matengine.errors import Conflict, NotFound, Unavailable, did_you_mean
from matengine.storage.names import check_name

Connection = psycopg.Connection[Any]

# a database of ours is known by its comment, so no list of them can go stale
MARK = "matengine aligned volume"
CONNECT_TIMEOUT_S = 10
PLANNER = {
    # lookups by id and root go through indexes that are in memory or on solid-state disks
    "random_page_cost": "1.1",
    # statements here are short, compiling them is not
    "jit": "off",
}
# nothing waits for ever; long enough to build the indexes of a table of 10^9 rows
STATEMENT_DEADLINE = "12h"


_conninfo: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()


def database_url(aligned_volume: str, url: str | None = None) -> str:
    """The libpq connection string of one aligned volume's database."""
    return _of_database(url or settings.load().database_url, aligned_volume)


@lru_cache(maxsize=256)
def _of_database(url: str, name: str) -> str:
    parts = conninfo_to_dict(url)
    parts["dbname"] = name
    return make_conninfo("", **parts)


def open_connection(conninfo: str, *, autocommit: bool = False) -> Connection:
    """A connection in UTC; raises Unavailable where the server does not answer."""
    try:
        conn = psycopg.connect(
            conninfo,
            autocommit=autocommit,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="matengine",
        )
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"PostgreSQL cannot be reached: {str(error).strip().splitlines()[-1]}",
            "Is the server up?",
        ) from error
    try:
        conn.execute(f"SET timezone TO 'UTC'; SET statement_timeout TO '{STATEMENT_DEADLINE}'")
        if not autocommit:
            conn.commit()
    except BaseException:
        conn.close()
        raise
    return conn


def has_word(conn: Connection) -> bool:
    """Whether the server has said something on an idle connection: mostly, that it has ended it.

    The kernel knows; it costs no round trip.
    """
    waiting = select.poll()
    waiting.register(conn.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def conninfo_of(conn: Connection) -> str:
    """The connection string that opens another connection like this one."""
    known = _conninfo.get(conn)
    if known is None:
        known = _conninfo[conn] = make_conninfo(conn.info.dsn, password=conn.info.password)
    return known


def connect(aligned_volume: str, *, url: str | None = None, autocommit: bool = False) -> Connection:
    """Connect to an aligned volume; raises NotFound where there is none of this name."""
    known = aligned_volumes(url)
    if aligned_volume not in known:
        raise NotFound(
            f"There is no aligned volume '{aligned_volume}'.", did_you_mean(aligned_volume, known)
        )
    return open_connection(database_url(aligned_volume, url), autocommit=autocommit)


def aligned_volumes(url: str | None = None) -> list[str]:
    """The names of all aligned volumes on the server, sorted."""
    with open_connection(url or settings.load().database_url, autocommit=True) as conn:
        rows = conn.execute(
            "SELECT datname FROM pg_database"
            " WHERE shobj_description(oid, 'pg_database') LIKE %s || '%%' ORDER BY 1",
            (MARK,),
        )
        return [name for (name,) in rows]


def create_aligned_volume(name: str, description: str = "", url: str | None = None) -> None:
    """Make the database with PostGIS and an up-to-date catalogue.

    Commits. It gets its mark last, so a half-made one is not listed and is made anew.
    Raises Conflict where the aligned volume is there already.
    """
    check_name(name, "an aligned volume")
    if name in aligned_volumes(url):
        raise Conflict(f"The aligned volume '{name}' exists already.")
    with open_connection(url or settings.load().database_url, autocommit=True) as server:
        found = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if not found:
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        prepare(name, url)
        comment = f"{MARK}: {description}" if description else MARK
        server.execute(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(
                sql.Identifier(name), sql.Literal(comment)
            )
        )


def prepare(name: str, url: str | None = None) -> None:
    """Install PostGIS and bring the catalogue of one database up to date. Commits."""
    # here, because Alembic takes longer to load than all else that a short command needs
    from matengine.storage.migrate import migrate

    with open_connection(database_url(name, url), autocommit=True) as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS postgis")
        for setting, value in PLANNER.items():
            conn.execute(
                sql.SQL("ALTER DATABASE {} SET {} TO {}").format(
                    sql.Identifier(name), sql.Identifier(setting), sql.Literal(value)
                )
            )
    migrate(database_url(name, url))


def prepare_all(url: str | None = None) -> None:
    """Bring the catalogues of all aligned volumes of a server up to date. Commits."""
    for name in aligned_volumes(url):
        prepare(name, url)


def drop_aligned_volume(name: str, url: str | None = None) -> None:
    """Remove an aligned volume with all that is in it. Commits."""
    if name not in aligned_volumes(url):
        raise NotFound(f"There is no aligned volume '{name}'.")
    with open_connection(url or settings.load().database_url, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
