"""The project's own client, against a served story."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from listening import listening
from story import CELLS, Story, story

from matengine.api.app import create_app
from matengine.api.materialize import arrow_out
from matengine.client import Datastack, connect
from matengine.client.server import Server
from matengine.engine import datastacks
from matengine.engine.query import answer
from matengine.engine.query import diff as differences
from matengine.engine.query.model import Axes, Query
from matengine.engine.query.row_history import row_history
from matengine.engine.runs import engine
from matengine.engine.versions import catalogue
from matengine.errors import Invalid, MatengineError, NotFound, Unavailable
from matengine.storage import pools
from matengine.storage.connections import conninfo_of


@dataclass(frozen=True)
class There:
    story: Story
    stack: Datastack
    url: str
    sent: list[int]

    @property
    def table(self) -> str:
        return self.story.pair.table


@pytest.fixture(scope="module")
def there(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    with (
        pytest.MonkeyPatch.context() as patch,
        story(server_url, tmp_path_factory.mktemp("volume")) as told,
    ):
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        patch.setenv("MATENGINE_BROKER_URL", "memory://")
        told.conn.commit()
        sent: list[int] = []
        tasks = import_module("matengine.workflows.tasks")
        patch.setattr(tasks.advance, "apply_async", lambda args, retry: sent.append(args[1]))
        with listening(create_app()) as url:
            yield There(told, connect(f"{url}/", told.pair.name), url, sent)
        pools.close_all()


def ids(table: pa.Table) -> list[int]:
    return list(table["id"].to_pylist())


def test_versions_and_tables(there: There) -> None:
    versions = there.stack.versions()
    assert [v["version"] for v in versions] == [1, 2]
    names = {t["table_name"] for t in there.stack.tables(1)}
    assert names == {CELLS, there.table, there.story.pair.notes}
    with pytest.raises(NotFound, match="no datastack"):
        connect(there.url, "no_such_stack")
    with pytest.raises(Unavailable):
        connect("http://127.0.0.1:1", there.stack.name)


def test_queries(there: There) -> None:
    stack, (at, frozen) = there.stack, there.story.pair.versions[1]
    right = frozen[there.table]
    rows = stack.query(there.table, at=1)
    assert ids(rows) == ids(right)
    assert rows["pre_pt_root_id"].to_pylist() == right["pre_pt_root_id"].to_pylist()
    assert rows.schema.field("pre_pt_root_id").type == pa.int64()
    assert ids(stack.query(there.table, at=at)) == ids(right)
    assert ids(stack.query(there.table)) == ids(there.story.pair.versions[2][1][there.table])
    root = right["pre_pt_root_id"][0].as_py()
    some = stack.query(
        there.table, at=1, isin={"pre_pt_root_id": np.array([root])}, columns=["id"], limit=1
    )
    assert some.column_names == ["id"]
    assert ids(some) == ids(right)[:1]
    big = stack.query(there.table, at=1, greater={"size": 3}, not_in={"id": [3]})
    sizes = zip(ids(right), right["size"].to_pylist(), strict=True)
    assert ids(big) == [i for i, size in sizes if size is not None and size > 3 and i != 3]
    assert stack.count(there.table, at=1) == right.num_rows
    assert stack.query(there.table, at=1, limit=0).num_rows == 0
    assert stack.query(there.table, at=1, equal={"id": -1}).schema.names == rows.schema.names
    near = {"pre_pt_position": [[0, 0, 0], [2, 2, 2]]}
    assert ids(stack.query(there.table, at=1, box=near)) == [1, 2]
    half = stack.query(there.table, at=1, resolution_nm=[2, 2, 2], equal={"id": 2})
    assert half["pre_pt_position_x"].to_pylist() == [1.0]


def test_todays_labels_on_a_published_segmentation(there: There) -> None:
    """In one call, of one table or joined ones: all have the same two moments."""
    stack, (first, frozen) = there.stack, there.story.pair.versions[1]
    conn, now = there.story.conn, there.story.pair.clock()
    for segmentation in (1, "1", first):
        found = stack.query(CELLS, at="now", segmentation=segmentation)
        right = answer.ask(conn, stack.name, Axes(now, 1), Query(CELLS))
        assert found.to_pylist() == right.to_pylist()
    assert found.to_pylist() != stack.query(CELLS, at="now").to_pylist()
    by_root = {row["pt_root_id"]: row["cell_type"] for row in found.to_pylist()}
    joined = stack.query(
        there.table,
        at="now",
        segmentation=1,
        joins=[(there.table, "pre_pt_root_id", CELLS, "pt_root_id")],
        columns=["id", "pre_pt_root_id", f"{CELLS}.cell_type"],
        isin={f"{CELLS}.cell_type": ["MC", "5P-IT"]},
    )
    rows = stack.query(there.table, at="now", segmentation=1).to_pylist()
    assert [(row["id"], row["cell_type"]) for row in joined.to_pylist()] == [
        (row["id"], by_root[row["pre_pt_root_id"]])
        for row in rows
        if row["pre_pt_root_id"] in by_root
    ]
    assert joined.num_rows
    for at in (1, first):
        notes = there.story.pair.notes
        told = stack.query(
            notes,
            at=at,
            joins=[(notes, "target_id", there.table, "id")],
            columns=["target_id", f"{there.table}.size"],
            greater={f"{there.table}.size": 0},
        )
        sizes = {row["id"]: row["size"] for row in frozen[there.table].to_pylist()}
        assert told.to_pylist() == [{"target_id": 1, "size": sizes[1]}]
    assert stack.count(there.table, at="now", segmentation=1, isin={"id": [1, 3]}) == 1
    conn.commit()


def test_root_ids_of_another_time(there: There) -> None:
    stack, column = there.stack, "pre_pt_root_id"
    (_, first), (time, second) = there.story.pair.versions.values()
    gone = min(
        {*first[there.table][column].to_pylist()} - {*second[there.table][column].to_pylist()}
    )
    wanted = {column: [gone]}
    graph = datastacks.open_graph(
        there.story.conn, datastacks.get(there.story.conn, stack.name).segmentation
    )
    instead = graph.latest_ids([gone], time)[gone]
    there.story.conn.commit()
    right = [r["id"] for r in second[there.table].to_pylist() if r[column] in instead]
    for at in (2, time):
        with pytest.raises(Invalid, match=f"{gone} is not of this time.*{instead[0]}"):
            stack.query(there.table, at=at, isin=wanted)
        with pytest.warns(UserWarning, match=f"{gone} by {instead[0]}"):
            found = stack.query(there.table, at=at, isin=wanted, translate_root_ids=True)
        assert ids(found) == right != []
        assert json.loads(found.schema.metadata[b"translated_root_ids"]) == {str(gone): instead}
        with pytest.warns(UserWarning, match="were replaced"):
            frame = stack.query(
                there.table, at=at, isin=wanted, translate_root_ids=True, frame="pandas"
            )
        assert frame.attrs == {"translated_root_ids": {gone: instead}}
        with pytest.warns(UserWarning, match="not of this time"):
            none = stack.query(there.table, at=at, isin=wanted, allow_invalid_root_ids=True)
        assert none.num_rows == 0
        assert stack.count(there.table, at=at, isin=wanted, translate_root_ids=True) == len(right)


def test_pages(there: There) -> None:
    """A cursor leads from page to page; a limit may end in the midst of one."""
    every = ids(there.stack.query(there.table, at=1))
    for page_rows in (1, 4, 6, 100):
        for limit in (None, 1, 5, 6, 7):
            batches = list(
                there.stack.batches(
                    there.table, at=1, page_rows=page_rows, limit=limit, columns=["size", "id"]
                )
            )
            assert [i for b in batches for i in b["id"].to_pylist()] == every[:limit]
            assert max(b.num_rows for b in batches) <= page_rows


def test_frames(there: There) -> None:
    arrow = there.stack.query(there.table, at=1)
    pandas = there.stack.query(there.table, at=1, frame="pandas")
    polars = there.stack.query(there.table, at=1, frame="polars")
    assert isinstance(pandas, pd.DataFrame)
    assert isinstance(polars, pl.DataFrame)
    assert pandas["pre_pt_root_id"].tolist() == arrow["pre_pt_root_id"].to_pylist()
    assert polars["pre_pt_root_id"].to_list() == arrow["pre_pt_root_id"].to_pylist()
    with pytest.raises(TypeError, match="no frame"):
        there.stack.query(there.table, frame="excel")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="no filter"):
        there.stack.query(there.table, where={"id": 1})


def test_diff(there: There) -> None:
    conn, name = there.story.conn, there.stack.name
    for old, new in ((1, 2), (2, 1), (1, None), (2, None)):
        right = differences.read(conn, differences.between(conn, name, there.table, old, new))
        found = there.stack.diff(there.table, old, new or "now")
        assert found.to_pylist() == right.to_pylist()
        assert found.num_rows
    changed = there.stack.diff(there.table, 1, 2)
    root = changed.filter(pc.equal(changed["change"], "changed"))["old_pre_pt_root_id"]
    one = root[0].as_py()
    alone = there.stack.diff(there.table, 1, 2, roots=[one])
    family = there.stack.diff(there.table, 1, 2, roots=[one], follow=True)
    asked = differences.between(conn, name, there.table, 1, 2, [one])
    assert alone.to_pylist() == differences.read(conn, asked).to_pylist()
    assert set(ids(alone)) <= set(ids(family)) <= set(ids(changed))
    assert there.stack.diff(CELLS, 1, 1).num_rows == 0
    conn.commit()
    with pytest.raises(NotFound, match="no version 77"):
        there.stack.diff(there.table, 1, 77)
    with pytest.raises(NotFound, match="no annotation table"):
        there.stack.diff("no_such_table", 1, 2)
    with pytest.raises(Invalid, match="follow"):
        there.stack.server.json(
            "GET",
            *("datastack", name, "diff"),
            params={"table": there.table, "old": 1, "new": 2, "follow": "true"},
        )


def test_proof(there: There) -> None:
    conn, name = there.story.conn, there.stack.name
    for version in (1, 2, "newest"):
        found = there.stack.verify(version)
        assert found["right"]
        told = {
            t.table_name: int(t.fingerprint)
            for t in catalogue.tables_at(
                conn, name, catalogue.version(conn, name, found["version"]).epoch
            )
        }
        assert {t["table"]: t["found"]["fingerprint"] for t in found["tables"]} == told
        assert all(t["right"] for t in found["tables"])
    with pytest.raises(Invalid, match="published"):
        there.stack.verify(0)

    right = row_history(conn, name, there.table, 3)
    found = there.stack.history(there.table, 3)
    assert [life["id"] for life in found["chain"]] == [life.id for life in right.chain] == [3, 7]
    assert [s["versions"] for s in found["shown"]] == [list(s.versions) for s in right.shown]
    with pytest.raises(NotFound):
        there.stack.history(there.table, 999)

    changed = there.stack.diff(there.table, 1, 2).to_pylist()
    merged = next(row["new_pre_pt_root_id"] for row in changed if row["change"] == "changed")
    graph = datastacks.graph_of(conn, name)
    lineage = there.stack.lineage(merged)
    expected = graph.lineage([merged])
    assert {r["root_id"]: r["ended_by"] for r in lineage["roots"]} == {
        root: node.operation_id for root, node in expected.nodes.items()
    }
    assert [(k["former"], k["new"]) for k in lineage["links"]] == expected.links
    late = datetime.now(UTC) + timedelta(days=1)
    assert there.stack.lineage(merged, past=late, future=late)["links"] == []
    conn.commit()


def test_runs(there: There) -> None:
    before = len(there.stack.runs())
    run = there.stack.start("complete_workflow", days_to_expire=3)
    assert run is not None
    assert (run.status, run.workflow, there.sent) == ("running", "complete", [run.run_id])
    with pytest.raises(Unavailable, match="still goes on"):
        run.wait(0)
    engine.drive(conninfo_of(there.story.conn), run.run_id)
    done = run.wait()
    assert done.units_done == done.units_total
    assert done.finished is not None
    assert done.version in [v["version"] for v in there.stack.versions()]
    assert there.stack.start("create_frozen") is None
    other = there.stack.start("ingest_annotations", there.table)
    assert other is not None
    assert other.cancel().status == "cancelled"
    with pytest.raises(MatengineError, match="cancelled"):
        there.stack.run(other.run_id).wait()
    assert len(there.stack.runs()) == before + 2
    assert [r.run_id for r in there.stack.runs(limit=1)] == [other.run_id]


def test_an_answer_that_breaks_off(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an answer is an error, however it ends."""
    whole = arrow_out.write
    monkeypatch.setattr(arrow_out, "METADATA", b"something else")
    with pytest.raises(Unavailable, match="broke off"):
        there.stack.diff(there.table, 1, 2)
    monkeypatch.setattr(arrow_out, "METADATA", b"matengine")
    monkeypatch.setattr(
        arrow_out, "write", lambda *a, **k: (piece[:-40] for piece in whole(*a, **k))
    )
    with pytest.raises(Unavailable):
        there.stack.diff(there.table, 1, 2)


def test_tokens_are_sent() -> None:
    server = Server("http://localhost", "secret")
    assert server._session.headers["Authorization"] == "Bearer secret"
