"""A world made once, and a copy of it with a database of its own for each test."""

import copy
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from small_world import Pair, write_volume

from matengine.storage import connections


@dataclass(frozen=True)
class Original:
    """A pair whose connection is closed, so that its database can be copied."""

    pair: Pair
    database: str


@contextmanager
def three_versions(server_url: str, folder: Path) -> Iterator[Original]:
    """Three versions, with an epoch between the first two that has none."""
    name = f"versions_{uuid.uuid4().hex[:10]}"
    connections.create_aligned_volume(name, url=server_url)
    with connections.connect(name, url=server_url) as conn:
        pair = Pair(conn, write_volume(folder))
        dice = random.Random(3)
        pair.stir(dice, 20, 2)
        pair.epoch()
        for publish in (False, True, True):
            pair.stir(dice, 2, 3)
            pair.epoch(publish)
    with psycopg.connect(server_url, autocommit=True) as server:
        for statement in (
            "COMMENT ON DATABASE {} IS NULL",  # nobody shall look for datastacks there
            "ALTER DATABASE {} ALLOW_CONNECTIONS false",
        ):
            server.execute(sql.SQL(statement).format(sql.Identifier(name)))
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
    yield Original(pair, name)
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


@contextmanager
def copied(original: Original, server_url: str) -> Iterator[Pair]:
    """The pair in a database of its own, connected."""
    name, pair = f"copy_{uuid.uuid4().hex[:10]}", original.pair
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(original.database)
            )
        )
    with connections.open_connection(connections.database_url(name, server_url)) as conn:
        twin = copy.copy(pair)
        twin.conn = conn
        twin.world, twin.names = copy.deepcopy((pair.world, pair.names))
        twin.versions = dict(pair.versions)
        yield twin
        conn.rollback()
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
