"""What names meant at the moment before, as long as nothing that decides it has changed since.

A statement reads a digest of the rows of the catalogue, and one more for each table tells by what
overlay it is shown now. While they are the same, so is what was made of them, for all users;
whether this one may read it is asked each time, by `sources`. Only over the embedded chunkedgraph,
whose last edit a statement knows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from matengine import times
from matengine.engine.annotations.tables import TableMetadata
from matengine.engine.datastacks import LOCAL
from matengine.engine.query import moments
from matengine.engine.query.live import overlay
from matengine.engine.query.memory import Memory
from matengine.engine.query.moments import Moment
from matengine.engine.versions import layout
from matengine.engine.versions.layout import Layout
from matengine.storage.connections import Connection

_STATE = """
SELECT md5(ROW(d, s,
  (SELECT array_agg(w ORDER BY w.name) FROM matengine.view AS w
   WHERE w.datastack = d.name AND w.name = ANY(%(names)s)),
  (SELECT array_agg(m ORDER BY m.table_name) FROM public.annotation_table_metadata AS m
   WHERE m.table_name = ANY(%(tables)s)))::text)
FROM matengine.datastack AS d JOIN matengine.segmentation AS s ON s.name = d.segmentation
WHERE d.name = %(datastack)s AND s.graph = %(local)s AND NOT EXISTS (
  SELECT FROM matengine.epoch AS e WHERE e.datastack = d.name AND e.time = %(at)s)
"""


class _Found(Protocol):
    """What is remembered: a moment, and the annotation tables that it is about."""

    @property
    def moment(self) -> Moment: ...
    @property
    def metadata(self) -> dict[str, TableMetadata]: ...


Found = TypeVar("Found", bound=_Found)


@dataclass(frozen=True)
class _Entry:
    """What was found, and what all that decides it was like before and after."""

    found: Any
    tables: tuple[Layout, ...]
    standing: tuple[object, ...] | None


_memory: Memory[_Entry] = Memory()


def recall(
    conn: Connection,
    datastack: str,
    at: datetime,
    names: Iterable[str],
    make: Callable[[], Found],
) -> Found:
    """What `make` gives for the names at a time, made anew where something has changed.

    Errors are not remembered.
    """
    now = times.now()
    if at.tzinfo is None or at > now + moments.AHEAD:
        return make()
    time = times.floor_ms(min(at, now))
    asked = tuple(names)
    known = _memory.get(conn, (datastack, asked))
    before = None
    if known is not None and time >= known.found.moment.time:
        moment = moments.moved(known.found.moment, time)
        before = _standing(conn, moment, asked, known.tables)
        if before is not None and before == known.standing:
            return replace(known.found, moment=moment)  # type: ignore[no-any-return]
    found = make()
    _keep(conn, asked, found, before)
    return found


def _keep(
    conn: Connection, asked: tuple[str, ...], found: Found, before: tuple[object, ...] | None
) -> None:
    """Remember what was found: for others only if all was as it is now before it was looked for."""
    moment = found.moment
    if moment.epoch is not None or any(table.deleted for table in found.metadata.values()):
        return
    tables = tuple(layout.of_metadata(t, moment.segmentation) for t in found.metadata.values())
    after = None if before is None else _standing(conn, moment, asked, tables)
    standing = after if after == before else None
    _memory.put(conn, (moment.datastack, asked), _Entry(found, tables, standing))


def _standing(
    conn: Connection, moment: Moment, names: tuple[str, ...], tables: tuple[Layout, ...]
) -> tuple[object, ...] | None:
    """What decides the meaning of the names at a moment; None where that cannot be told so."""
    asked = {
        "datastack": moment.datastack,
        "names": list(names),
        "tables": [table.table for table in tables],
        "local": LOCAL,
        "at": moment.time,
    }
    row = conn.execute(_STATE, asked, prepare=True).fetchone()
    if row is None:
        return None
    stand: list[object] = [row[0]]
    for table in tables:
        token = overlay.complete(conn, moment, table)
        if token is None:
            return None
        stand.append(token)
    return tuple(stand)
