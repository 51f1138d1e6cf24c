"""Random questions from dice: queries about tables and views at a moment, and new views."""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from matengine.engine.query.model import Filter, Join, Op, Query
from matengine.engine.query.views import definition
from matengine.engine.query.views.definition import Definition
from matengine.testing.queries import MemoryRelation, Tables, asked_about

RESOLUTIONS = (None, None, (1.0, 1.0, 1.0), (4.0, 4.0, 40.0), (0.5, 2.0, 2.5))
ORDER = (Op.GREATER, Op.LESS, Op.GREATER_EQUAL, Op.LESS_EQUAL)
EDGES = (-1.0, 0.0, 0.25, 1.0, 3.0, 5.75, 6.0, 12.0)
REFERENCES = ("id", "target_id")
# their sums are no 64-bit integers
HUGE = ("root_id", "supervoxel_id")


@dataclass(frozen=True)
class Asker:
    """What can be asked: `values` are some that a column of a table has at some time or other."""

    dice: random.Random
    tables: Tables
    values: Mapping[tuple[str, str], Sequence[Any]]

    def query(self, without: Mapping[str, Sequence[int]] | None = None) -> Query:
        """A query about up to three tables; `without`: ids of tables that it leaves out."""
        dice, joins = self.dice, self._joins(dice_of(self.dice, (0, 0, 0, 1, 1, 2)))
        first = joins[0].left if joins else dice.choice(sorted(self.tables))
        about = asked_about(Query(first, joins))
        left_out = [Filter(t, "id", Op.NOT_IN, list((without or {}).get(t, ()))) for t in about]
        suffixed = dice.sample(about, dice.randrange(len(about) + 1))
        return Query(
            first,
            joins,
            (*self._filters(about), *(f for f in left_out if f.value)),
            self._columns(about),
            {table: f"_{about.index(table)}" for table in suffixed},
            resolution_nm=dice.choice(RESOLUTIONS),
            half_open=dice.random() < 0.3,
            with_supervoxels=dice.random() < 0.7,
        )

    def view(self) -> Definition:
        """A view of one or two tables, which may count."""
        dice, joins = self.dice, self._joins(dice_of(self.dice, (0, 1, 1)))
        first = joins[0].left if joins else dice.choice(sorted(self.tables))
        about = asked_about(Query(first, joins))
        filters = [f for f in self._filters(about) if _is_json(f.value)]
        made = self._counting(about) if dice.random() < 0.5 else self._showing(about)
        return definition.read(Definition(first, tuple(made), joins, tuple(filters)).to_json())

    def _joins(self, count: int) -> tuple[Join, ...]:
        """Joins that lead from one table to others, by what their columns have in common."""
        found: list[Join] = []
        reached = [self.dice.choice(sorted(self.tables))]
        for _ in range(count):
            fits = [
                Join(table, left, other, right)
                for table in reached
                for left in self.tables[table].columns
                for other in sorted(self.tables)
                if other not in reached
                for right in self.tables[other].columns
                if _alike(left, right)
            ]
            if not fits:
                break
            join = self.dice.choice(fits)
            reached.append(join.right)
            turned = Join(join.right, join.right_column, join.left, join.left_column)
            found.append(turned if self.dice.random() < 0.3 else join)
        return tuple(found)

    def _filters(self, about: Iterable[str]) -> list[Filter]:
        places = [(table, column) for table in about for column in _filterable(self.tables[table])]
        wanted = [self.dice.choice(places) for _ in range(dice_of(self.dice, (0, 0, 1, 1, 2)))]
        return [found for place in wanted if (found := self._filter(*place))]

    def _filter(self, table: str, column: str) -> Filter | None:
        """A filter whose values are mostly among those that there are; None where none is known."""
        dice, relation = self.dice, self.tables[table]
        if column in relation.points:
            sides = [sorted(dice.choices(EDGES, k=2)) for _ in "xyz"]
            return Filter(table, column, Op.BOX, [list(side) for side in zip(*sides, strict=True)])
        if column[:-2] in relation.points:
            return Filter(table, column, dice.choice(ORDER), dice.choice(EDGES))
        known = self.values.get((table, column), ())
        if not known:
            return None
        kinds: list[Op] = [Op.IN, Op.NOT_IN, Op.EQUAL]
        if not isinstance(known[0], bool):
            kinds += ORDER
        if isinstance(known[0], str):
            kinds.append(Op.REGEX)
        op = dice.choice(kinds)
        if op in (Op.IN, Op.NOT_IN):
            return Filter(table, column, op, dice.choices(known, k=dice.randrange(5)))
        if op is Op.REGEX:
            return Filter(table, column, op, dice.choice(("^M", "n|b", "[0-9]P", "")))
        return Filter(table, column, op, dice.choice(known))

    def _columns(self, about: Sequence[str]) -> Any:
        dice = self.dice
        kind = dice.random()
        if kind < 0.5:
            return None
        shared = sorted({c for t in about for c in self.tables[t].columns})
        if kind < 0.75:
            return dice.sample(shared, min(len(shared), dice.randrange(1, 5)))
        chosen = dice.sample(about, dice.randrange(1, len(about) + 1))
        return {
            t: dice.sample(self.tables[t].columns, min(3, len(self.tables[t].columns)))
            for t in chosen
        }

    # columns of views

    def _showing(self, about: Sequence[str]) -> list[definition.ViewColumn]:
        nm = self.tables[about[0]].resolution_nm
        made = []
        for number in range(self.dice.randrange(1, 6)):
            table = self.dice.choice(about)
            relation = self.tables[table]
            column = self.dice.choice(relation.columns)
            factors = [a / b for a, b in zip(relation.resolution_nm, nm, strict=True)]
            if column in relation.points and not all(f.is_integer() for f in factors):
                continue  # it would be rounded twice
            name = f"c{number}_{column}"
            made.append(definition.ViewColumn(name, table, column))
        return made or [definition.ViewColumn("id", about[0], "id")]

    def _counting(self, about: Sequence[str]) -> list[definition.ViewColumn]:
        dice = self.dice
        plain = [
            (t, c)
            for t in about
            for c in self.tables[t].columns
            if c not in self.tables[t].points and self.values.get((t, c))
        ]
        made = [
            definition.ViewColumn(f"g{number}_{column}", table, column)
            for number, (table, column) in enumerate(
                dice.sample(plain, min(len(plain), dice.randrange(3)))
            )
        ]
        made.append(definition.ViewColumn("n", aggregate="count"))
        for number, (table, column) in enumerate(dice.sample(plain, min(len(plain), 2))):
            known = self.values[table, column][0]
            kinds = ["count", "count_distinct"]
            if not isinstance(known, bool):
                kinds += ["min", "max"]
                numeric = isinstance(known, int | float) and not column.endswith(HUGE)
                kinds += ["mean", "sum"] if numeric else []
            made.append(definition.ViewColumn(f"a{number}", table, column, dice.choice(kinds)))
        return made


