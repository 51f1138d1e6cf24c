"""An epoch of proofreading alone does what the edits ask for, and nothing else."""

import pytest
from numpy.typing import NDArray
from psycopg import sql
from small_world import Pair

from matengine.engine import datastacks
from matengine.engine.versions import layout
from matengine.engine.versions.layout import OPEN
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.storage.connections import Connection


def counts(conn: Connection, table: str) -> tuple[int, int]:
    """Rows that scans and index scans have read of a live table."""
    conn.execute("SELECT pg_stat_force_next_flush()")
    conn.commit()
    found = conn.execute(
        "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = %s", (table,)
    ).fetchone()
    conn.commit()
    assert found is not None
    return found


def test_only_roots_that_expired_are_asked_for(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those at the other ends of the rows; and nothing is read of the live tables."""
    pair.epoch()  # whatever was waiting
    asked: set[int] = set()
    real = LocalGraph.roots

    def roots(graph: LocalGraph, supervoxels: NDArray, at: object) -> NDArray:
        asked.update(supervoxels.tolist())
        return real(graph, supervoxels, at)

    pair.split(2)
    pair.merge(3, 40)
    graph = datastacks.open_graph(pair.conn, datastacks.get(pair.conn, pair.name).segmentation)
    table = layout.layout_of(pair.conn, pair.table, pair.name)
    ends = []
    for root, supervoxel in zip(table.roots, table.supervoxels, strict=True):
        ends += pair.conn.execute(
            sql.SQL("SELECT {}, {} FROM {} WHERE to_epoch = %s").format(
                sql.Identifier(root), sql.Identifier(supervoxel), table.history
            ),
            (OPEN,),
        ).fetchall()
    before = counts(pair.conn, pair.table)
    monkeypatch.setattr(LocalGraph, "roots", roots)
    pair.epoch()
    monkeypatch.undo()
    pair.check_versions()
    now = pair.clock()
    alive = {root: bool(graph.is_latest([root], now)[0]) for root, _ in ends if root}
    expected = {supervoxel for root, supervoxel in ends if root and not alive[root]}
    assert expected
    assert expected < {supervoxel for _, supervoxel in ends}
    assert asked - {0} == expected
    assert counts(pair.conn, pair.table) == before
