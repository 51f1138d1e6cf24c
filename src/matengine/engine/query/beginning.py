"""When a datastack's chunkedgraph began: no earlier time has roots."""

from datetime import datetime
from time import monotonic

from matengine.engine import datastacks
from matengine.errors import Invalid, MatengineError
from matengine.storage.connections import Connection, conninfo_of

_Place = tuple[str, str]
# by database and segmentation, as far as this process has asked: a graph begins once
_KNOWN: dict[_Place, datetime] = {}
# until when, on the monotonic clock, a server that could not tell is not asked again
_UNTOLD: dict[_Place, float] = {}
_PATIENCE_S = 60.0


def refuse_before(conn: Connection, datastack: str, segmentation: str, at: datetime) -> None:
    """Raise Invalid for a time before the beginning, naming that.

    Asks the chunkedgraph for it once. Where a server cannot tell, as before its first operation,
    no time is refused.
    """
    place = (conninfo_of(conn), segmentation)
    if place in _KNOWN and at >= _KNOWN[place]:
        return
    if _UNTOLD.get(place, 0.0) > monotonic() or _after_an_epoch(conn, datastack, at):
        return
    try:
        graph = datastacks.graph_of(conn, datastack)
        first = graph.oldest_timestamp()
    except MatengineError:
        _UNTOLD[place] = monotonic() + _PATIENCE_S
        return
    _KNOWN[place] = first
    if at < first:
        raise Invalid(
            f"{at.isoformat()} lies before the beginning of '{datastack}'.",
            f"Its chunkedgraph begins at {first.isoformat()}.",
        )


def _after_an_epoch(conn: Connection, datastack: str, at: datetime) -> bool:
    row = conn.execute(
        "SELECT EXISTS (SELECT FROM matengine.epoch"
        " WHERE datastack = %s AND time <= %s AND sealed IS NOT NULL)",
        (datastack, at),
    ).fetchone()
    return bool(row and row[0])
