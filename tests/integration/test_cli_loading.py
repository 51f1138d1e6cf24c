"""The commands freeze and load, as one types them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Command
from small_world import Pair

from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.engine.versions import catalogue

Run = Callable[..., Any]


@pytest.fixture
def run(pair: Pair, commands: Callable[[Pair], Command]) -> Run:
    """Runs a command; gives what it printed, or with code=1 its complaint."""
    command = commands(pair)

    def run(*words: object, code: int = 0) -> Any:
        found, out, err = command(*words)
        assert found == code, err
        return err if code else out

    return run


def test_freeze_names_the_newest_epoch(pair: Pair, run: Run) -> None:
    newest = catalogue.newest(pair.conn, pair.name)
    pair.conn.commit()
    words = ("--note", "as published", "--expires-in-days", 30)
    told = json.loads(run("freeze", *words, "--json"))
    assert (told["version"], told["epoch"], told["run_id"]) == (4, newest.epoch, None)
    found = catalogue.version(pair.conn, pair.name, 4)
    pair.conn.commit()
    assert (found.note, found.time) == ("as published", newest.time)
    assert found.expires_on is not None
    assert run("freeze").startswith(f"version 5 of {pair.name}, as of ")


def test_given_supervoxels_are_believed(pair: Pair, run: Run, tmp_path: Path) -> None:
    """With a column that the file calls otherwise. Nothing is looked up: these are not there."""
    ids = [1001, 1002]
    points = pa.array([[1.0, 2.0, 2.0]] * 2, pa.list_(pa.float64(), 3))
    columns = {f"{name}_position": points for name in ("pre_pt", "post_pt", "ctr_pt")}
    pre, post = pair.supervoxels[5:7], pair.supervoxels[8:10]
    file = tmp_path / "synapses.parquet"
    table = pa.table(
        {"id": ids, "weight": [0.5, 1.5]}
        | columns
        | {"pre_pt_supervoxel_id": pre, "post_pt_supervoxel_id": post}
    )
    pq.write_table(table, file)
    words = ("load", pair.table, file, "--column", "size=weight")
    assert "is found by the engine itself" in run(*words, code=1)
    for bad in (("--ids", "sequence"), ("--receipt", "r")):
        assert "the file's ids" in run(*words, "--given-supervoxels", *bad, code=1)
    assert "2 rows loaded" in run(*words, "--given-supervoxels")
    version = json.loads(run("materialize", "--json"))["version"]
    found = answer.ask(pair.conn, pair.name, version, Query(pair.table)).to_pylist()
    rows = {row["id"]: row for row in found}
    assert [rows[i]["pre_pt_supervoxel_id"] for i in ids] == pre
    assert [rows[i]["post_pt_supervoxel_id"] for i in ids] == post
    assert [rows[i]["size"] for i in ids] == [0.5, 1.5]

    pq.write_table(table.drop_columns(["id"]), file)
    assert "needs the columns id" in run(*words, "--given-supervoxels", code=1)
