"""Bulk upload as a run: whole, resumed, refused, cancelled."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_world import SIZE, Pair, write_volume
from steps import step, work_until

from matengine.engine import upload
from matengine.engine.annotations import bulk, rows
from matengine.engine.runs import engine, runs, units
from matengine.engine.versions import collect, first, layout
from matengine.errors import Gone, NotFound
from matengine.storage.connections import Connection, conninfo_of

ROWS = 3000


@pytest.fixture
def pair(conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setattr(bulk, "BATCH_ROWS", 500)
    return Pair(conn, write_volume(tmp_path / "volume"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    columns: dict[str, Any] = {"id": np.arange(1, ROWS + 1)}
    for point in ("pre_pt", "post_pt", "ctr_pt"):
        for axis in "xyz":
            columns[f"{point}_position_{axis}"] = rng.integers(0, SIZE, ROWS).astype(float)
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def end(pair: Pair, run_id: int) -> runs.Run:
    return engine.drive(conninfo_of(pair.conn), run_id)


def lookups(pair: Pair) -> int:
    (count,) = pair.conn.execute(
        f'SELECT count(*) FROM staging."{pair.table}__{pair.name}"'  # noqa: S608
    ).fetchone() or (0,)
    return int(count)


def test_the_rows_are_loaded_and_looked_up(pair: Pair, file: Path) -> None:
    run_id = upload.start(pair.conn, pair.name, pair.table, file)
    assert end(pair, run_id).status == "done"
    assert rows.count(pair.conn, pair.table) == ROWS == lookups(pair)
    pair._learn(pair.table, list(range(1, ROWS + 1)))
    pair.epoch()  # judged by the oracle
    assert lookups(pair) == 0
    assert pair.versions[1][1][pair.table].num_rows == ROWS


def test_a_first_epoch_of_many_units(
    pair: Pair, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids with gaps, cut into blocks to look up and into ranges of roots to write."""
    for module, rows_of_a_unit in ((collect, 700), (first, 1000)):
        monkeypatch.setattr(module, "BLOCK", rows_of_a_unit)
    monkeypatch.setattr(collect, "LONG", 10)
    table = pq.read_table(file)
    apart = np.arange(ROWS) + np.arange(ROWS) // 41 * 1000 + 5
    kept = pa.table({"id": apart} | {c: table[c] for c in table.column_names if c != "id"})
    pq.write_table(kept, file)
    run = end(pair, upload.start(pair.conn, pair.name, pair.table, file))
    assert run.status == "done"
    table_layout = layout.layout_of(pair.conn, pair.table, pair.name)
    found = collect.Statements(table_layout, run).fresh_ranges(6, int(apart[-2]))
    blocks = [apart[1:-1][at : at + 700] for at in range(0, ROWS - 2, 700)]
    assert pair.conn.execute(found).fetchall() == [(ids[0], ids[-1]) for ids in blocks]
    pair._learn(pair.table, apart.tolist())
    pair.epoch()  # judged by the oracle
    counts = dict(
        pair.conn.execute(
            "SELECT kind, count(*) FROM matengine.unit WHERE first_id IS NOT NULL"
            " OR last_id IS NOT NULL GROUP BY kind"
        ).fetchall()
    )
    assert counts["fresh"] > 3
    assert counts[first.KIND] == 3
    assert lookups(pair) == 0


def test_without_lookups(pair: Pair, file: Path) -> None:
    run_id = upload.start(pair.conn, pair.name, pair.table, file, look_up=False)
    assert end(pair, run_id).status == "done"
    assert rows.count(pair.conn, pair.table) == ROWS
    assert runs.tally(pair.conn, run_id).total == 1


def test_its_unit_has_a_queue_of_its_own(pair: Pair, file: Path) -> None:
    run_id = upload.start(pair.conn, pair.name, pair.table, file)
    work_until(pair.conn, run_id, "load")
    assert [kind for _, kind in units.to_send(pair.conn)] == ["bulk"]


def test_a_cancelled_upload_stops_and_another_goes_on(
    pair: Pair, file: Path, av: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = upload.start(pair.conn, pair.name, pair.table, file, receipt="mine")
    work_until(pair.conn, run_id, "load")
    batches = []
    check = units.check

    def cancel_in_the_middle(conn: Connection, unit: units.Unit) -> None:
        batches.append(unit)
        if len(batches) == 4:
            with av.connect() as other:
                engine.cancel(other, run_id)
        check(conn, unit)

    with monkeypatch.context() as patch:
        patch.setattr(units, "check", cancel_in_the_middle)
        assert step(pair.conn, run_id)
    assert runs.get(pair.conn, run_id).status == "cancelled"
    loaded = rows.count(pair.conn, pair.table)
    assert 0 < loaded < ROWS
    run_id = upload.start(pair.conn, pair.name, pair.table, file, receipt="mine")
    assert end(pair, run_id).status == "done"
    assert rows.count(pair.conn, pair.table) == ROWS


def test_a_worker_thought_dead_does_not_load_beside_its_successor(
    pair: Pair, file: Path, av: Any
) -> None:
    run_id = upload.start(pair.conn, pair.name, pair.table, file, receipt="mine")
    work_until(pair.conn, run_id, "load")
    with av.connect() as sleeper:
        sleeper.execute("SELECT pg_advisory_lock(hashtextextended('bulk mine', 0))")
        assert step(pair.conn, run_id)
        (fault,) = runs.tally(pair.conn, run_id).faults
        assert "Another worker still loads" in fault
        assert rows.count(pair.conn, pair.table) == 0
        pair.conn.commit()
    assert end(pair, run_id).status == "done"
    assert rows.count(pair.conn, pair.table) == ROWS


def test_faulty_rows_end_the_run_with_their_report(pair: Pair, file: Path) -> None:
    good = pq.read_table(file)
    pq.write_table(good.drop_columns("pre_pt_position_x"), file)
    run = end(pair, upload.start(pair.conn, pair.name, pair.table, file))
    assert run.status == "failed"
    assert "pre_pt_position" in (run.error or "")
    assert rows.count(pair.conn, pair.table) == 0


def test_what_is_not_there_is_refused_at_once(pair: Pair, file: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        upload.start(pair.conn, pair.name, pair.table, file.with_name("other"))
    with pytest.raises(NotFound, match="There is no annotation table"):
        upload.start(pair.conn, pair.name, "nothing", file)
    with pytest.raises(NotFound, match="There is no datastack"):
        upload.start(pair.conn, "nobody", pair.table, file)
    pair.leave()
    with pytest.raises((Gone, NotFound)):
        upload.start(pair.conn, pair.name, pair.table, file)


def test_the_indexes_of_an_empty_table_are_units_beside_the_lookups(
    pair: Pair, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "REINDEX_ROWS", 100)
    whole = indexes(pair)
    run_id = upload.start(pair.conn, pair.name, pair.table, file, receipt="mine")
    work_until(pair.conn, run_id, "lookup")
    assert len(indexes(pair)) == 1  # the primary key's
    assert step(pair.conn, run_id)
    engine.cancel(pair.conn, run_id)
    assert 1 < len(indexes(pair)) < len(whole)
    again = upload.start(pair.conn, pair.name, pair.table, file, receipt="mine")
    assert end(pair, again).status == "done"
    assert indexes(pair) == whole
    assert rows.count(pair.conn, pair.table) == ROWS == lookups(pair)


def indexes(pair: Pair) -> list[str]:
    found = pair.conn.execute(
        "SELECT indexdef FROM pg_indexes WHERE tablename = %s ORDER BY 1", (pair.table,)
    ).fetchall()
    return [definition for (definition,) in found]
