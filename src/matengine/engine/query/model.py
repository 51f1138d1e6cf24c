"""What may be asked of the tables of a datastack, whatever moment they are asked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Moment = int | str | datetime
"""A version's number or name, "newest", or an aware time."""


@dataclass(frozen=True)
class Axes:
    """Annotations as of one moment, with supervoxels' roots as of another."""

    annotations: Moment
    segmentation: Moment


At = Moment | Axes
"""When a table is asked."""


class Op(StrEnum):
    """How a filter compares a column with its value. NULL passes none of them."""

    IN = "in"
    NOT_IN = "not in"
    EQUAL = "equal"
    GREATER = "greater"
    LESS = "less"
    GREATER_EQUAL = "greater or equal"
    LESS_EQUAL = "less or equal"
    REGEX = "regex"  # PostgreSQL's regular expressions, found anywhere in the text
    BOX = "box"  # [[x, y, z], [x, y, z]]: closed, in voxels of the filter's own table


@dataclass(frozen=True)
class Filter:
    """Keep the rows whose column compares so with the value; all filters of a query hold."""

    table: str
    column: str
    op: Op
    value: Any


@dataclass(frozen=True)
class Join:
    """An inner join of two tables on equal values."""

    left: str
    left_column: str
    right: str
    right_column: str


class Roots(StrEnum):
    """What becomes of root ids in filters that are not alive at the moment of the query."""

    LEFT = "left"  # nobody looks: they are in no row
    TOLD = "told"  # they are in no row, and the plan tells of them
    REFUSED = "refused"  # Invalid, naming those that are in their place


@dataclass(frozen=True)
class Query:
    """A question about one table or view, or several joined.

    columns: by table or, as a plain list, of the first table that has each; None for all.
    suffixes: appended to names that are selected of more than one table.
    resolution_nm: positions come in these nm a unit; None for the voxels of the first table.
    random_sample: about so many rows, chosen evenly. half_open: boxes without their upper faces.
    after: a cursor that an earlier answer gave, to go on where it ended. with_supervoxels: a root
    column that is selected brings its supervoxels along, as clients need to bring it to date.
    translate_roots: root ids of other times in filters stand for those in their place; what
    `roots` says is of those that have none. complete: refuse rows that nobody has looked up yet.
    """

    table: str
    joins: tuple[Join, ...] = ()
    filters: tuple[Filter, ...] = ()
    columns: Mapping[str, Sequence[str]] | Sequence[str] | None = None
    suffixes: Mapping[str, str] = field(default_factory=dict)
    resolution_nm: tuple[float, float, float] | None = None
    limit: int | None = None
    offset: int = 0
    count: bool = False
    random_sample: int | None = None
    half_open: bool = False
    after: str | None = None
    with_supervoxels: bool = True
    roots: Roots = Roots.LEFT
    translate_roots: bool = False
    complete: bool = False
