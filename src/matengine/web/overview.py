"""What the status page tells: datastacks, their versions, runs, and what to type next."""

import shlex
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from matengine import settings
from matengine.engine import access, datastacks
from matengine.engine.access import User
from matengine.engine.annotations import tables
from matengine.engine.datastacks import Datastack
from matengine.engine.pacing import keeping
from matengine.engine.pacing.keeping import Standing
from matengine.engine.runs import runs
from matengine.engine.runs.runs import Run, Tally
from matengine.engine.versions import catalogue
from matengine.engine.versions.catalogue import Version, VersionTable
from matengine.errors import MatengineError
from matengine.storage import connections, pools
from matengine.storage.connections import Connection

# so that the page stays small however old a datastack is
SHOWN_VERSIONS = 12
SHOWN_RUNS = 6
SHOWN_FAULTS = 3


@dataclass(frozen=True)
class Made:
    """A version with its tables, and what its epoch wrote; no tables where it failed."""

    version: Version
    tables: list[VersionTable]

    @property
    def rows(self) -> int:
        return sum(table.row_count for table in self.tables)

    @property
    def added(self) -> int:
        return sum(table.rows_added for table in self.tables)

    @property
    def closed(self) -> int:
        return sum(table.rows_closed for table in self.tables)

    @property
    def gaps(self) -> int:
        return sum(table.gaps for table in self.tables)

    @property
    def share(self) -> float:
        """Rows written by the epoch, as a part of the version's rows: 0 to 1."""
        return min(1.0, self.added / self.rows) if self.rows else 0.0


@dataclass(frozen=True)
class Going:
    """A run with how far it is."""

    run: Run
    tally: Tally

    @property
    def faults(self) -> list[str]:
        """What its units stumbled over, each once."""
        return list(dict.fromkeys(self.tally.faults))[:SHOWN_FAULTS]


@dataclass(frozen=True)
class Stack:
    """A datastack: its latest versions and runs, newest first. `waiting`: changes queued.

    standing: how close it is kept to the present.
    """

    aligned_volume: str
    datastack: Datastack
    made: list[Made]
    older: int
    going: list[Going]
    ended: list[Run]
    waiting: bool
    standing: Standing
    commands: list[tuple[str, str]]

    @property
    def newest(self) -> Made | None:
        """The newest available version."""
        return next((m for m in self.made if m.version.status == "AVAILABLE"), None)


@dataclass(frozen=True)
class Overview:
    """All that the page shows. `unreadable`: (aligned volume, why it cannot be read)."""

    stacks: list[Stack] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """Whether anything runs, so that the page will soon be old."""
        return any(stack.going for stack in self.stacks)


def overview(user: User) -> Overview:
    """Read all that the user may see; an aligned volume that cannot be read hides no others.

    Raises Unavailable where the database server does not answer.
    """
    found = Overview()
    data = settings.load().data
    for volume in connections.aligned_volumes():
        try:
            with pools.connection(volume) as conn:
                names = [n for n in datastacks.names(conn) if access.may_view(user, n)]
                found.stacks.extend(_stack(conn, volume, name, data, user) for name in names)
        except MatengineError as error:
            found.unreadable.append((volume, str(error)))
    return found


def box_option(data: Path | None) -> str:
    """How a command names the box; empty where the environment names the services."""
    return f" --data {shlex.quote(str(data))}" if data else ""


def _stack(conn: Connection, volume: str, name: str, data: Path | None, user: User) -> Stack:
    versions = catalogue.versions(conn, name)[::-1]
    made = [
        Made(v, _tables(conn, name, v, user) if v.time else []) for v in versions[:SHOWN_VERSIONS]
    ]
    latest = runs.listed(conn, name, paced=False)
    row = conn.execute(
        "SELECT EXISTS (SELECT 1 FROM matengine.change WHERE datastack = %s)", (name,)
    ).fetchone()
    return Stack(
        aligned_volume=volume,
        datastack=datastacks.get(conn, name),
        made=made,
        older=max(0, len(versions) - SHOWN_VERSIONS),
        going=[Going(r, runs.tally(conn, r.run_id)) for r in latest if r.status == "running"],
        ended=[r for r in latest if r.status != "running"][:SHOWN_RUNS],
        waiting=bool(row and row[0]),
        standing=keeping.standing(conn, name),
        commands=_commands(name, made, box_option(data)),
    )


def _tables(conn: Connection, datastack: str, version: Version, user: User) -> list[VersionTable]:
    """Those that the user may read."""
    return [
        table
        for table in catalogue.tables_at(conn, datastack, version.epoch)
        if access.may_read(user, tables.get_metadata(conn, table.table_name))
    ]


def _commands(name: str, made: list[Made], box: str) -> list[tuple[str, str]]:
    """(what for, command) of what comes next for a datastack."""
    which = f" --datastack {name}{box}"
    newest = next((m for m in made if m.version.status == "AVAILABLE"), None)
    if newest is None:
        return [("make the first version", f"./mat materialize{which}")]
    fullest = max(newest.tables, key=lambda table: table.row_count, default=None)
    return [
        *(
            [("rows of the newest version", f"./mat query {fullest.table_name}{which}")]
            if fullest
            else []
        ),
        ("the next version", f"./mat materialize{which}"),
        ("all versions", f"./mat versions{which}"),
    ]


def ago(time: datetime, now: datetime) -> str:
    """How long ago a time was, in the largest fitting unit."""
    seconds = max(0, int((now - time).total_seconds()))
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = seconds // length
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return f"{seconds} s ago"
