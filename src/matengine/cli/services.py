"""How a command reaches PostgreSQL, and the workers where there are any."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matengine import settings
from matengine.errors import NotFound
from matengine.storage.connections import Connection, database_url, open_connection


@dataclass(frozen=True)
class Place:
    """A datastack and an open connection to its aligned volume.

    has_workers: whether units are done by Celery workers, or must be done here.
    """

    conn: Connection
    aligned_volume: str
    datastack: str
    has_workers: bool

    @property
    def conninfo(self) -> str:
        return database_url(self.aligned_volume)


@dataclass(frozen=True)
class Reached:
    """has_workers: whether Celery workers run. url: of the server, where a box is up."""

    has_workers: bool
    url: str | None = None


@contextmanager
def services(data: Path | None, *, make: bool = False) -> Iterator[Reached]:
    """Settle the settings of this process for the block.

    `data` names a box, which is used as it is, or has its database started for the block. Else
    MATENGINE_DATABASE_URL, else MATENGINE_DATA counts. Raises NotFound where there is no box in
    the folder, unless one may be made.
    """
    from matengine.box.box import attach

    folder = data or folder_of_environment()
    if folder is None:
        yield Reached(settings.load().broker_url is not None)
        return
    if not make and not (folder / "services").exists():
        raise NotFound(
            f"There is no box in {folder}.", "Make one: matengine up --data DIR, or import into it."
        )
    with attach(folder) as box:
        settings.use(box.settings)
        yield Reached(box.is_up, box.url)


def folder_of_environment() -> Path | None:
    """The box that the environment names, where it names no database itself."""
    named = os.environ.get("MATENGINE_DATA")
    return Path(named) if named and not os.environ.get("MATENGINE_DATABASE_URL") else None


@contextmanager
def place(data: Path | None, datastack: str | None) -> Iterator[Place]:
    """The datastack of this name, or the only one; raises NotFound or Invalid."""
    from matengine.engine import datastacks

    with services(data) as reached:
        volume, name = datastacks.find(datastack)
        with open_connection(database_url(volume)) as conn:
            yield Place(conn, volume, name, reached.has_workers)