def dice_of(dice: random.Random, weights: Sequence[int]) -> int:
    return dice.choice(weights)


def known_values(rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[tuple[str, str], Any]:
    """Values by table and column, sorted, and some close by that no row has."""
    found: dict[tuple[str, str], Any] = {}
    for table, some in rows.items():
        by_column: dict[str, set[Any]] = {}
        for row in some:
            for column, value in row.items():
                if value is not None and not isinstance(value, tuple):
                    by_column.setdefault(column, set()).add(value)
        for column, values in by_column.items():
            known = sorted(values)
            if isinstance(known[0], int) and not isinstance(known[0], bool):
                known += [0, -5, known[len(known) // 2] + 1, 2**63]
            found[table, column] = known
    return found


def _filterable(table: MemoryRelation) -> list[str]:
    axes = [f"{point}_{axis}" for point in sorted(table.points) for axis in "xyz"]
    return [*table.columns, *axes]


def _alike(left: str, right: str) -> bool:
    """Whether two columns may have the same values."""
    return _kind(left) is not None and _kind(left) == _kind(right)


def _kind(column: str) -> str | None:
    """What the ids of a column, also of one that a view shows, are of."""
    own = re.sub("^[cg][0-9]_", "", column)
    if own in REFERENCES:
        return "annotations"
    return next((kind for kind in HUGE if own.endswith(f"pt_{kind}")), None)


def _is_json(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return not any(isinstance(v, datetime) for v in values)
