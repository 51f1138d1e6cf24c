"""An annotation table in memory, the judge of the real one.

Ids and times are the engine's to choose; the oracle is told them and says what must follow.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Row:
    """One annotation; `values` by column. It lives in created <= t < deleted."""

    created: datetime
    values: Mapping[str, Any]
    deleted: datetime | None = None
    superceded_id: int | None = None

    def lives(self, at: datetime) -> bool:
        return self.created <= at and (self.deleted is None or at < self.deleted)


class MemoryTable:
    """The rows that ever were, by id."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}

    def insert(self, rows: Mapping[int, Mapping[str, Any]], at: datetime) -> None:
        """New rows by id, all at one time."""
        assert not rows.keys() & self.rows.keys(), "an id came twice"
        self.rows |= {i: Row(at, dict(values)) for i, values in rows.items()}

    def update(
        self, changes: Mapping[int, Mapping[str, Any]], new_ids: Mapping[int, int], at: datetime
    ) -> None:
        """Rows superseded by copies with some values changed, all at one time."""
        assert all(self.can_update(i) for i in changes)
        for old, changed in changes.items():
            self.insert({new_ids[old]: {**self.rows[old].values, **changed}}, at)
            self.rows[old] = replace(self.rows[old], deleted=at, superceded_id=new_ids[old])

    def delete(self, ids: Iterable[int], at: datetime) -> None:
        """Rows ended, all at one time."""
        for i in self.ended_by(ids):
            self.rows[i] = replace(self.rows[i], deleted=at)

    def can_update(self, row_id: int) -> bool:
        """Whether a row is there and has not ended."""
        return row_id in self.rows and self.rows[row_id].deleted is None

    def ended_by(self, ids: Iterable[int]) -> list[int]:
        """Which of the ids a deletion would end, sorted."""
        return sorted({i for i in ids if self.can_update(i)})

    def newest(self, row_id: int) -> int:
        """The end of the chain of rows that superseded each other."""
        while (newer := self.rows[row_id].superceded_id) is not None:
            row_id = newer
        return row_id

    def alive(self, at: datetime) -> dict[int, Mapping[str, Any]]:
        """The values of the rows that live at a time, by id."""
        return {i: row.values for i, row in self.rows.items() if row.lives(at)}
