"""When: which epoch a version's number or name, "newest" or a time means."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from matengine import times
from matengine.engine import datastacks
from matengine.engine.query import model
from matengine.engine.query.model import At, Axes
from matengine.engine.versions import catalogue, labels
from matengine.engine.versions.catalogue import VersionTable
from matengine.errors import Invalid
from matengine.storage.connections import Connection

# clocks of clients may be ahead of ours
AHEAD = timedelta(seconds=60)


@dataclass(frozen=True)
class Moment:
    """A moment of a datastack, on both axes: of its annotations, and of its roots (`time`).

    `epoch` is the epoch of just that moment; None between epochs, and where the axes differ.
    `annotation_epoch` is that of its annotations, if there is one, and `tables` are its tables by
    name. `called` is how to speak of it.
    """

    datastack: str
    segmentation: str
    time: datetime
    epoch: int | None
    annotations: datetime
    annotation_epoch: int | None
    tables: Mapping[str, VersionTable]
    called: str


def read(text: str) -> model.Moment:
    """What people write for a moment: a version's number or name, "newest", "now", or a time."""
    if text == "now":
        return times.now()
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return times.parse_time(text)
    except Invalid:
        return text  # the name of a version, as will be seen


def find(conn: Connection, datastack: str, at: At) -> Moment:
    """The moment that is meant.

    A time to the millisecond at which an epoch was made means that epoch, as long as it is kept.
    Raises NotFound for an unknown datastack or version, Gone for a version that failed or has
    expired, Invalid for a time that is naive or has yet to come.
    """
    if isinstance(at, Axes):
        annotations = find(conn, datastack, at.annotations)
        roots = find(conn, datastack, at.segmentation)
        same = annotations.epoch == roots.epoch and annotations.time == roots.time
        return replace(
            annotations,
            time=roots.time,
            epoch=annotations.epoch if same else None,
            called=f"{annotations.called}, with the segmentation of {roots.called}",
        )
    segmentation = datastacks.get(conn, datastack).segmentation.name
    time, epoch, called = _find(conn, datastack, at)
    found = [] if epoch is None else catalogue.tables_at(conn, datastack, epoch)
    tables = {table.table_name: table for table in found}
    return Moment(datastack, segmentation, time, epoch, time, epoch, tables, called)


def _find(
    conn: Connection, datastack: str, at: int | str | datetime
) -> tuple[datetime, int | None, str]:
    """The time of a moment, its epoch, and how to speak of it."""
    if isinstance(at, datetime):
        time = times.floor_ms(_past(at))
        return time, _epoch_at(conn, datastack, time), f"'{datastack}' at {time.isoformat()}"
    version = (
        catalogue.version(conn, datastack, at)
        if isinstance(at, int)
        else labels.find(conn, datastack, at)
    )
    assert version.time is not None  # it is available
    return version.time, version.epoch, f"Version {version.version} of '{datastack}'"


def _past(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise Invalid("A time needs its zone.", "Give it in UTC.")
    now = times.now()
    if at > now + AHEAD:
        raise Invalid(f"{at.isoformat()} has yet to come.", f"It is {now.isoformat()} now.")
    return min(at, now)


def _epoch_at(conn: Connection, datastack: str, time: datetime) -> int | None:
    row = conn.execute(
        "SELECT epoch FROM matengine.epoch WHERE datastack = %s AND time = %s"
        " AND sealed IS NOT NULL AND collected IS NULL",
        (datastack, time),
    ).fetchone()
    return None if row is None else int(row[0])
