"""A small volume with a graph, on the engine and on the oracle, for random scenarios."""

import itertools
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from psycopg import sql
from raw_volume import write_raw_volume
from recounting import recount

from matengine.engine import datastacks
from matengine.engine.annotations import rows as annotations
from matengine.engine.annotations import tables
from matengine.engine.query import answer
from matengine.engine.query.model import Axes, Query
from matengine.engine.runs import engine as runs_engine
from matengine.engine.runs import runs
from matengine.engine.versions import catalogue, epoch, layout
from matengine.segmentation.chunkedgraph import local
from matengine.storage.connections import Connection, conninfo_of
from matengine.testing.graph import MemoryGraph
from matengine.testing.world import Annotation, Names, World
from matengine.times import floor_ms

Points = Sequence[Sequence[float | None]]

SIZE = 12
CHUNK = 4
START = datetime(2026, 1, 1, tzinfo=UTC)


def supervoxel_array() -> np.ndarray:
    """12^3 voxels, chunks of 4^3, each with background and up to three supervoxels."""
    voxels = np.zeros((SIZE,) * 3, np.uint64)
    for x, y, z in itertools.product(range(SIZE), repeat=3):
        part = (x % CHUNK + y % CHUNK + z % CHUNK) % 4
        chunk = (x // CHUNK << 46) | (y // CHUNK << 36) | (z // CHUNK << 26)
        voxels[x, y, z] = (1 << 56) | chunk | part if part else 0
    return voxels


def write_volume(folder: Path) -> str:
    """The array as a precomputed volume of 1 nm voxels."""
    return write_raw_volume(folder, supervoxel_array(), chunk=[CHUNK] * 3)


@dataclass
class Pair:
    """The engine and the oracle, told the same."""

    conn: Connection
    volume: str
    name: str = ""
    # whose tables this datastack of the same aligned volume sees too, and has none of its own
    neighbour: "Pair | None" = None
    versions: dict[int, tuple[datetime, dict[str, pa.Table]]] = field(default_factory=dict)
    names: Names = field(default_factory=Names)

    def __post_init__(self) -> None:
        self.name = f"ds_{uuid.uuid4().hex[:10]}"
        self.voxels = supervoxel_array()
        ids = [int(i) for i in np.unique(self.voxels) if i]
        self.supervoxels = ids
        edges = [(a, b) for a, b in itertools.pairwise(ids) if (a + b) % 3]
        local.create(self.conn, self.name, start=START)
        local.load_edges(
            self.conn,
            self.name,
            pa.table(
                {
                    "supervoxel_a": pa.array([a for a, _ in edges], pa.int64()),
                    "supervoxel_b": pa.array([b for _, b in edges], pa.int64()),
                }
            ),
            ids,
        )
        self.world = World(self.voxels, MemoryGraph(START, edges, ids))
        if self.neighbour:
            self.table, self.notes = self.neighbour.table, self.neighbour.notes
            self.world.tables = self.neighbour.world.tables
        else:
            self._make_tables()
        datastacks.create(
            self.conn,
            self.name,
            datastacks.Segmentation(self.name, self.volume, [1.0, 1.0, 1.0], [CHUNK] * 3),
        )
        self.conn.commit()

    def _make_tables(self) -> None:
        self.table = f"syn_{self.name}"
        self.notes = f"note_{self.name}"
        for table, schema in ((self.table, "synapse"), (self.notes, "simple_reference")):
            tables.create_table(
                self.conn,
                table,
                schema,
                voxel_resolution_nm=(1, 1, 1),
                description="",
                reference_table=self.table if schema == "simple_reference" else None,
            )
            self.world.tables[table] = {}

    # what happens

    def insert(self, points: list[tuple[int, int, int]], size: float | None) -> None:
        """One synapse from three points."""
        names = ("pre_pt", "post_pt", "ctr_pt")
        nested: dict[str, Any] = {n: {"position": p} for n, p in zip(names, points, strict=True)}
        ids = annotations.insert(self.conn, self.table, [nested | {"size": size}])
        self.conn.commit()
        self._learn(self.table, ids)

    def note(self, target: int) -> None:
        """One reference annotation about an existing synapse."""
        known = sorted(self.world.tables[self.table])
        if known:
            ids = annotations.insert(
                self.conn, self.notes, [{"target_id": known[target % len(known)]}]
            )
            self.conn.commit()
            self._learn(self.notes, ids)

    def move(self, which: int, point: tuple[int, int, int]) -> None:
        """Correct the pre point of a living synapse."""
        living = self._living()
        if living:
            old = living[which % len(living)]
            new = annotations.update(
                self.conn, self.table, [{"id": old, "pre_pt": {"position": point}}]
            )
            self.conn.commit()
            self._learn(self.table, [old, *new.values()])

    def delete(self, which: int) -> None:
        living = self._living()
        if living:
            annotations.delete(self.conn, self.table, [living[which % len(living)]])
            self.conn.commit()
            self._learn(self.table, [living[which % len(living)]])

    def put(
        self,
        created: datetime,
        deleted: datetime | None = None,
        points: Points = ((1, 2, 2), (5, 6, 2), (1, 1, 1)),
        row_id: int | None = None,
    ) -> int:
        """A synapse with times of its own, as programs with their own clocks write it. Commits."""
        (row_id,) = self.conn.execute(
            sql.SQL(
                "INSERT INTO {} (id, created, deleted, valid, pre_pt_position, post_pt_position,"
                " ctr_pt_position) VALUES (coalesce(%s, nextval(%s)), %s, %s, %s,"
                " ST_MakePoint(%s, %s, %s), ST_MakePoint(%s, %s, %s), ST_MakePoint(%s, %s, %s))"
                " RETURNING id"
            ).format(sql.Identifier("public", self.table)),
            (
                row_id,
                f"public.{self.table}_id_seq",
                created,
                deleted,
                deleted is None,
                *itertools.chain(*points),
            ),
        ).fetchone() or (0,)
        self.conn.commit()
        self._learn(self.table, [row_id])
        return row_id

    def clock(self) -> datetime:
        """The server's time."""
        (now,) = self.conn.execute("SELECT clock_timestamp()").fetchone() or (START,)
        self.conn.commit()
        return now

    def end(self, row_id: int, at: datetime) -> None:
        """Delete a synapse at a time given. Commits."""
        self.conn.execute(
            sql.SQL("UPDATE {} SET deleted = %s, valid = false WHERE id = %s").format(
                sql.Identifier("public", self.table)
            ),
            (at, row_id),
        )
        self.conn.commit()
        self._learn(self.table, [row_id])

    def erase(self, row_id: int) -> None:
        """Remove a synapse from the live table as if it had never been. Commits."""
        self.conn.execute(
            sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier("public", self.table)),
            (row_id,),
        )
        self.conn.commit()

    def displace(self, row_id: int, points: Points) -> None:
        """Move the points of a synapse in place, which no program should. Commits."""
        self.conn.execute(
            sql.SQL(
                "UPDATE {} SET pre_pt_position = ST_MakePoint(%s, %s, %s), post_pt_position ="
                " ST_MakePoint(%s, %s, %s), ctr_pt_position = ST_MakePoint(%s, %s, %s)"
                " WHERE id = %s"
            ).format(sql.Identifier("public", self.table)),
            (*itertools.chain(*points), row_id),
        )
        self.conn.commit()
        self._learn(self.table, [row_id])

    def forget(self, row_id: int) -> None:
        """The oracle forgets an erased synapse, and the notes about it, which went with it."""
        notes = self.world.tables[self.notes]
        self.world.tables[self.table].pop(row_id, None)
        for note in [i for i, a in notes.items() if a.fields["target_id"] == row_id]:
            del notes[note]

    def merge(self, a: int, b: int, at: datetime | None = None) -> None:
        pair = (
            self.supervoxels[a % len(self.supervoxels)],
            self.supervoxels[b % len(self.supervoxels)],
        )
        if pair[0] != pair[1]:
            edit = local.merge(self.conn, self.name, [pair], at=at, strict=False)
            self.conn.commit()
            self.world.graph.merge([pair], at=edit.at, strict=False)

    def split(self, which: int, at: datetime | None = None) -> None:
        edges = sorted(self.world.graph.edges)
        if edges:
            edge = edges[which % len(edges)]
            edit = local.split(self.conn, self.name, [edge], at=at, strict=False)
            self.conn.commit()
            self.world.graph.split([edge], at=edit.at, strict=False)

    def stir(self, dice: random.Random, rows: int, edits: int = 4) -> None:
        """Many new synapses at once, and a few changes of every other kind."""

        def point() -> list[int]:
            return [dice.randrange(-1, SIZE + 1) for _ in "xyz"]

        names = ("pre_pt", "post_pt", "ctr_pt")
        new = [{n: {"position": point()} for n in names} for _ in range(rows)]
        self._learn(self.table, annotations.insert(self.conn, self.table, new))
        for _ in range(edits):
            self.merge(dice.randrange(1000), dice.randrange(1000))
            self.split(dice.randrange(1000))
            self.move(dice.randrange(1000), tuple(point()))
            self.delete(dice.randrange(1000))
            self.note(dice.randrange(1000))

    def epoch(self, publish: bool = True, at: datetime | None = None) -> None:
        """Make an epoch; the version, if any, must be what the oracle says."""
        run_id = self.begin(publish, at)
        runs_engine.drive(conninfo_of(self.conn), run_id)
        self.finish(run_id)

    def begin(self, publish: bool = True, at: datetime | None = None) -> int:
        """Start an epoch that somebody else works on; gives the run."""
        workflow = "complete" if publish else "update_database"
        return epoch.start(self.conn, self.name, workflow, at=at, publish_version=publish)

    def finish(self, run_id: int) -> None:
        """The run is done; its version, if any, must be what the oracle says."""
        run = runs.get(self.conn, run_id)
        self.conn.commit()
        assert run.status == "done", run.error
        if run.version is not None:
            assert run.time is not None
            self.versions[run.version] = (run.time, self._frozen(run.version))
            for table in (self.table, self.notes):
                self.judge(run.version, table)

    def leave(self) -> None:
        """Take the datastack away, so that it costs later ones nothing."""
        self.conn.rollback()
        for table in (self.notes, self.table):
            tables.delete_table(self.conn, table)
        self.conn.execute("DELETE FROM matengine.datastack WHERE name = %s", (self.name,))
        self.conn.commit()

    # what must hold

    def judge(self, version: int, table: str) -> None:
        """A version of a table has the oracle's rows, supervoxels and roots."""
        at, frozen = self.versions[version]
        self._judge_rows(table, at, frozen[table])

    def judge_live(self, at: datetime) -> None:
        """Answers at any moment, also between epochs, have the oracle's rows."""
        for table in (self.table, self.notes):
            found = answer.ask(self.conn, self.name, at, Query(table))
            self.conn.commit()
            self._judge_rows(table, floor_ms(at), found)

    def judge_axes(self, annotations: datetime, segmentation: datetime) -> None:
        """Annotations of one moment with the roots of another have the oracle's rows."""
        for table in (self.table, self.notes):
            axes = Axes(annotations, segmentation)
            found = answer.ask(self.conn, self.name, axes, Query(table))
            self.conn.commit()
            self._judge_rows(table, floor_ms(annotations), found, floor_ms(segmentation))

    def _judge_rows(
        self, table: str, at: datetime, found: pa.Table, rooted_at: datetime | None = None
    ) -> None:
        expected = self.world.version(table, at, rooted_at=rooted_at)
        by_id = {row["id"]: row for row in found.to_pylist()}
        assert by_id.keys() == expected.keys()
        assert found.num_rows == len(expected)  # none is there twice
        for row_id, shown in expected.items():
            row = by_id[row_id]
            assert row["created"] == self.world.tables[table][row_id].created
            for name, point in shown.points.items():
                place = tuple(row[f"{name}_position_{axis}"] for axis in "xyz")
                assert place == (point or (None, None, None))
                if name != "ctr_pt":
                    assert row[f"{name}_supervoxel_id"] == shown.supervoxels[name]
                    assert self.names.agree([(row[f"{name}_root_id"], shown.roots[name])])
            for name, value in shown.fields.items():
                assert row[name] == value

    def check_versions(self) -> None:
        """All versions as they were, byte for byte; counts and fingerprints as recomputed."""
        for version, (_, frozen) in self.versions.items():
            assert self._frozen(version) == frozen
            found = catalogue.version(self.conn, self.name, version)
            for told in catalogue.tables_at(self.conn, self.name, found.epoch):
                where = layout.layout_of(self.conn, told.table_name, self.name)
                assert recount(self.conn, where, found.epoch) == (
                    told.row_count,
                    told.fingerprint,
                    told.gaps,
                )
                if told.table_name in frozen:
                    assert told.row_count == frozen[told.table_name].num_rows
        self.conn.commit()

    def _frozen(self, version: int) -> dict[str, pa.Table]:
        return {
            table: answer.ask(self.conn, self.name, version, Query(table))
            for table in (self.table, self.notes)
        }

    def _living(self) -> list[int]:
        return sorted(i for i, a in self.world.tables[self.table].items() if a.deleted is None)

    def _learn(self, table: str, ids: list[int]) -> None:
        """Take over the server's times of rows, and what they were given."""
        for row in annotations.get(self.conn, table, ids):
            points = {
                name.removesuffix("_position"): value and tuple(value)
                for name, value in row.items()
                if name.endswith("_position")
            }
            fields = {n: row[n] for n in ("size", "target_id") if n in row}
            self.world.tables[table][row["id"]] = Annotation(
                row["created"], row["deleted"], points, fields
            )
        self.conn.commit()
