"""Bring the catalogue of one database up to date with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine, pool, text
from sqlalchemy.engine import URL

SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 0x6D6174  # one migration of a database at a time


def migrate(conninfo: str, revision: str = "head") -> None:
    """Upgrade the database named by the libpq string `conninfo`. Commits."""
    parts = conninfo_to_dict(conninfo)
    engine = create_engine(
        URL.create("postgresql+psycopg", query={k: str(v) for k, v in parts.items()}),
        poolclass=pool.NullPool,
    )
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS matengine"))
        connection.commit()
        config = Config()
        config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
