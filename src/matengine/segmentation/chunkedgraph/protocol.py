"""What the engine asks of a chunkedgraph, whoever answers.

All ids are int64. All times are aware UTC datetimes, floored to the millisecond. One half-open
rule holds everywhere: a root is alive at t when created <= t < expired.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
IdsLike = Ids | Sequence[int]


@dataclass(frozen=True)
class DeltaRoots:
    """The roots that operations of a time range touched.

    A root that came and went inside the range is in both. Each array is unique and sorted.
    """

    old_roots: Ids
    new_roots: Ids


@dataclass(frozen=True)
class Node:
    """A root in a lineage; `operation_id` is the operation that ended it, None while alive."""

    created_ms: int
    operation_id: int | None = None


@dataclass(frozen=True)
class Lineage:
    """How roots came from each other: `links` are (former root, new root), sorted."""

    nodes: dict[int, Node] = field(default_factory=dict)
    links: list[tuple[int, int]] = field(default_factory=list)


class ChunkedGraph(Protocol):
    """Reading a chunkedgraph."""

    settle: timedelta
    """How far in the past a time must lie to be final; zero for the embedded graph."""

    def roots(self, supervoxels: IdsLike, at: datetime) -> Ids:
        """The root of each supervoxel at a time: same length, same order.

        0 gives 0; so does an id that has no root at that time (unknown, or the time is before
        the graph began).
        """
        ...

    def delta_roots(self, past: datetime, future: datetime) -> DeltaRoots:
        """The roots ended and made by operations with past < time <= future."""
        ...

    def is_latest(self, roots: IdsLike, at: datetime) -> NDArray[np.bool_]:
        """Whether each root is alive at a time; false for unknown ids."""
        ...

    def root_timestamps(self, roots: IdsLike) -> Ids:
        """Creation times in milliseconds since 1970; raises NotFound for an unknown root."""
        ...

    def lineage(
        self, roots: IdsLike, past: datetime | None = None, future: datetime | None = None
    ) -> Lineage:
        """Ancestors and descendants of roots.

        Backwards it ends with roots that were alive at `past`, forwards with the first ones
        made after `future`; without a bound it goes to the end. Raises NotFound for an unknown
        root.
        """
        ...

    def past_ids(self, roots: IdsLike, past: datetime, future: datetime) -> dict[int, list[int]]:
        """For each root its ancestors alive at `past`, sorted, or the root itself.

        Where the graph began after `past`, its first ancestors. Raises NotFound for an unknown
        root.
        """
        ...

    def latest_ids(self, roots: IdsLike, at: datetime) -> dict[int, list[int]]:
        """For each root its descendants (or itself) alive at a time, sorted.

        Empty where the root was made later. Raises NotFound for an unknown root.
        """
        ...

    def leaves(self, root: int) -> Ids:
        """The supervoxels of a root, sorted, also of an expired one; raises NotFound."""
        ...

    def oldest_timestamp(self) -> datetime:
        """When the graph began: no earlier time has roots."""
        ...
