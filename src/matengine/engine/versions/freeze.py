"""Freezing: a version of what the last epoch brought to date, at once."""

from dataclasses import dataclass
from datetime import datetime

from matengine.engine import datastacks
from matengine.engine.runs import runs
from matengine.engine.versions import epoch, layout, publish
from matengine.storage.connections import Connection


@dataclass(frozen=True)
class Frozen:
    """The number of a version: it is available, unless `run_id` names the run that makes it."""

    version: int
    run_id: int | None = None


def create_frozen(
    conn: Connection, datastack: str, *, expires_on: datetime | None = None, note: str = ""
) -> Frozen:
    """Make the newest sealed epoch a version; where there is none yet, begin to make one. Commits.

    Costs the same for tables of any size. Several versions may name one epoch. Raises NotFound,
    and Conflict where the first epoch is being made.
    """
    with conn.transaction():
        version = _name_newest(conn, datastack, expires_on, note)
    conn.commit()
    if version is not None:
        return Frozen(version)
    run_id = epoch.start(
        conn, datastack, "complete", publish_version=True, expires_on=expires_on, note=note
    )
    version = runs.get(conn, run_id).version
    conn.commit()
    assert version is not None
    return Frozen(version, run_id)


def _name_newest(
    conn: Connection, datastack: str, expires_on: datetime | None, note: str
) -> int | None:
    """Enter a version of the newest sealed epoch, where there is one."""
    datastacks.lock(conn, datastack)
    row = conn.execute(
        "SELECT max(epoch) FROM matengine.epoch WHERE datastack = %s AND sealed IS NOT NULL",
        (datastack,),
    ).fetchone()
    assert row is not None
    sealed: int | None = row[0]
    if sealed is None:
        return None
    version = epoch.next_version(conn, datastack)
    conn.execute(
        "INSERT INTO matengine.version (datastack, version, epoch, status, expires_on, note)"
        " VALUES (%s, %s, %s, 'AVAILABLE', %s, %s)",
        (datastack, version, sealed, expires_on, note),
    )
    tables = layout.of_epoch(conn, datastack, sealed)
    publish.create_views(conn, datastack, version, sealed, tables)
    return version
