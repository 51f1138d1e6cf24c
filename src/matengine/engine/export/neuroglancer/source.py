"""A table at a moment as a precomputed annotation source: its info, and annotations by place."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from psycopg import sql

from matengine.engine.access import User
from matengine.engine.annotations import tables
from matengine.engine.export.neuroglancer import encode, levels, shape
from matengine.engine.export.neuroglancer.levels import Grid, Level
from matengine.engine.export.neuroglancer.plan import Bounds, Plan, number, plan_of, there
from matengine.engine.export.neuroglancer.shape import Shape
from matengine.engine.query import answer, sources
from matengine.engine.query.model import At, Filter, Op, Query
from matengine.engine.query.relation import Relation
from matengine.engine.query.unique import unique_strings
from matengine.errors import NotFound
from matengine.storage import arrow
from matengine.storage.connections import Connection, conninfo_of

DEADLINE_S = 60.0
_M_PER_NM = 1e-9
_ROW = "t0"


@dataclass(frozen=True)
class Source:
    """A table at a moment that a user may read."""

    conn: Connection
    datastack: str
    at: At
    user: User
    relation: Relation
    texts: dict[str, list[str]]
    shape: Shape

    @cached_property
    def plan(self) -> Plan:
        return plan_of(self.conn, self.datastack, self.relation, self.shape, self.user)

    def info(self) -> dict[str, Any]:
        """The info file; positions are in voxels of the table."""
        plan = self.plan
        nm = self.relation.resolution_nm or (1.0, 1.0, 1.0)
        return {
            "@type": "neuroglancer_annotations_v1",
            "dimensions": {a: [n * _M_PER_NM, "m"] for a, n in zip("xyz", nm, strict=True)},
            "lower_bound": list(plan.bounds.low),
            "upper_bound": list(plan.bounds.high),
            "annotation_type": "line" if self.shape.is_line else "point",
            "properties": self._properties(),
            "relationships": [{"id": name, "key": name} for name in self.shape.relationships],
            "by_id": {"key": "by_id"},
            "spatial": [
                {
                    "key": level.name,
                    "grid_shape": list(level.grid),
                    "chunk_size": list(plan.bounds.chunk(level.grid)),
                    "limit": level.limit,
                }
                for level in plan.levels
            ],
        }

    def by_id(self, annotation_id: int) -> bytes:
        """One annotation; raises NotFound."""
        rows = self._ask(Filter(self.relation.name, "id", Op.EQUAL, annotation_id))
        if not rows.num_rows:
            raise NotFound(f"'{self.relation.name}' has no annotation {annotation_id}.")
        return encode.one(rows, self.shape)

    def by_relationship(self, column: str, segment: int) -> bytes:
        """The annotations with a segment; raises NotFound where it is no relationship."""
        if column not in self.shape.relationships:
            raise NotFound(f"'{self.relation.name}' has no relationship '{column}'.")
        rows = self._ask(Filter(self.relation.name, column, Op.EQUAL, segment))
        return encode.many(rows, self.shape)

    def by_cell(self, level: Level, cell: Grid) -> bytes:
        """The annotations of a cell; cells at the edge have what lies beyond it.

        A line is in every cell that its box touches. Raises NotFound for a cell outside the grid.
        """
        if any(not 0 <= place < cells for place, cells in zip(cell, level.grid, strict=True)):
            raise NotFound(f"The level '{level.name}' has no cell {cell}.")
        hashed = levels.hashed(_ROW)
        conditions = [
            sql.SQL("{} >= {} AND {} < {}").format(
                hashed, sql.Literal(level.low), hashed, sql.Literal(level.high)
            ),
            self._there(),
            *self._within(self.plan.bounds, level.grid, cell),
        ]
        rows = self._select(conditions)
        return encode.many(rows, self.shape)

    def _properties(self) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        for name, kind in self.shape.numbers:
            told.append({"id": name, "type": "float32" if kind == pa.float64() else "int32"})
        for name in self.shape.booleans:
            labels = {0: "", 1: "false", 2: "true"}
            told.append(_listed(name, labels))
        for name in self.shape.texts:
            values = {shape.number_of(text): text for text in self.texts.get(name, [])}
            told.append(_listed(name, {0: ""} | values))
        return told

    def _ask(self, asked: Filter) -> pa.Table:
        query = Query(
            self.relation.name,
            filters=(asked, *self._whole()),
            columns=["id", *self.shape.columns],
        )
        return answer.ask(self.conn, self.datastack, self.at, query, self.user)

    def _whole(self) -> Iterable[Filter]:
        """Only annotations that have all of their points: others cannot be drawn."""
        for point in self.shape.points:
            name = f"{point}_x"
            yield Filter(self.relation.name, name, Op.NOT_IN, [])

    def _there(self) -> sql.Composable:
        return there(self.relation, self.shape, _ROW)

    def _within(self, bounds: Bounds, grid: Grid, cell: Grid) -> Iterable[sql.Composable]:
        for axis in range(3):
            values = [self.relation.points[p][axis].value(_ROW) for p in self.shape.points]
            chunk = bounds.chunk(grid)[axis]
            start = bounds.low[axis] + cell[axis] * chunk
            listed = sql.SQL(", ").join(values)
            if cell[axis] > 0:
                yield sql.SQL("greatest({}) >= {}").format(listed, number(start))
            if cell[axis] < grid[axis] - 1:
                end = bounds.low[axis] + (cell[axis] + 1) * chunk
                yield sql.SQL("least({}) < {}").format(listed, number(end))

    def _select(self, conditions: list[sql.Composable]) -> pa.Table:
        columns = [self.relation.by_name[name] for name in ("id", *self.shape.columns)]
        statement = sql.SQL("SELECT {} FROM {} AS {} WHERE {} ORDER BY 1").format(
            sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(c.value(_ROW), sql.Identifier(c.name)) for c in columns
            ),
            self.relation.source,
            sql.Identifier(_ROW),
            sql.SQL(" AND ").join(conditions),
        )
        query = statement.as_string(self.conn)
        with arrow.stream(conninfo_of(self.conn), query, DEADLINE_S) as reader:
            return reader.read_all()


def open_source(conn: Connection, datastack: str, at: At, table: str, user: User) -> Source:
    """A table as a source; raises NotFound, Gone, Forbidden, and Invalid where it has no points."""
    relation = sources.tables_at(conn, datastack, at, [table], user)[table]
    texts = unique_strings(conn, tables.get_metadata(conn, table))
    return Source(conn, datastack, at, user, relation, texts, shape.of(relation, texts))


def _listed(name: str, labels: dict[int, str]) -> dict[str, Any]:
    """A property whose numbers stand for texts."""
    return {
        "id": name,
        "type": "uint32",
        "enum_values": list(labels),
        "enum_labels": list(labels.values()),
    }
