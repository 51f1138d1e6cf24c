"""What versions and epochs there are, and what each cost."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from matengine.engine.annotations.tables import PUBLIC
from matengine.engine.versions import metadata
from matengine.engine.versions.metadata import VersionMetadata
from matengine.errors import Gone, NotFound, did_you_mean
from matengine.storage.connections import Connection

_VERSION = """
SELECT v.version, v.epoch, v.status, e.time, v.created, v.expires_on, v.pinned, v.note,
  v.name
FROM matengine.version AS v LEFT JOIN matengine.epoch AS e
  ON e.datastack = v.datastack AND e.epoch = v.epoch AND e.sealed IS NOT NULL
WHERE v.datastack = %s
"""


@dataclass(frozen=True)
class Version:
    """A version; `time` is None where it never came to be, `name` where nobody gave it one."""

    version: int
    epoch: int
    status: str
    time: datetime | None
    created: datetime
    expires_on: datetime | None
    pinned: bool
    note: str
    name: str | None


@dataclass(frozen=True)
class VersionTable:
    """A table at an epoch. `rows_added` and `rows_closed` are what that epoch wrote."""

    table_name: str
    schema_type: str
    row_count: int
    fingerprint: int
    gaps: int
    rows_added: int
    rows_closed: int


def versions(conn: Connection, datastack: str) -> list[Version]:
    """All versions of a datastack, oldest first, also those that failed."""
    with conn.cursor(row_factory=class_row(Version)) as cursor:
        return cursor.execute(_VERSION + " ORDER BY v.version", (datastack,)).fetchall()


def version(conn: Connection, datastack: str, number: int) -> Version:
    """An available version; raises NotFound, or Gone for one that failed or has expired."""
    with conn.cursor(row_factory=class_row(Version)) as cursor:
        found = cursor.execute(_VERSION + " AND v.version = %s", (datastack, number)).fetchone()
    if found is None:
        known = [v.version for v in versions(conn, datastack) if v.status == "AVAILABLE"]
        raise NotFound(
            f"'{datastack}' has no version {number}.",
            f"There are: {', '.join(map(str, known))}." if known else "Make one: materialize.",
        )
    if found.status != "AVAILABLE":
        raise Gone(f"Version {number} of '{datastack}' is {found.status.lower()}.")
    return found


def readable(conn: Connection, datastack: str, number: int) -> Version:
    """A version that can be read: available, or expired while its epoch is kept.

    Raises NotFound, and Gone, which tells the time of what has been collected.
    """
    found = next((v for v in versions(conn, datastack) if v.version == number), None)
    if found is None or found.status != "EXPIRED":
        return version(conn, datastack, number)
    kept = conn.execute(
        "SELECT FROM matengine.epoch WHERE datastack = %s AND epoch = %s"
        " AND sealed IS NOT NULL AND collected IS NULL",
        (datastack, found.epoch),
    )
    if found.time is None or not kept.rowcount:
        raise Gone(
            f"Version {number} of '{datastack}' is expired, and has been collected.",
            f"Ask for its time as a live query: {found.time.isoformat()}." if found.time else None,
        )
    return found


def newest(conn: Connection, datastack: str) -> Version:
    """The available version of the latest time; raises NotFound where there is none."""
    with conn.cursor(row_factory=class_row(Version)) as cursor:
        found = cursor.execute(
            _VERSION + " AND v.status = 'AVAILABLE' ORDER BY v.epoch DESC, v.version DESC LIMIT 1",
            (datastack,),
        ).fetchone()
    if found is None:
        raise NotFound(f"'{datastack}' has no version yet.", "Make one: matengine materialize.")
    return found


def tables_at(conn: Connection, datastack: str, epoch: int) -> list[VersionTable]:
    """The tables of an epoch with what they hold and what the epoch wrote of them."""
    with conn.cursor(row_factory=class_row(VersionTable)) as cursor:
        return cursor.execute(
            "SELECT table_name, schema_type, row_count, fingerprint, gaps,"
            " rows_added, rows_closed FROM matengine.epoch_table"
            " WHERE datastack = %s AND epoch = %s ORDER BY table_name",
            (datastack, epoch),
        ).fetchall()


def tables_metadata(conn: Connection, datastack: str, number: int) -> list[VersionMetadata]:
    """What was true of each table of a version; raises NotFound, or Gone, for the version."""
    return metadata.at_epoch(conn, datastack, readable(conn, datastack, number).epoch)


def table_metadata(conn: Connection, datastack: str, number: int, table: str) -> VersionMetadata:
    """What was true of a table of a version; permissions and notice are those of the present.

    Raises NotFound where the version or its table is not there, and Gone.
    """
    known = {found.name: found for found in tables_metadata(conn, datastack, number)}
    if table not in known:
        raise NotFound(
            f"Version {number} of '{datastack}' has no table '{table}'.",
            did_you_mean(table, [m.name for m in known.values() if m.read_permission == PUBLIC]),
        )
    return known[table]
