"""Views: asked at any moment, they are the question that they were made of."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from query_world import CELLS, UNITS, QueryWorld, query_world

from matengine.engine.access import User
from matengine.engine.annotations import tables
from matengine.engine.query import answer
from matengine.engine.query.model import Filter, Join, Op, Query
from matengine.engine.query.views import catalogue, definition, making
from matengine.errors import Conflict, Forbidden, Invalid, MatengineError, NotFound


@pytest.fixture(scope="module")
def made(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryWorld]:
    with query_world(server_url, tmp_path_factory.mktemp("volume")) as made:
        yield made


@pytest.fixture
def world(made: QueryWorld) -> Iterator[QueryWorld]:
    """Views of one test are gone after it."""
    yield made
    made.conn.rollback()
    made.conn.execute("DELETE FROM matengine.view")
    made.conn.commit()


def store(world: QueryWorld, name: str, content: dict[str, Any]) -> None:
    catalogue.store(world.conn, world.name, name, definition.read(content))
    world.conn.commit()


def rows(world: QueryWorld, at: Any, query: Query) -> list[dict[str, Any]]:
    return answer.ask(world.conn, world.name, at, query).to_pylist()


def moments(world: QueryWorld) -> list[Any]:
    times = [time for time, _ in world.pair.versions.values()]
    return [1, 2, times[0] + timedelta(milliseconds=1), world.pair.clock()]


def joined(world: QueryWorld, at: Any) -> list[dict[str, Any]]:
    """Units with their synapses, by a query that other tests judge."""
    join = Join(UNITS, "target_id", world.synapses, "id")
    return rows(world, at, Query(UNITS, (join,), suffixes={UNITS: "", world.synapses: "_syn"}))


def test_a_join_with_names_of_its_own(world: QueryWorld) -> None:
    store(
        world,
        "units_of_synapses",
        {
            "table": UNITS,
            "joins": [[UNITS, "target_id", world.synapses, "id"]],
            "columns": [
                {"name": "unit", "table": UNITS, "column": "id"},
                {"name": "session", "column": "session"},
                {"name": "root", "column": "pre_pt_root_id"},
                {"name": "place", "column": "pre_pt_position"},
            ],
        },
    )
    for at in moments(world):
        expected = [
            {
                "unit": row["id"],
                "session": row["session"],
                "root": row["pre_pt_root_id"],
                **{f"place_{a}": row[f"pre_pt_position_{a}"] for a in "xyz"},
            }
            for row in joined(world, at)
        ]
        query = Query("units_of_synapses")
        assert rows(world, at, query) == expected
        assert expected
        root = expected[0]["root"]
        one = replace(query, filters=(Filter(query.table, "root", Op.IN, [root]),))
        assert rows(world, at, one) == [row for row in expected if row["root"] == root]
        box = Filter(query.table, "place", Op.BOX, [[0, 0, 0], [6, 6, 6]])
        assert rows(world, at, replace(query, filters=(box,))) == [
            row
            for row in expected
            if all(0 <= (row[f"place_{a}"] or 0) <= 6 for a in "xyz") and row["place_x"] is not None
        ]
        assert rows(world, at, replace(query, limit=2, offset=1)) == expected[1:3]
        counted = answer.plan(world.conn, world.name, at, query)
        assert answer.count(world.conn, counted) == len(expected)


def test_counting_by_root(world: QueryWorld) -> None:
    store(
        world,
        "partners",
        {
            "table": world.synapses,
            "filters": [
                {"table": world.synapses, "column": "pre_pt_root_id", "op": "not in", "value": [0]}
            ],
            "columns": [
                {"name": "pre", "column": "pre_pt_root_id"},
                {"name": "post", "column": "post_pt_root_id"},
                {"name": "n", "aggregate": "count"},
                {"name": "total", "column": "size", "aggregate": "sum"},
                {"name": "largest", "column": "size", "aggregate": "max"},
                {"name": "kinds", "column": "size", "aggregate": "count_distinct"},
            ],
        },
    )
    for at in moments(world):
        groups: dict[tuple[int, int], list[float | None]] = defaultdict(list)
        for row in rows(world, at, Query(world.synapses)):
            if row["pre_pt_root_id"]:
                groups[row["pre_pt_root_id"], row["post_pt_root_id"]].append(row["size"])
        found = rows(world, at, Query("partners"))
        assert {(r["pre"], r["post"]): r["n"] for r in found} == {
            pair: len(sizes) for pair, sizes in groups.items()
        }
        for row in found:
            sizes = [s for s in groups[row["pre"], row["post"]] if s is not None]
            assert row["total"] == (pytest.approx(sum(sizes)) if sizes else None)
            assert row["largest"] == max(sizes, default=None)
            assert row["kinds"] == len(set(sizes))
        again = [
            *rows(world, at, Query("partners", limit=3)),
            *rows(world, at, Query("partners", offset=3)),
        ]
        assert again == found
        pre = Counter(r["pre"] for r in found).most_common(1)[0][0]
        asked = Query("partners", filters=(Filter("partners", "pre", Op.EQUAL, pre),))
        assert rows(world, at, asked) == [r for r in found if r["pre"] == pre]


def test_views_can_be_joined(world: QueryWorld) -> None:
    store(
        world,
        "inputs",
        {
            "table": world.synapses,
            "columns": [
                {"name": "root", "column": "post_pt_root_id"},
                {"name": "n", "aggregate": "count"},
            ],
        },
    )
    join = Join(CELLS, "pt_root_id", "inputs", "root")
    asked = Query(CELLS, (join,), columns={CELLS: ["id", "pt_root_id"], "inputs": ["n"]})
    by_root = {row["root"]: row["n"] for row in rows(world, 2, Query("inputs"))}
    expected = [
        (row["id"], by_root[row["pt_root_id"]])
        for row in rows(world, 2, Query(CELLS))
        if row["pt_root_id"] in by_root and row["pt_root_id"]
    ]
    assert [(row["id"], row["n"]) for row in rows(world, 2, asked)] == expected
    assert expected


def test_who_may_not_read_a_table_may_not_read_views_of_it(world: QueryWorld) -> None:
    store(world, "sizes", {"table": world.synapses, "columns": [{"name": "s", "column": "size"}]})
    tables.update_metadata(world.conn, world.synapses, read_permission="PRIVATE", user_id="7")
    stranger = User(8, "stranger", datastacks={world.name: frozenset({"view"})})
    try:
        with pytest.raises(Forbidden):
            answer.plan(world.conn, world.name, 2, Query("sizes"), stranger)
    finally:
        tables.update_metadata(world.conn, world.synapses, read_permission="PUBLIC")
        world.conn.commit()
    answer.plan(world.conn, world.name, 2, Query("sizes"), stranger)


@pytest.mark.parametrize(
    ("content", "error", "word"),
    [
        ([], Invalid, "object"),
        ({"table": "notes"}, Invalid, "columns"),
        ({"table": "notes", "columns": [{"name": "a b", "column": "id"}]}, Invalid, "name"),
        ({"table": "notes", "columns": [{"name": "a", "colum": "id"}]}, Invalid, "column"),
        ({"table": "notes", "columns": [{"name": "a", "column": "idd"}]}, NotFound, "idd"),
        ({"table": "nots", "columns": [{"name": "a", "column": "id"}]}, NotFound, "nots"),
        (
            {"table": "notes", "columns": [{"name": "a", "column": "id", "aggregate": "mode"}]},
            Invalid,
            "mode",
        ),
        (
            {"table": "notes", "columns": [{"name": "a", "column": "id"}] * 2},
            Invalid,
            "'a'",
        ),
        (
            {"table": "notes", "columns": [{"name": "a", "column": "valid", "aggregate": "sum"}]},
            Invalid,
            "sum",
        ),
        (
            {"table": "notes", "joins": [["x", "y"]], "columns": [{"name": "a", "column": "id"}]},
            Invalid,
            "join",
        ),
    ],
)
def test_what_cannot_be_a_view(
    world: QueryWorld, content: Any, error: type[MatengineError], word: str
) -> None:
    if isinstance(content, dict) and content["table"] == "notes":
        content = content | {"table": world.notes}
    with pytest.raises(error, match=word):
        making.check(world.conn, world.name, definition.read(content))


def test_names_of_views_are_taken_once(world: QueryWorld) -> None:
    content = {"table": world.synapses, "columns": [{"name": "s", "column": "size"}]}
    store(world, "sizes", content)
    for name in ("sizes", world.synapses):
        with pytest.raises(Conflict):
            store(world, name, content)
        world.conn.rollback()
    assert [view.name for view in catalogue.listed(world.conn, world.name)] == ["sizes"]
    assert catalogue.get(world.conn, world.name, "sizes").definition == definition.read(content)
    catalogue.drop(world.conn, world.name, "sizes")
    with pytest.raises(NotFound):
        catalogue.get(world.conn, world.name, "sizes")
    with pytest.raises(NotFound):
        catalogue.drop(world.conn, world.name, "sizes")
