"""What was found out of names at a version, as long as the catalogue says the same of them.

One statement reads all rows of the catalogue that decide what the names mean at the version, and
gives a digest of their contents. While that is the same, so is what was made of it, whoever has
changed what in which process: a view replaced, a table deleted, a permission taken away, a version
expired or collected are rows with other contents. What is remembered holds for all users; whether
this one may read it is asked each time, by `sources`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from matengine.engine.query.memory import Memory
from matengine.storage.connections import Connection

_STATE = """
SELECT md5(ROW(d, s, v, e,
  (SELECT array_agg(t ORDER BY t.table_name) FROM matengine.epoch_table AS t
   WHERE t.datastack = v.datastack AND t.epoch = v.epoch AND t.table_name = ANY(%(tables)s)),
  (SELECT array_agg(w ORDER BY w.name) FROM matengine.view AS w
   WHERE w.datastack = v.datastack AND w.name = ANY(%(names)s)),
  (SELECT array_agg(m ORDER BY m.table_name) FROM public.annotation_table_metadata AS m
   WHERE m.table_name = ANY(%(tables)s)))::text)
FROM matengine.version AS v
JOIN matengine.datastack AS d ON d.name = v.datastack
JOIN matengine.segmentation AS s ON s.name = d.segmentation
JOIN matengine.epoch AS e ON e.datastack = v.datastack AND e.epoch = v.epoch
WHERE v.datastack = %(datastack)s AND v.version = %(version)s
"""


class _Found(Protocol):
    """What is remembered; `tables` are all annotation tables that it was made from."""

    @property
    def tables(self) -> Iterable[str]: ...


Found = TypeVar("Found", bound=_Found)


@dataclass(frozen=True)
class _Entry(Generic[Found]):
    """What was found, and the digest that was read before it was; None where it lacks tables."""

    found: Found
    tables: frozenset[str]
    state: str | None


_memory: Memory[_Entry[_Found]] = Memory()


def recall(
    conn: Connection,
    datastack: str,
    version: int,
    names: Iterable[str],
    make: Callable[[], Found],
) -> Found:
    """What `make` gives for the names at a version, made anew where the catalogue has changed.

    Errors are not remembered. The digest is read before `make` reads: what changes in between
    makes the next digest another, so nothing that is out of date is ever kept under it.
    """
    asked = tuple(names)
    key = (datastack, version, asked)
    known = _memory.get(conn, key)
    # of a view, its tables are known once it was read
    tables = known.tables if known else frozenset(asked)
    state = _state(conn, datastack, version, asked, tables)
    if known is not None and state is not None and known.state == state:
        return known.found  # type: ignore[return-value]
    found = make()
    touched = frozenset(found.tables)
    _memory.put(conn, key, _Entry(found, touched, state if touched <= tables else None))
    return found


def _state(
    conn: Connection, datastack: str, version: int, names: Iterable[str], tables: Iterable[str]
) -> str | None:
    """The digest; None where there is no such version, or its epoch is gone."""
    asked = {
        "datastack": datastack,
        "version": version,
        "names": list(names),
        "tables": sorted(tables),
    }
    row = conn.execute(_STATE, asked, prepare=True).fetchone()
    return None if row is None else str(row[0])
