"""A database of an earlier revision, with versions in it, is brought up to date and goes on.

`tests/data/revision_0005.sql` is one: four epochs and three versions of the small world, with
supervoxels that could not be read, a deleted table, a run that was cancelled, and rows that no
epoch has taken up yet.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from small_world import SIZE, supervoxel_array, write_volume

from matengine.engine import datastacks
from matengine.engine.annotations import tables
from matengine.engine.lookup import states
from matengine.engine.runs import engine
from matengine.engine.versions import catalogue, epoch, gaps, verify
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.storage import connections
from matengine.storage.connections import Connection, conninfo_of

DUMP = Path(__file__).parents[1] / "data" / "revision_0005.sql"
NAME = "ds_aged000000"
SYNAPSES, NOTES = f"syn_{NAME}", f"note_{NAME}"


@pytest.fixture(scope="module")
def aged(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The database as it was, on which tests go on one after the other."""
    name = f"aged_{uuid.uuid4().hex[:10]}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with connections.open_connection(connections.database_url(name, server_url)) as conn:
        conn.execute("SET check_function_bodies = off")
        conn.execute(DUMP.read_text())  # type: ignore[arg-type]
        conn.execute(
            "UPDATE matengine.segmentation SET volume = %s",
            (write_volume(tmp_path_factory.mktemp("volume")),),
        )
        conn.commit()
        yield conn
        conn.rollback()
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def all_rows(conn: Connection, query: str, **names: sql.Composable) -> list[tuple[Any, ...]]:
    return conn.execute(sql.SQL(query).format(**names)).fetchall()


def view(version: int, table: str) -> sql.Identifier:
    """A table as users of SQL see it."""
    return sql.Identifier(f"{NAME}__mat{version}", table)


def told(conn: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """What was published, by queries that every revision understands."""
    views = all_rows(
        conn,
        "SELECT schemaname, viewname FROM pg_views WHERE starts_with(schemaname, {name})",
        name=sql.Literal(f"{NAME}__mat"),
    )
    answers = {
        f"{schema}.{name}": all_rows(
            conn, "SELECT * FROM {view} ORDER BY id", view=sql.Identifier(schema, name)
        )
        for schema, name in views
    }
    answers["lines"] = all_rows(
        conn,
        "SELECT datastack, epoch, table_name, schema_type, row_count, fingerprint, gaps,"
        " rows_added, rows_closed FROM matengine.epoch_table ORDER BY 1, 2, 3",
    )
    answers["versions"] = all_rows(
        conn, "SELECT version, epoch, status, name, pinned FROM matengine.version ORDER BY 1"
    )
    return answers


def test_it_says_what_it_said_and_goes_on(aged: Connection, server_url: str) -> None:
    before = told(aged)
    assert len(before) == 2 + 3 + 3 + 2  # tables of the versions, lines, versions
    aged.commit()
    for _ in range(2):  # the second time there is nothing to do
        connections.prepare(aged.info.dbname, server_url)
    assert told(aged) == before
    for version in (1, 2, 3):
        assert all(checked.right for checked in verify.verify(aged, NAME, version))
    check_gaps(aged)
    check_metadata(aged)
    run = engine.drive(conninfo_of(aged), epoch.start(aged, NAME, "complete", publish_version=True))
    assert (run.status, run.version, run.epoch) == ("done", 5, 5)
    assert told(aged)[f"{NAME}__mat3.{SYNAPSES}"] == before[f"{NAME}__mat3.{SYNAPSES}"]
    check_version(aged, 5)
    check_edits(aged)
    assert all(checked.right for checked in verify.verify(aged, NAME, 5))
    assert gaps.of_version(aged, NAME, 5) == states.failures(aged, NAME) == []
    assert len(gaps.of_version(aged, NAME, 3)) == 2


def check_gaps(conn: Connection) -> None:
    """They are those of history, with the reason where it was still known.

    A cancelled run had taken the records of two along; the next epoch shall try these too.
    """
    listed = {
        version: [(gap.id, gap.point, gap.reason) for gap in gaps.of_version(conn, NAME, version)]
        for version in (1, 2, 3)
    }
    for version, found in listed.items():
        lacking = all_rows(
            conn,
            "SELECT id, point FROM {view} CROSS JOIN LATERAL (VALUES ('pre_pt', pre_pt_root_id),"
            " ('post_pt', post_pt_root_id)) AS p(point, root) WHERE root IS NULL",
            view=view(version, SYNAPSES),
        )
        assert sorted((i, p) for i, p, _ in found) == sorted(lacking)
    assert [len(listed[version]) for version in (1, 2, 3)] == [0, 3, 2]
    assert {reason for _, _, reason in listed[3]} == {"the reason was not recorded"}
    failing = states.failures(conn, NAME, SYNAPSES)
    assert {(f.id, f.point) for f in failing} >= {(i, p) for i, p, _ in listed[3]}
    assert len(failing) == 3
    assert {f.state for f in failing} == {states.State.RETRYABLE}


def check_metadata(conn: Connection) -> None:
    """Of versions made before these were recorded, what is known now."""
    known = {t.name: t for t in catalogue.tables_metadata(conn, NAME, 1)}
    assert known.keys() == {SYNAPSES, NOTES, "spare"}
    assert known["spare"].notice_text == "mind the gap"
    assert known["spare"].description == tables.get_metadata(conn, "spare").description
    assert {t.name for t in catalogue.tables_metadata(conn, NAME, 3)} == {SYNAPSES, NOTES}


def check_edits(conn: Connection) -> None:
    """Edges that were stored one a row are cut, and joined again, as those that are packed."""
    graph = LocalGraph(conn, NAME)
    roots = [
        row[0]
        for row in all_rows(
            conn,
            "SELECT root_id FROM {root} WHERE expired_ms > extract(epoch FROM now()) * 1000",
            root=sql.Identifier(f"graph_{NAME}", "root"),
        )
    ]
    root = max(roots, key=lambda root: len(graph.edges(root)[0]))
    (edges, _, _), leaves = graph.edges(root), graph.leaves(root)
    assert len(edges) >= len(leaves) - 1 >= 1
    apart = graph.split(edges)
    assert len(apart.new_roots) == len(leaves)
    (again,) = graph.undo(apart.operation_id).new_roots.tolist()
    assert graph.edges(again)[0].tolist() == edges.tolist()
    conn.rollback()


def check_version(conn: Connection, version: int) -> None:
    """A version has the living rows, what the volume has under them, and its graph's roots."""
    at = catalogue.version(conn, NAME, version).time
    assert at is not None
    voxels = supervoxel_array()
    graph = datastacks.graph_of(conn, NAME)
    shown = set()
    for point in ("pre_pt", "post_pt"):
        rows = all_rows(
            conn,
            "SELECT id, ST_X({at}), ST_Y({at}), ST_Z({at}), {supervoxel}, {root} FROM {view}",
            at=sql.Identifier(f"{point}_position"),
            supervoxel=sql.Identifier(f"{point}_supervoxel_id"),
            root=sql.Identifier(f"{point}_root_id"),
            view=view(version, SYNAPSES),
        )
        for row_id, x, y, z, supervoxel, root in rows:
            shown.add(row_id)
            inside = all(0 <= place < SIZE for place in (x, y, z))
            assert supervoxel == (voxels[int(x), int(y), int(z)] if inside else 0)
            assert root == graph.roots([supervoxel], at)[0]
    living = all_rows(
        conn,
        "SELECT id FROM {live} WHERE deleted IS NULL",
        live=sql.Identifier("public", SYNAPSES),
    )
    assert shown == {row_id for (row_id,) in living}
