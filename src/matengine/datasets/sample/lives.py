"""When annotation rows come and go."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matengine.datasets.sample.operations import DAY_MS, DAYS

Ints = NDArray[np.int64]

NEVER = np.iinfo(np.int64).max
"""`deleted` of rows that are there to stay."""

_BEFORE_DAYS = 30
_LATE_SHARE = 0.2


@dataclass(frozen=True)
class Lives:
    """Rows of a table in the order of their ids, which count from 1 with the time of creation.

    row int64 (n,): which of the given rows this is; corrected bool (n,): whether it is that
    row's corrected successor. created, deleted int64 (n,) ms since the start of the history
    (NEVER = not deleted), successor int64 (n,): id of the row that supersedes it, 0 = none.
    """

    row: Ints
    corrected: NDArray[np.bool_]
    created: Ints
    deleted: Ints
    successor: Ints


def give_lives(
    count: int, rng: np.random.Generator, marks: list[int], not_before: Ints | None = None
) -> Lives:
    """Lives for `count` rows.

    80 % are created in the 30 days before the start, the others in the 60 days after it; 1 % are
    deleted, 1 % superseded by a corrected row created at the same millisecond (at least one each).
    The first rows are created exactly at `marks` (ms), others are deleted at them. No row is
    created before its `not_before`.
    """
    late = rng.random(count) < _LATE_SHARE
    created = np.where(
        late,
        rng.integers(0, DAYS * DAY_MS, count),
        -rng.integers(1, _BEFORE_DAYS * DAY_MS, count),
    )
    created[: len(marks)] = marks[:count]
    if not_before is not None:
        created = np.maximum(created, not_before)
    deleted = np.full(count, NEVER)
    ended = rng.permutation(np.arange(min(len(marks), count), count))[: max(2, count // 50)]
    deleted[ended] = rng.integers(created[ended] + 1, DAYS * DAY_MS + 1)
    exact = ended[: len(marks)]
    on_mark = np.array(marks[: len(exact)], np.int64)
    deleted[exact] = np.where(on_mark > created[exact], on_mark, deleted[exact])
    replaced = ended[1::2]
    row = np.r_[np.arange(count), replaced]
    born = np.r_[created, deleted[replaced]]
    order = np.argsort(born, kind="stable")
    new_id = np.empty(len(order), np.int64)
    new_id[order] = np.arange(1, len(order) + 1)
    successor = np.zeros(len(row), np.int64)
    successor[replaced] = new_id[count:]
    gone = np.r_[deleted, np.full(len(replaced), NEVER)]
    return Lives(
        row=row[order],
        corrected=order >= count,
        created=born[order],
        deleted=gone[order],
        successor=successor[order],
    )
