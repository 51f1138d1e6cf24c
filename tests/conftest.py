"""PostgreSQL for tests: one private server a session, one fresh database a test."""

import os
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from matengine.box.postgres import PrivatePostgres
from matengine.storage import connections
from matengine.storage.connections import Connection

# what tests of several folders share
SUPPORT = Path(__file__).parent / "support"
sys.path.insert(0, str(SUPPORT))

TEMPLATE = "matengine_test_template"


@dataclass(frozen=True)
class AlignedVolume:
    """A fresh aligned volume of one test."""

    name: str
    url: str

    def connect(self) -> Connection:
        return connections.open_connection(self.url)


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server with PostGIS, private unless one is named."""
    named = os.environ.get("MATENGINE_TEST_DATABASE_URL")
    if named:
        yield named
        return
    folder: Path = tmp_path_factory.mktemp("postgres")
    with PrivatePostgres(folder / "data", durable=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def template(server_url: str, worker_id: str) -> Iterator[str]:
    """A migrated database to copy, so that a test's own costs a tenth of a second."""
    # a named server may serve several sessions at once
    name = f"{TEMPLATE}_{worker_id}_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    connections.prepare(name, server_url)
    yield name
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def av(server_url: str, template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[AlignedVolume]:
    """A fresh, empty aligned volume; the process settings point at its server."""
    monkeypatch.setenv("MATENGINE_DATABASE_URL", server_url)
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        conn.execute(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(
                sql.Identifier(name), sql.Literal(connections.MARK)
            )
        )
    yield AlignedVolume(name, connections.database_url(name, server_url))
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def conn(av: AlignedVolume) -> Iterator[Connection]:
    """An open connection to a fresh aligned volume."""
    with av.connect() as connection:
        yield connection
