"""When: which epoch a version's number or name, "newest" or a time means."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from matengine import times
from matengine.engine import datastacks
from matengine.engine.query import beginning, model
from matengine.engine.query.model import At, Axes
from matengine.engine.versions import catalogue, labels
from matengine.engine.versions.catalogue import VersionTable
from matengine.errors import Invalid
from matengine.storage.connections import Connection

# clocks of clients may be ahead of ours
AHEAD = timedelta(seconds=60)
_NOW = ("now", "live", "0")
_NEWEST = (labels.NEWEST, "latest", "-1")


@dataclass(frozen=True)
class Moment:
    """A moment of a datastack, on both axes: of its annotations, and of its roots (`time`).

    `epoch` is the epoch of just that moment; None between epochs, and where the axes differ.
    `annotation_epoch` is that of its annotations, if there is one, and `tables` are its tables by
    name. `timed`: these annotations were asked for by a time, at which tables that were not made
    yet are empty. `called` is how to speak of it, `notice` what whoever asked is to know.
    """

    datastack: str
    segmentation: str
    time: datetime
    epoch: int | None
    annotations: datetime
    annotation_epoch: int | None
    tables: Mapping[str, VersionTable]
    timed: bool
    called: str
    notice: str | None = None


def read(text: str) -> model.Moment:
    """What people write for a moment: a version's number or name, "newest", "now", or a time.

    As in addresses, 0 is now and -1 is the newest version.
    """
    if text in _NOW:
        return times.now()
    if text in _NEWEST:
        return labels.NEWEST
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return times.parse_time(text)
    except Invalid:
        return text  # the name of a version, as will be seen


def pinned(conn: Connection, datastack: str, at: At) -> At:
    """The moment by numbers of versions: a name, or "newest", may soon mean another version.

    Raises NotFound and Gone for a name of no version that can be read.
    """
    if isinstance(at, Axes):
        return Axes(*(_pinned(conn, datastack, m) for m in (at.annotations, at.segmentation)))
    return _pinned(conn, datastack, at)


def _pinned(conn: Connection, datastack: str, at: model.Moment) -> model.Moment:
    return labels.readable(conn, datastack, at).version if isinstance(at, str) else at


def find(conn: Connection, datastack: str, at: At) -> Moment:
    """The moment that is meant.

    A time to the millisecond at which an epoch was made means that epoch, as long as it is kept.
    So does a version, also one that has expired. Raises NotFound for an unknown datastack or
    version, Gone for a version that failed or is not kept, Invalid for a time that is naive, has
    yet to come, or, on the axis of the roots, lies before the chunkedgraph began.
    """
    if not isinstance(at, Axes):
        moment = _find(conn, datastack, at)
    else:
        annotations = _find(conn, datastack, at.annotations)
        roots = _find(conn, datastack, at.segmentation)
        same = annotations.epoch == roots.epoch and annotations.time == roots.time
        moment = replace(
            annotations,
            time=roots.time,
            epoch=annotations.epoch if same else None,
            called=f"{annotations.called}, with the segmentation of {roots.called}",
            notice=" ".join(n for n in (annotations.notice, roots.notice) if n) or None,
        )
    if moment.epoch is None:
        beginning.refuse_before(conn, datastack, moment.segmentation, moment.time)
    return moment


def _find(conn: Connection, datastack: str, at: model.Moment) -> Moment:
    segmentation = datastacks.get(conn, datastack).segmentation.name
    notice = None
    if isinstance(at, datetime):
        time = times.floor_ms(_past(at))
        epoch, called = _epoch_at(conn, datastack, time), _called(datastack, time)
    else:
        version = labels.readable(conn, datastack, at)
        assert version.time is not None  # it was available
        time, epoch = version.time, version.epoch
        called = f"Version {version.version} of '{datastack}'"
        if version.status != "AVAILABLE":
            notice = f"{called} has expired: it can be read until it is collected."
    found = [] if epoch is None else catalogue.tables_at(conn, datastack, epoch)
    tables = {table.table_name: table for table in found}
    timed = isinstance(at, datetime)
    return Moment(datastack, segmentation, time, epoch, time, epoch, tables, timed, called, notice)


def moved(moment: Moment, time: datetime) -> Moment:
    """A moment between epochs, at another time over the same."""
    called = _called(moment.datastack, time)
    return replace(moment, time=time, annotations=time, called=called)


def _called(datastack: str, time: datetime) -> str:
    return f"'{datastack}' at {time.isoformat()}"


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
