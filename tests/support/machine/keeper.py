"""A pair that takes down each epoch when it is made, and sees whether it stays so."""

import itertools
import random
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from psycopg import errors, sql
from psycopg.rows import dict_row
from small_world import START, Pair

from machine import records
from machine.records import Record, Told
from matengine.engine.query import answer, diff
from matengine.engine.query.model import Query
from matengine.engine.runs import runs
from matengine.engine.versions import catalogue, epoch, layout, verify
from matengine.engine.versions.layout import Layout
from matengine.errors import Gone
from matengine.storage.connections import Connection


@dataclass
class Keeper(Pair):
    """`epochs` are those that are kept, `told` all versions that ever came to be.

    `ended` are annotation tables that were deleted, and when; `reserved` rows that nobody touches.
    """

    epochs: dict[int, Record] = field(default_factory=dict)
    told: dict[int, Told] = field(default_factory=dict)
    ended: dict[str, datetime] = field(default_factory=dict)
    reserved: set[int] = field(default_factory=set)
    since: datetime = START  # the earliest time of the first epoch
    layouts: dict[str, Layout] = field(default_factory=dict)

    @property
    def newest(self) -> int:
        """The newest epoch, 0 where there is none."""
        return max(self.epochs, default=0)

    def available(self) -> list[int]:
        """Versions, the newest last."""
        there = [n for n, told in self.told.items() if told.status == "AVAILABLE"]
        return sorted(there, key=lambda n: (self.told[n].epoch, n))

    def _living(self) -> list[int]:
        return [row_id for row_id in super()._living() if row_id not in self.reserved]

    def begin_on(self, conn: Connection, publish: bool, at: datetime | None) -> int:
        """Begin an epoch on a connection that may be another."""
        workflow = "complete" if publish else "update_database"
        return epoch.start(conn, self.name, workflow, at=at, publish_version=publish)

    # an epoch was made

    def record(self, run: runs.Run, *, may_lack: bool) -> None:
        """Take down the epoch that a run has made, and judge it by the oracle."""
        assert run.epoch is not None
        assert run.time is not None
        counted = {t.table_name: t for t in catalogue.tables_at(self.conn, self.name, run.epoch)}
        shown = {t for t in self.world.tables if t not in self.ended or self.ended[t] > run.time}
        assert counted.keys() == shown
        before = self.epochs.get(self.newest)
        found = self.epochs[run.epoch] = Record(run.time, {})
        lacking = set()
        for table in sorted(shown):
            where = self.layout(table)
            with self.conn.cursor(row_factory=dict_row) as cursor:
                rows = found.rows[table] = cursor.execute(
                    records.query(where, run.epoch)
                ).fetchall()
            self._judge(where, found)
            gaps = {
                (table, row["id"], position)
                for row in rows
                for root, position in zip(where.roots, where.positions, strict=True)
                if row[root] is None
            }
            assert counted[table].row_count == len(rows)
            assert counted[table].gaps == len({row_id for _, row_id, _ in gaps})
            if before and table in before.rows:
                records.nothing_is_forgotten(where, before.rows[table], rows)
            lacking |= gaps
        assert may_lack or not lacking, "a lookup failed or did not heal"
        failures = self.conn.execute(
            "SELECT table_name, id, point FROM matengine.lookup_failure WHERE datastack = %s",
            (self.name,),
        )
        assert {f for f in failures if f[0] in shown} == lacking
        found.digests = {table: digest for _, table, digest in self._digests([run.epoch])}
        if run.version is not None:
            self.told[run.version] = Told(run.epoch)
        self.conn.commit()

    def _judge(self, where: Layout, record: Record) -> None:
        """The rows are the oracle's, but for what could not be looked up."""
        table, rows = where.table, record.rows[where.table]
        expected = self.world.version(table, record.time)
        assert [row["id"] for row in rows] == sorted(expected)
        for row in rows:
            shown = expected[row["id"]]
            assert row["created"] == self.world.tables[table][row["id"]].created
            for name, value in shown.fields.items():
                assert row[name] == value
            for name, point in shown.points.items():
                place = tuple(row[f"{name}_position_{axis}"] for axis in "xyz")
                assert place == (point or (None, None, None))
            for number, position in enumerate(where.positions):
                name = position.removesuffix("_position")
                supervoxel, root = (row[c[number]] for c in (where.supervoxels, where.roots))
                assert supervoxel in (shown.supervoxels[name], None)
                if root is not None:
                    assert supervoxel is not None
                    assert self.names.agree([(root, shown.roots[name])])

    # what must hold

    def check(self) -> None:
        """Every kept epoch is as it was, byte for byte, and every version in its state."""
        for number, table, digest in self._digests(list(self.epochs)):
            assert digest == self.epochs[number].digests[table], f"epoch {number} has changed"
        known = {v.version: v for v in catalogue.versions(self.conn, self.name)}
        assert self.told == {
            n: Told(v.epoch, v.status, v.pinned, v.name)
            for n, v in known.items()
            if v.status not in ("RUNNING", "FAILED")
        }
        self.conn.commit()

    def _digests(self, epochs: list[int]) -> list[tuple[int, str, str]]:
        """(epoch, table, hash of all rows in the order of the answer)."""
        parts = [
            sql.SQL(
                "SELECT {epoch}, {table}, md5(coalesce(string_agg(q::text, ';'), ''))"
                " FROM ({query}) AS q"
            ).format(
                epoch=sql.Literal(number),
                table=sql.Literal(table),
                query=records.query(self.layout(table), number),
            )
            for number in epochs
            for table in self.epochs[number].rows
        ]
        return self.conn.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall() if parts else []

    def layout(self, table: str) -> Layout:
        """The layout of a table, looked up once."""
        if table not in self.layouts:
            self.layouts[table] = layout.layout_of(self.conn, table, self.name)
        return self.layouts[table]

    def check_answers(self, version: int, dice: random.Random) -> None:
        """A version is what was taken down: a table as Arrow and in SQL, and all recounted."""
        table, rows = dice.choice(sorted(self.epochs[self.told[version].epoch].rows.items()))
        self._check_rows(version, table)
        view = sql.Identifier(f"{self.name}__mat{version}", table)
        ids = self.conn.execute(sql.SQL("SELECT id FROM {} ORDER BY id").format(view))
        assert [row_id for (row_id,) in ids] == [row["id"] for row in rows]
        for checked in verify.verify(self.conn, self.name, version):
            assert checked.right, checked.words
        self.conn.commit()

    def _check_rows(self, version: int, table: str) -> None:
        rows = self.epochs[self.told[version].epoch].rows[table]
        known = [records.as_answered(self.layout(table), row) for row in rows]
        found = answer.ask(self.conn, self.name, version, Query(table)).to_pylist()
        assert [{c: row[c] for c in known[0]} for row in found if known] == known

    def check_gone(self) -> None:
        """Versions that were dropped are as they were until they are collected, and say so then."""
        for version in set(self.told) - set(self.available()):
            told = self.told[version]
            if told.status == "EXPIRED" and told.epoch in self.epochs:
                self._check_rows(version, self.table)
            else:
                with pytest.raises(Gone):
                    answer.ask(self.conn, self.name, version, Query(self.table))

    def check_difference(self, old: int, new: int, dice: random.Random) -> None:
        """What differs of a table between two versions is what differs between their records."""
        before, after = (self.epochs[self.told[v].epoch].rows for v in (old, new))
        later = after if self.told[new].epoch >= self.told[old].epoch else before
        table = dice.choice(sorted(later))
        where = self.layout(table)
        expected = records.held(where, before.get(table, []), after.get(table, []))
        asked = diff.between(self.conn, self.name, table, old, new)
        assert diff.read(self.conn, asked).to_pylist() == expected
        roots = [f"{side}_{root}" for side in ("old", "new") for root in where.roots]
        shown = sorted({row[c] for row in expected for c in roots if row[c]})
        if shown:
            some = dice.sample(shown, min(2, len(shown)))
            asked = diff.between(self.conn, self.name, table, old, new, some)
            assert diff.read(self.conn, asked).to_pylist() == [
                row for row in expected if any(row[c] in some for c in roots)
            ]
        self.conn.commit()

    def check_collected(self, number: int, table: str) -> None:
        """An epoch that was collected cannot be read by whoever knew of it either."""
        query = records.query(self.layout(table), number)
        # the history of a table that was deleted may be gone altogether
        refused = (errors.ObjectNotInPrerequisiteState, errors.UndefinedTable)
        with pytest.raises(refused), self.conn.transaction():
            self.conn.execute(query)

    def check_least(self) -> None:
        """Nothing is left that no kept epoch shows, but for tombstones that end what one shows."""
        for table in {table for record in self.epochs.values() for table in record.rows}:
            rows = self.conn.execute(
                sql.SQL("SELECT id, from_epoch, to_epoch FROM {}").format(
                    self.layout(table).history
                )
            ).fetchall()
            shown = [r for r in rows if r[1] < r[2]]
            assert all(any(b <= e < t for e in self.epochs) for _, b, t in shown)
            for row_id, begin, end in rows:
                if begin == end:
                    assert any(i == row_id and t <= end for i, _, t in shown)
            # and a diff finds all that differs
            for a, b in itertools.combinations(sorted(self.epochs), 2):
                at_a, at_b = ({(i, f) for i, f, t in shown if f <= e < t} for e in (a, b))
                assert {i for i, f, _ in rows if a < f <= b} >= {i for i, _ in at_a ^ at_b}
