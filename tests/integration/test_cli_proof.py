"""The commands verify, diff, history and lineage, as one types them."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import Command
from psycopg import sql
from small_world import Pair
from story import Story, story

from matengine.engine.query import diff
from matengine.engine.versions import layout


@pytest.fixture(scope="module")
def told(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with story(server_url, tmp_path_factory.mktemp("volume")) as made:
        yield made


@pytest.fixture
def run(told: Story, commands: Callable[[Pair], Command]) -> Command:
    """Runs a command on the story; gives (exit code, stdout, stderr)."""
    return commands(told.pair)


def test_verify_says_that_all_is_as_published(told: Story, run: Command) -> None:
    code, out, _ = run("verify", 1)
    assert code == 0
    assert out.count("as published") == 3
    code, out, _ = run("verify", "newest", "--json")
    tables = {table["table"]: table for table in json.loads(out)}
    assert code == 0
    assert all(t["right"] and t["found"] == t["recorded"] for t in tables.values())
    frozen = told.pair.versions[2][1][told.pair.table]
    assert tables[told.pair.table]["found"]["row_count"] == frozen.num_rows


def test_verify_ends_with_1_and_a_sentence(told: Story, run: Command) -> None:
    with told.connect() as conn:
        conn.execute("SET session_replication_role = replica")
        change = sql.SQL("UPDATE {} SET size = size + %s WHERE id = 1").format(
            layout.layout_of(conn, told.pair.table, told.pair.name).history
        )
        conn.execute(change, (1,))
        conn.commit()
        try:
            code, out, err = run("verify", 1)
            assert code == 1
            assert out.count("DIFFERENT") == 1
            assert out.count("as published") == 2
            assert len(err.splitlines()) == 1
            assert err.startswith("error: Version 1 of")
            assert "is not what was published" in err
            assert f"'{told.pair.table}' has the fingerprint" in err
            code, out, _ = run("verify", 1, "--json")
            assert code == 1
            assert [t["table"] for t in json.loads(out) if not t["right"]] == [told.pair.table]
        finally:
            conn.execute(change, (-1,))
            conn.commit()
    assert run("verify", 1)[0] == 0


def test_diff_in_all_formats(told: Story, run: Command, tmp_path: Path) -> None:
    found = diff.between(told.conn, told.pair.name, told.pair.table, 1, 2)
    expected = diff.read(told.conn, found).to_pylist()
    code, out, _ = run("diff", told.pair.table, 1, 2, "--json")
    assert code == 0
    assert json.loads(out) == expected
    _, out, _ = run("diff", told.pair.table, 1, 2, "--format", "csv")
    assert [int(row["id"]) for row in csv.DictReader(io.StringIO(out))] == [
        row["id"] for row in expected
    ]
    file = tmp_path / "changed.parquet"
    code, _, err = run("diff", told.pair.table, 1, 2, "--out", file)
    assert code == 0
    assert f"{len(expected)} rows" in err
    assert pq.read_table(file).to_pylist() == expected


def test_diff_as_a_table_counts_first(told: Story, run: Command) -> None:
    code, out, _ = run("diff", told.pair.table, 1, 2)
    assert code == 0
    assert "2 added, 2 removed" in out.splitlines()[0]
    code, out, _ = run("diff", told.pair.table, 2, "now")
    assert "0 added, 1 removed, 0 changed" in out
    code, out, _ = run("diff", told.pair.table, 2, 2)
    assert (code, len(out.splitlines())) == (0, 1)


def test_diff_of_my_neuron(told: Story, run: Command) -> None:
    """By one root of version 1: rows that lost it; followed, also rows that its heir gained."""
    whole = json.loads(run("diff", told.pair.table, 1, 2, "--json")[1])
    row = next(
        r for r in whole if r["change"] == "changed" and r["old_pre_pt_root_id"] not in
        (0, r["new_pre_pt_root_id"])
    )  # fmt: skip
    old, new = row["old_pre_pt_root_id"], row["new_pre_pt_root_id"]
    mine = json.loads(run("diff", told.pair.table, 1, 2, "--root", old, "--json")[1])
    assert row in mine
    followed = json.loads(
        run("diff", told.pair.table, 1, 2, "--root", old, "--follow", "--json")[1]
    )
    both = json.loads(run("diff", told.pair.table, 1, 2, "--root", old, "--root", new, "--json")[1])
    assert [r["id"] for r in followed] == [r["id"] for r in both]
    code, _, err = run("diff", told.pair.table, 1, 2, "--follow")
    assert (code, "--root" in err) == (1, True)


def test_history(told: Story, run: Command) -> None:
    code, out, _ = run("history", told.pair.table, 3)
    assert code == 0
    assert "→ 3 created" in out
    assert "superseded by 7" in out
    assert "pre_pt_root_id" in out
    answer = json.loads(run("history", told.pair.table, 3, "--json")[1])
    assert [life["id"] for life in answer["chain"]] == [3, 7]
    assert answer["shown"][0]["versions"] == [1]
    assert isinstance(answer["shown"][0]["ids"]["pre_pt_root_id"], int)
    code, _, err = run("history", told.pair.table, 99)
    assert code == 1
    assert "no row of id 99" in err


def test_lineage(told: Story, run: Command) -> None:
    answer = json.loads(run("diff", told.pair.table, 1, 2, "--json")[1])
    row = next(
        r for r in answer if r["change"] == "changed" and r["old_pre_pt_root_id"] not in
        (0, r["new_pre_pt_root_id"])
    )  # fmt: skip
    old, new = row["old_pre_pt_root_id"], row["new_pre_pt_root_id"]
    tree = json.loads(run("lineage", new, "--json")[1])
    assert tree["root_id"] == new
    assert {"former": old, "new": new} in tree["links"]
    times = {r["root_id"]: r for r in tree["roots"]}
    assert times[old]["created"] < times[new]["created"]
    assert times[old]["ended_by_operation"] is not None
    assert times[new]["ended_by_operation"] is None
    code, out, _ = run("lineage", new)
    before, after = out.split("became")
    assert code == 0
    assert str(new) in before.splitlines()[0]
    assert str(old) in before
    assert "nothing else" in after
    assert "came from nothing else" in run("lineage", old)[1]
    code, _, err = run("lineage", 12345)
    assert code == 1
    assert "12345" in err
