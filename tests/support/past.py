"""All that the tables of a small world ever held, and what it is at any moment, on either axis."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import sql
from questions import known_values
from small_world import START, Pair

from matengine.engine import schemas
from matengine.engine.annotations import rows as annotations
from matengine.engine.query.views.definition import Definition
from matengine.engine.schemas import Kind
from matengine.engine.versions import layout
from matengine.engine.versions.layout import Layout
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.testing import views
from matengine.testing.queries import MemoryRelation, Tables
from matengine.times import floor_ms

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Kept:
    """An epoch that is kept, and the ids that it shows by table."""

    time: datetime
    shown: dict[str, set[int]]
    unknown: dict[str, set[tuple[int, str]]]  # (id, column) of what could not be looked up


@dataclass
class Past:
    """Rows of tables, whenever they lived; roots by the oracle, as the engine names them.

    It is read from the live tables once, when nothing more happens. Rows live by their clock, but
    for those that a program told of too late for an epoch: see `_lives`. `views` are those that
    there are.
    """

    pair: Pair
    layouts: Mapping[str, Layout]
    rows: Mapping[str, Rows]
    epochs: Sequence[Kept]
    views: dict[str, Definition] = field(default_factory=dict)
    _roots: dict[datetime, dict[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, pair: Pair, tables: Iterable[str]) -> "Past":
        layouts = {t: layout.layout_of(pair.conn, t, pair.name) for t in tables}
        rows = {table: list(_all(pair, where)) for table, where in layouts.items()}
        past = cls(pair, layouts, rows, list(_kept(pair, layouts)))
        pair.conn.commit()
        return past

    def events(self) -> set[datetime]:
        """When anything happened."""
        rows = [row for table in self.rows.values() for row in table]
        found = {row["created"] for row in rows} | {r["deleted"] for r in rows if r["deleted"]}
        found |= {epoch.time for epoch in self.epochs}
        return found | {edit.at for edit in self.pair.world.graph.operations.values()} | {START}

    def at(self, annotations: datetime, segmentation: datetime | None = None) -> dict[str, Any]:
        """The tables and views as of a moment, roots as of another, if one is given."""
        at, rooted = floor_ms(annotations), floor_ms(segmentation or annotations)
        roots = self._roots_at(rooted)
        epoch = next((e for e in self.epochs if e.time == at == rooted), None)
        tables = {t: self._table(t, at, roots, epoch) for t in self.layouts}
        return tables | {name: views.relation_of(what, tables) for name, what in self.views.items()}

    def values(self, moments: Iterable[Tables]) -> dict[tuple[str, str], Any]:
        """Values of all columns at these moments, for filters."""
        rows: dict[str, Rows] = {}
        for tables in moments:
            for name, relation in tables.items():
                rows.setdefault(name, []).extend(
                    {c: row[c] for c in relation.columns} for row in relation.rows
                )
        return known_values(rows)

    def _table(
        self, table: str, at: datetime, roots: Mapping[int, int], epoch: Kept | None
    ) -> MemoryRelation:
        where = self.layouts[table]
        unknown = epoch.unknown.get(table, set()) if epoch else set()
        columns = ("id", "created", "valid", *(c.name for c in where.columns))
        shown = []
        for row in self.rows[table]:
            if self._lives(table, row, at):
                bound = zip(where.supervoxels, where.roots, strict=True)
                rooted = row | {root: roots[row[supervoxel]] for supervoxel, root in bound}
                shown.append({c: 0 if (row["id"], c) in unknown else rooted[c] for c in columns})
        return MemoryRelation(
            columns,
            frozenset(c.name for c in where.columns if c.kind is Kind.GEOMETRY),
            frozenset(where.supervoxels + where.roots),
            where.voxel_resolution_nm,
            tuple(shown),
        )

    def _lives(self, table: str, row: Mapping[str, Any], at: datetime) -> bool:
        """Whether a moment shows a row.

        The next epoch settles it: what it has not seen was told too late for the moment.
        """
        settled = next((e for e in self.epochs if e.time >= at and table in e.shown), None)
        if settled is None:
            return _alive(row, at)
        if row["id"] in settled.shown[table]:
            return bool(row["created"] <= at)
        return _alive(row, at) and not _alive(row, settled.time)

    def _roots_at(self, at: datetime) -> dict[int, int]:
        """The engine's roots of all supervoxels, which are the oracle's but for their names."""
        if at not in self._roots:
            pair, every = self.pair, [0, *self.pair.supervoxels]
            theirs = LocalGraph(pair.conn, pair.name).roots(every, at).tolist()
            ours = pair.world.graph.roots(every, at).tolist()
            assert pair.names.agree(zip(theirs, ours, strict=True))
            self._roots[at] = dict(zip(every, theirs, strict=True))
        return self._roots[at]


def _alive(row: Mapping[str, Any], at: datetime) -> bool:
    return row["created"] <= at and (row["deleted"] is None or at < row["deleted"])


def _kept(pair: Pair, layouts: Mapping[str, Layout]) -> Iterator[Kept]:
    found = pair.conn.execute(
        "SELECT e.epoch, e.time, array_agg(t.table_name) FROM matengine.epoch AS e"
        " JOIN matengine.epoch_table AS t USING (datastack, epoch) WHERE datastack = %s"
        " AND sealed IS NOT NULL AND collected IS NULL GROUP BY 1, 2 ORDER BY 1",
        (pair.name,),
    ).fetchall()
    for epoch, time, names in found:
        kept = Kept(time, {}, {})
        for table in set(names) & set(layouts):
            where = layouts[table]
            ids = where.supervoxels + where.roots
            rows = pair.conn.execute(
                sql.SQL("SELECT id {} FROM {} AS h WHERE {}").format(
                    layout.trailing(ids), where.history, layout.visible("h", epoch)
                )
            ).fetchall()
            kept.shown[table] = {row_id for row_id, *_ in rows}
            kept.unknown[table] = {
                (row_id, column)
                for row_id, *found in rows
                for column, value in zip(ids, found, strict=True)
                if value is None
            }
        yield kept


def _all(pair: Pair, where: Layout) -> Iterator[dict[str, Any]]:
    ids = [i for (i,) in pair.conn.execute(sql.SQL("SELECT id FROM {}").format(where.live))]
    bound = schemas.bound_columns(schemas.get(where.schema_type))
    for row in annotations.get(pair.conn, where.table, ids):
        points = {k: tuple(v) for k, v in row.items() if k.endswith("_position") and v}
        under = {
            b.supervoxel_id: pair.world.supervoxel(
                points.get(b.position), where.voxel_resolution_nm
            )
            for b in bound
        }
        yield dict(row) | points | under | {"valid": True}
