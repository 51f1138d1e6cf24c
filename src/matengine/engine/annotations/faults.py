"""What is wrong with a table of annotations: the first faults of each kind, and how many."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SHOWN = 5
_VALUE_LENGTH = 60


@dataclass(frozen=True)
class Fault:
    """One fault. `row` counts the data rows from 1; None where a whole column is at fault."""

    kind: str
    column: str
    row: int | None
    value: str | None
    reason: str

    def __str__(self) -> str:
        place = f"row {self.row}, {self.column}" if self.row else self.column
        shown = "" if self.value is None else f" ({self.value})"
        return f"{place}{shown}: {self.reason}"


@dataclass
class Faults:
    """Collects faults; keeps the first `SHOWN` of each kind and column, counts all."""

    first: list[Fault] = field(default_factory=list)
    totals: Counter[tuple[str, str]] = field(default_factory=Counter)

    def column(self, kind: str, column: str, reason: str) -> None:
        """A whole column is at fault."""
        self.totals[kind, column] += 1
        self.first.append(Fault(kind, column, None, None, reason))

    def rows(
        self,
        kind: str,
        column: str,
        reason: str,
        rows: Sequence[int],
        values: Sequence[Any],
        total: int,
    ) -> None:
        """Some rows are at fault; `rows` and `values` are the first of a `total`."""
        room = max(0, SHOWN - self.totals[kind, column])
        self.totals[kind, column] += total
        for row, value in list(zip(rows, values, strict=True))[:room]:
            self.first.append(Fault(kind, column, int(row), _shown(value), reason))

    def __len__(self) -> int:
        return sum(self.totals.values())

    def __str__(self) -> str:
        lines = []
        for (kind, column), total in self.totals.items():
            told = [f for f in self.first if (f.kind, f.column) == (kind, column)]
            lines += [str(fault) for fault in told]
            if total > len(told):
                lines.append(f"… {total:,} rows in all with this fault in {column}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Marker:
    """Marks faults of one column of one batch, whose first row has the number `first_row`."""

    faults: Faults
    column: str
    first_row: int
    values: pa.Array

    def mark(self, kind: str, wrong: NDArray[np.bool_], reason: str) -> None:
        """Note the rows where `wrong` is true."""
        places = np.flatnonzero(wrong)
        if len(places):
            few = places[:SHOWN]
            shown = told(self.values.take(pa.array(few)))
            numbers = (few + self.first_row).tolist()
            self.faults.rows(kind, self.column, reason, numbers, shown, len(places))


def told(values: pa.Array) -> list[Any]:
    """Python values for messages; times as text, since Python's own have a narrower range."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp(values.type.unit)).cast(pa.string())
    listed: list[Any] = values.to_pylist()
    return listed


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"
