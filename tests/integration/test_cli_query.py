"""The command query: what its options mean, and that they find the rows."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from commands import Command
from query_world import CELLS, UNITS, QueryWorld, query_world
from small_world import Pair

from matengine.cli.conditions import columns, filters, joins, numbers
from matengine.engine.query.model import Filter, Join, Op
from matengine.errors import Invalid


@pytest.fixture(scope="module")
def world(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryWorld]:
    with query_world(server_url, tmp_path_factory.mktemp("volume")) as made:
        yield made


@pytest.fixture
def run(world: QueryWorld, commands: Callable[[Pair], Command]) -> Command:
    """Runs `query`; gives (exit code, stdout, stderr)."""
    return partial(commands(world.pair), "query")


def test_conditions() -> None:
    assert filters("t", ["a=1", "b != x", "a=2", "c>=3", "u.d~^x=y", "e<", "b!=z=z"], []) == (
        Filter("t", "c", Op.GREATER_EQUAL, "3"),
        Filter("u", "d", Op.REGEX, "^x=y"),
        Filter("t", "e", Op.LESS, ""),
        Filter("t", "a", Op.IN, ["1", "2"]),
        Filter("t", "b", Op.NOT_IN, ["x", "z=z"]),
    )
    assert filters("t", [], ["u.p=0,0,0,1,2,3.5", "p=0,0,0,0,0,0"]) == (
        Filter("u", "p", Op.BOX, [[0, 0, 0], [1, 2, 3.5]]),
        Filter("t", "p", Op.BOX, [[0, 0, 0], [0, 0, 0]]),
    )
    assert joins([" a.x = b.y "]) == (Join("a", "x", "b", "y"),)
    assert columns(None, ["t"]) is None
    assert columns("a, b", ["t"]) == ["a", "b"]
    assert columns("a,u.b,c", ["t", "u"]) == {"t": ["a", "c"], "u": ["b"]}
    for wrong in (
        lambda: filters("t", ["size"], []),
        lambda: filters("t", [], ["p=1,2,3"]),
        lambda: filters("t", [], ["p"]),
        lambda: joins(["a.x=b"]),
        lambda: numbers("1,2,x", 3, "--resolution"),
    ):
        with pytest.raises(Invalid):
            wrong()


def rows_of(run: Command, *words: object) -> list[dict[str, Any]]:
    code, out, err = run(*words, "--json")
    assert code == 0, err
    return list(json.loads(out))


def test_rows(world: QueryWorld, run: Command) -> None:
    cells = world.tables[2][CELLS].rows
    few = [row for row in cells if (row["score"] or 0) > 3 and row["match_id"] in ("23P", "MC")]
    words = ("--where", "score>3", "--where", "match_id=23P", "--where", "match_id=MC")
    assert [r["id"] for r in rows_of(run, CELLS, *words)] == [r["id"] for r in few] != []
    code, out, _ = run(CELLS, "--count", "--where", "match_id~P$", "--version", 1)
    assert (code, int(out)) == (
        0,
        sum((row["match_id"] or "").endswith("P") for row in world.tables[1][CELLS].rows),
    )
    assert len(rows_of(run, CELLS, "--sample", 3, "--version", 1)) == 3
    box = rows_of(run, CELLS, "--box", "pt_position=0,0,0,1,1,1", "--resolution", "1,1,1")
    assert all(0 <= row[f"pt_position_{axis}"] <= 5 for row in box for axis in "xyz")
    joined = rows_of(
        run, UNITS, "--join", f"{UNITS}.target_id={world.synapses}.id",
        "--columns", f"id,{world.synapses}.size",
    )  # fmt: skip
    assert {tuple(row) for row in joined} == {("id", "size")}
    code, out, err = run(CELLS, "--where", "scor>3")
    assert (code != 0, out) == (True, "")
    assert "Did you mean 'score'" in err
    code, out, _ = run(CELLS, "--limit", 2)
    assert code == 0
    assert "match_id" in out
