"""Queries: what each part of one does, and random ones against answers by brute force."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from query_strategies import queries
from query_world import CELLS, UNITS, QueryWorld, query_world

from matengine.engine.access import User
from matengine.engine.annotations import tables
from matengine.engine.query import answer, ordering
from matengine.engine.query.model import At, Filter, Join, Op, Query
from matengine.errors import Forbidden, Gone, Invalid, MatengineError, NotFound
from matengine.testing import queries as judge

TIME = pa.timestamp("us", "UTC")


@pytest.fixture(scope="module")
def world(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryWorld]:
    with query_world(server_url, tmp_path_factory.mktemp("volume")) as made:
        yield made


def ask(world: QueryWorld, query: Query, at: At = 2) -> pa.Table:
    return answer.ask(world.conn, world.name, at, query)


def where(table: str, column: str, op: Op, value: Any, **more: Any) -> Query:
    return Query(table, filters=(Filter(table, column, op, value),), **more)


def paged(world: QueryWorld, version: int, query: Query, size: int) -> list[dict[str, object]]:
    """All rows of an answer, page by page, each from the cursor of the one before."""
    rows: list[dict[str, object]] = []
    while True:
        asked = answer.plan(world.conn, world.name, version, replace(query, limit=size))
        with answer.stream(world.conn, asked) as reader:
            batches = list(reader)
        rows += [row for batch in batches for row in batch.to_pylist()]
        if sum(batch.num_rows for batch in batches) < size:
            return rows
        query = replace(query, after=answer.cursor_of(asked, batches[-1]))


@given(st.data())
@settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_random_queries(world: QueryWorld, data: st.DataObject) -> None:
    world.conn.rollback()
    version = data.draw(st.sampled_from((1, 2)))
    query = data.draw(queries(world, version))
    tables = world.tables[version]
    expected = judge.answer(query, tables)
    asked = answer.plan(world.conn, world.name, version, query)
    with patch.object(ordering, "FEW", data.draw(st.sampled_from((ordering.FEW, 3)))):
        found = answer.read(world.conn, asked)
    assert found.schema.equals(asked.schema, check_metadata=False)
    assert found.to_pylist() == expected
    kind = data.draw(st.sampled_from(("page", "cursor", "sample", "count")))
    if kind == "page":
        limit, offset = data.draw(st.tuples(st.integers(0, 6), st.integers(0, 3)))
        page = replace(query, limit=limit, offset=offset)
        rows = answer.ask(world.conn, world.name, version, page).to_pylist()
        assert rows == expected[offset : offset + limit]
    elif kind == "cursor":
        size = data.draw(st.integers(max(1, len(expected) // 3), len(expected) + 2))
        assert paged(world, version, query, size) == expected
    elif kind == "sample":
        number = data.draw(st.integers(1, 20))
        sample = replace(query, random_sample=number)
        rows = answer.ask(world.conn, world.name, version, sample).to_pylist()
        assert len(rows) == min(number, len(expected))
        assert judge.is_sample(rows, expected)
    else:
        assert answer.count(world.conn, asked) == len(expected)
        counted = answer.ask(world.conn, world.name, version, replace(query, count=True))
        assert counted.to_pylist() == [{"count": len(expected)}]
    world.conn.commit()


def test_the_schema_is_the_same_with_and_without_rows(world: QueryWorld) -> None:
    expected = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            ("created", TIME),
            ("valid", pa.bool_()),
            *[(f"pt_position_{axis}", pa.float64()) for axis in "xyz"],
            pa.field("pt_supervoxel_id", pa.int64(), nullable=False),
            pa.field("pt_root_id", pa.int64(), nullable=False),
            ("query_root_id", pa.int64()),
            ("match_id", pa.string()),
            ("score", pa.float64()),
            ("validation", pa.bool_()),
        ]
    )
    for query in (Query(CELLS), Query(CELLS, limit=0), where(CELLS, "id", Op.IN, [])):
        asked = answer.plan(world.conn, world.name, 1, query)
        assert asked.schema.equals(expected)
        with answer.stream(world.conn, asked) as reader:
            assert reader.schema.equals(expected)
            assert reader.read_all().schema.equals(expected)
    assert ask(world, Query(UNITS)).schema.field("session").type == pa.int32()
    assert ask(world, Query(CELLS, count=True)).schema == answer.COUNT


def test_what_a_plan_tells(world: QueryWorld) -> None:
    notes, syn = world.notes, world.synapses
    join = (Join(notes, "target_id", syn, "id"),)
    asked = answer.plan(
        world.conn, world.name, 2, Query(notes, join, suffixes={notes: "", syn: "_ref"})
    )
    assert asked.schema.names[:7] == [
        "id", "created", "valid", "target_id", "id_ref", "created_ref", "valid_ref"
    ]  # fmt: skip
    assert asked.tables == (notes, syn)
    assert asked.names[syn]["id"] == "id_ref"
    assert asked.names[syn]["pre_pt_position_x"] == "pre_pt_position_x"
    assert (asked.epoch, asked.total, asked.resolution_nm) == (3, None, (1.0, 1.0, 1.0))
    whole = answer.plan(world.conn, world.name, 2, Query(syn, limit=3, columns=["id"]))
    assert whole.total == len(world.tables[2][syn].rows) == answer.count(world.conn, whole)
    assert whole.resolution_nm is None
    both = Query(CELLS, (Join(CELLS, "query_root_id", UNITS, "target_id"),), columns=["id"])
    assert answer.plan(world.conn, world.name, 2, both).schema.names == ["id"]
    both = replace(both, columns={CELLS: ["pt_position", "id"], UNITS: ["id"]})
    assert answer.plan(world.conn, world.name, 2, both).schema.names == [
        "pt_position_x", "pt_position_y", "pt_position_z", "idx", "idy"
    ]  # fmt: skip
    third = (*both.joins, Join(CELLS, "pt_root_id", syn, "pre_pt_root_id"))
    last = Query(CELLS, third, columns={t: ["id"] for t in (syn, UNITS, CELLS)})
    assert answer.plan(world.conn, world.name, 2, last).schema.names == ["idz", "idy", "idx"]


def test_positions_of_points_with_one_name(world: QueryWorld) -> None:
    """The suffix stands before the axis, and each table is scaled by its own voxels."""
    with world.conn.transaction(force_rollback=True):
        tables.create_table(
            world.conn, "twin", "cell_match", voxel_resolution_nm=(8, 8, 8), description=""
        )
        # as if the epoch had it, without rows of its own
        world.conn.execute("SET LOCAL session_replication_role = replica")
        world.conn.execute(
            "INSERT INTO matengine.epoch_table SELECT datastack, epoch, 'twin', schema_type,"
            " row_count, fingerprint, gaps, rows_added, rows_closed FROM matengine.epoch_table"
            " WHERE epoch = 3 AND table_name = %s",
            (CELLS,),
        )
        query = Query(
            CELLS,
            (Join(CELLS, "id", "twin", "id"),),
            columns={"twin": ["pt_position"], CELLS: ["pt_position"]},
            suffixes={"twin": "_ref", CELLS: ""},
            resolution_nm=(4, 4, 2.5),
        )
        asked = answer.plan(world.conn, world.name, 2, query)
        assert asked.schema.names == [
            *[f"pt_position_ref_{axis}" for axis in "xyz"],
            *[f"pt_position_{axis}" for axis in "xyz"],
        ]
        assert asked.shape is not None
        x, _, z = asked.shape.factors[:3]
        assert (x, z) == ((2.0, 1.0), (8.0, 2.5))
        x, _, z = asked.shape.factors[3:]
        assert (x, z) == ((2.0, 4.0), (2.0, 1.0))


def test_a_root_brings_its_supervoxel(world: QueryWorld) -> None:
    def names(*columns: str) -> list[str]:
        return list(ask(world, Query(world.synapses, columns=columns, limit=0)).column_names)

    sv, root = "pre_pt_supervoxel_id", "pre_pt_root_id"
    assert names(root) == [sv, root]
    assert names("id", root, "size") == ["id", sv, root, "size"]
    assert names(root, sv) == [root, sv]
    assert names(sv) == [sv]
    assert list(ask(world, Query(CELLS, columns=["query_root_id"])).column_names) == [
        "query_root_id"
    ]


def wrong(world: QueryWorld) -> list[tuple[Query, type[MatengineError], str]]:
    syn, notes = world.synapses, world.notes
    join = (Join(notes, "target_id", syn, "id"),)

    def bad(column: str, op: Op, value: Any, table: str = CELLS) -> Query:
        return where(table, column, op, value)

    box = "pre_pt_position"
    return [
        (Query("cels"), NotFound, "Did you mean 'cells'"),
        (Query(CELLS, columns=["match"]), NotFound, "Did you mean 'match_id'"),
        (Query(notes, join, columns=["sze"]), NotFound, "'size'"),
        (Query(CELLS, columns=[]), Invalid, "No column"),
        (Query(CELLS, columns=["id", "id"]), Invalid, "would be called 'id'"),
        (Query(CELLS, columns=["pt_position", "pt_position_x"]), Invalid, "pt_position_x"),
        (Query(notes, join, suffixes={notes: "", syn: ""}), Invalid, "would be called 'id'"),
        (Query(notes, join, columns={CELLS: ["id"]}), Invalid, "not about 'cells'"),
        (Query(CELLS, suffixes={syn: "_a"}), Invalid, "not about"),
        (Query(CELLS, suffixes={CELLS: "\0"}), Invalid, "suffix"),
        (bad("match", Op.EQUAL, "x"), NotFound, "Did you mean 'match_id'"),
        (Query(CELLS, filters=(Filter(syn, "id", Op.EQUAL, 1),)), Invalid, "not about"),
        (bad("id", Op.EQUAL, None), Invalid, "NULL passes no filter"),
        (bad("id", Op.EQUAL, 1.5), Invalid, "whole number, not 1.5"),
        (bad("id", Op.IN, [1, 2.0**60]), Invalid, "whole number"),
        (bad("id", Op.IN, [1, "x"]), Invalid, "not 'x'"),
        (bad("id", Op.IN, [True]), Invalid, "whole number, not True"),
        (bad("id", Op.IN, "12"), Invalid, "takes a list"),
        (bad("id", Op.IN, 12), Invalid, "takes a list"),
        (bad("id", Op.EQUAL, [12]), Invalid, "not \\[12\\]"),
        (bad("score", Op.LESS, float("nan")), Invalid, "a number"),
        (bad("score", Op.LESS, True), Invalid, "a number"),
        (bad("match_id", Op.EQUAL, 5), Invalid, "text, not 5"),
        (bad("match_id", Op.EQUAL, "a\0"), Invalid, "text"),
        (bad("match_id", Op.EQUAL, "\ud800"), Invalid, "text"),
        (bad("validation", Op.EQUAL, 1), Invalid, "true or false"),
        (bad("validation", Op.GREATER, True), Invalid, "no order"),
        (bad("created", Op.LESS, "yesterday"), Invalid, "is not a time"),
        (bad("match_id", Op.REGEX, "a(b"), Invalid, "parentheses"),
        (bad("match_id", Op.REGEX, "a{9999}"), Invalid, "regular expression"),
        (bad("id", Op.REGEX, "1"), Invalid, "is for text"),
        (bad("pt_position", Op.EQUAL, 1), Invalid, "Filter it by a box"),
        (bad("pt_position_x", Op.BOX, [[0, 0, 0], [1, 1, 1]]), Invalid, "is for positions"),
        (bad("pt", Op.BOX, [[0, 0, 0], [1, 1, 1]]), NotFound, "no column 'pt'"),
        (bad(box, Op.BOX, [[0, 0, 2], [1, 1, 1]], syn), Invalid, "reversed"),
        (bad(box, Op.BOX, [[0, 0, 0], [1, 1, float("inf")]], syn), Invalid, "takes a box"),
        (bad(box, Op.BOX, [[0, 0], [1, 1]], syn), Invalid, "takes a box"),
        (bad(box, Op.BOX, [0, 0, 0, 1, 1, 1], syn), Invalid, "takes a box"),
        (bad(box, Op.BOX, [["a", 0, 0], [1, 1, 1]], syn), Invalid, "a number"),
        (Query(CELLS, (Join(CELLS, "id", CELLS, "id"),)), Invalid, "with itself"),
        (Query(CELLS, join), Invalid, "No join leads"),
        (Query(notes, (Join(notes, "id", CELLS, "score"),)), Invalid, "cannot be joined"),
        (Query(notes, (Join(notes, "id", CELLS, "pt_position"),)), Invalid, "is a position"),
        (Query(notes, (Join(notes, "iid", syn, "id"),)), NotFound, "Did you mean 'id'"),
        (Query(CELLS, limit=-1), Invalid, "A limit"),
        (Query(CELLS, offset=-1), Invalid, "An offset"),
        (Query(CELLS, limit=True), Invalid, "A limit"),
        (Query(CELLS, random_sample=0), Invalid, "A sample"),
        (Query(CELLS, resolution_nm=(1, 0, 1)), Invalid, "above zero"),
        (Query(CELLS, resolution_nm=(1, 1)), Invalid, "three numbers"),  # type: ignore[arg-type]
        (Query(CELLS, after="nonsense"), Invalid, "cursor"),
        (Query(CELLS, after="é"), Invalid, "cursor"),
    ]


def test_what_is_wrong_is_said(world: QueryWorld) -> None:
    for query, kind, words in wrong(world):
        with pytest.raises(kind, match=words):
            answer.plan(world.conn, world.name, 2, query)
    assert world.conn.execute("SELECT 1").fetchone() == (1,)  # the transaction lives


def test_values_may_be_told_in_other_words(world: QueryWorld) -> None:
    rows = world.tables[2][CELLS].rows
    some = rows[3]
    for op, column, value in (
        (Op.EQUAL, "id", str(some["id"])),
        (Op.IN, "id", (float(some["id"]),)),
        (Op.IN, "id", {some["id"], 2**63, -(2**63) - 1, str(2**90)}),
        (Op.IN, "id", pa.array([some["id"]])),
        (Op.IN, "created", [some["created"].isoformat()]),
    ):
        found = ask(world, where(CELLS, column, op, value)).to_pylist()
        assert some["id"] in [row["id"] for row in found]
        assert column != "id" or len(found) == 1
    naive = some["created"].replace(tzinfo=None).isoformat()
    assert some["id"] in ask(world, where(CELLS, "created", Op.EQUAL, naive))["id"].to_pylist()
    trues = sum(row["validation"] is True for row in rows)
    assert ask(world, where(CELLS, "validation", Op.EQUAL, "true")).num_rows == trues > 0
    assert ask(world, where(CELLS, "id", Op.LESS, 2**63)).num_rows == len(rows)


def test_lists_of_100_000_ids(world: QueryWorld) -> None:
    ids = [row["id"] for row in world.tables[2][CELLS].rows]
    many = [*ids[:2], *range(10**6, 11 * 10**5)]
    assert ask(world, where(CELLS, "id", Op.IN, many))["id"].to_pylist() == ids[:2]
    assert ask(world, where(CELLS, "id", Op.NOT_IN, many))["id"].to_pylist() == ids[2:]


def test_indexes_serve(world: QueryWorld) -> None:
    for column, op, value in (
        ("id", Op.IN, [1, 2]),
        ("post_pt_root_id", Op.EQUAL, 5),
        ("post_pt_root_id", Op.IN, [5, 0]),
        ("pre_pt_root_id", Op.GREATER, 5),
    ):
        asked = answer.plan(world.conn, world.name, 2, where(world.synapses, column, op, value))
        with world.conn.transaction(force_rollback=True):
            world.conn.execute("SET LOCAL enable_seqscan = off")
            plan = world.conn.execute("EXPLAIN " + asked.counting.as_string(None)).fetchall()  # type: ignore[arg-type]
        text = "\n".join(line for (line,) in plan)
        assert f"Index Cond: ({column}" in text, text


@pytest.mark.parametrize("few", [ordering.FEW, 2], ids=["few rows", "more than few"])
@pytest.mark.parametrize("columns", [None, ["score"]], ids=["with ids", "without"])
def test_rows_of_roots_come_in_order(
    world: QueryWorld, monkeypatch: pytest.MonkeyPatch, few: int, columns: list[str] | None
) -> None:
    rows = world.tables[2][CELLS].rows
    roots = [row["pt_root_id"] for row in rows if row["pt_root_id"]]
    query = where(CELLS, "pt_root_id", Op.IN, roots, columns=columns)
    monkeypatch.setattr(ordering, "FEW", few)
    asked = answer.plan(world.conn, world.name, 2, query)
    assert asked.unordered is not None
    assert "ORDER BY" not in asked.unordered
    found = answer.read(world.conn, asked).to_pylist()
    assert found == judge.answer(query, world.tables[2])
    assert len(found) > 2
    assert paged(world, 2, query, 3) == found
    for other in (
        replace(query, offset=1),
        replace(query, limit=few - 1),
        replace(query, random_sample=2),
        replace(query, count=True),
        where(CELLS, "pt_root_id", Op.NOT_IN, roots),
        where(CELLS, "id", Op.IN, [1]),
        where(CELLS, "pt_root_id", Op.IN, list(range(1, ordering.MOST_IDS + 2))),
    ):
        assert answer.plan(world.conn, world.name, 2, other).unordered is None


def test_half_open_boxes_tile_space_and_closed_ones_share_faces(world: QueryWorld) -> None:
    syn = world.synapses
    rows = [r for r in world.tables[2][syn].rows if r["pre_pt_position"]]
    face = sorted(r["pre_pt_position"][0] for r in rows)[len(rows) // 2]
    halves = [[[-9, -9, -9], [face, 90, 90]], [[face, -9, -9], [90, 90, 90]]]
    on_face = [r["id"] for r in rows if r["pre_pt_position"][0] == face]

    def ids(box: list[list[float]], **more: Any) -> list[int]:
        query = where(syn, "pre_pt_position", Op.BOX, box, columns=["id"], **more)
        return list(ask(world, query)["id"].to_pylist())

    low, high = (ids(half, half_open=True) for half in halves)
    assert sorted([*low, *high]) == [r["id"] for r in rows]
    assert set(on_face) <= set(high)
    assert set(ids(halves[0])) == {*low, *on_face} != set(low)
    assert ids([[face, -9, -9], [face, 90, 90]]) == on_face != []
    assert ids([[face, -9, -9], [face, 90, 90]], half_open=True) == []


def test_boxes_by_the_index_of_the_live_table(world: QueryWorld) -> None:
    """The same rows, although the live table has lost some and shows others elsewhere."""
    syn, box = world.synapses, [[0, 0, 0], [9, 11, 11]]
    query = where(syn, "pre_pt_position", Op.BOX, box)
    live = sql.Identifier(syn)
    expected = ask(world, query, 1)
    ids = expected["id"].to_pylist()
    conn = world.conn
    conn.commit()

    def indexed() -> answer.Plan:
        with conn.transaction(force_rollback=True):
            conn.execute("SET LOCAL enable_seqscan = off")
            asked = answer.plan(conn, world.name, 1, query)
        assert "strayed" in asked.statement.as_string(None)
        return asked

    page = replace(query, limit=1)
    cursor = answer.cursor_of(
        answer.plan(conn, world.name, 1, page), ask(world, page, 1).to_batches()[0]
    )
    assert answer.read(conn, indexed()).equals(expected)
    for table in (UNITS, world.notes):  # they hold on to synapses
        conn.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    conn.execute(sql.SQL("DELETE FROM {} WHERE id = %s").format(live), (ids[0],))
    conn.execute(
        sql.SQL("UPDATE {} SET pre_pt_position = ST_MakePoint(90, 90, 90) WHERE id = %s").format(
            live
        ),
        (ids[1],),
    )
    conn.execute(sql.SQL("UPDATE {} SET valid = false WHERE id = %s").format(live), (ids[2],))
    conn.execute(sql.SQL("UPDATE {} SET id = 10000 WHERE id = %s").format(live), (ids[3],))
    conn.commit()
    strayed = conn.execute(
        "SELECT first_id, last_id FROM matengine.strayed WHERE table_name = %s ORDER BY 1", (syn,)
    ).fetchall()
    assert strayed == [(i, i) for i in sorted((ids[0], ids[1], ids[3]))]
    assert answer.read(conn, indexed()).equals(expected)
    assert answer.count(conn, indexed()) == len(ids)
    query = replace(query, after=cursor)  # of another path through the same rows
    assert answer.read(conn, indexed()).equals(expected.slice(1))
    query = replace(query, after=None)
    conn.execute(sql.SQL("TRUNCATE {} CASCADE").format(live))
    conn.commit()
    assert answer.read(conn, indexed()).equals(expected)


def test_moments(world: QueryWorld) -> None:
    whole = ask(world, Query(CELLS), 2)
    at, _ = world.pair.versions[2]
    for same in ("newest", "2", at, at + timedelta(microseconds=900), at.astimezone()):
        assert ask(world, Query(CELLS), same) == whole
    assert ask(world, Query(CELLS), 1).num_rows < whole.num_rows
    between = world.conn.execute("SELECT time FROM matengine.epoch WHERE epoch = 2").fetchone()
    assert between is not None
    assert answer.plan(world.conn, world.name, between[0], Query(CELLS)).epoch == 2
    later = datetime.now(UTC) + timedelta(minutes=2)
    for at, kind, words in (
        (7, NotFound, "There are: 1, 2"),
        ("v9", NotFound, "no version called"),
        (datetime(2026, 1, 1), Invalid, "zone"),
        (later, Invalid, "yet to come"),
    ):
        with pytest.raises(kind, match=words):
            answer.plan(world.conn, world.name, at, Query(CELLS))
    with pytest.raises(NotFound, match="no datastack"):
        answer.plan(world.conn, "nowhere", 1, Query(CELLS))
    with world.conn.transaction(force_rollback=True):
        before = answer.plan(world.conn, world.name, 1, Query(CELLS))
        world.conn.execute("UPDATE matengine.version SET status = 'EXPIRED' WHERE version = 1")
        expired = answer.plan(world.conn, world.name, 1, Query(CELLS))
        assert expired.statement == before.statement
        assert "expired" in " ".join(expired.told)
        world.conn.execute("UPDATE matengine.epoch SET collected = now() WHERE epoch = 1")
        with pytest.raises(Gone, match=r"collected.* Ask for its time"):
            answer.plan(world.conn, world.name, 1, Query(CELLS))


def test_every_table_is_authorised(world: QueryWorld) -> None:
    notes, syn = world.notes, world.synapses
    views = {world.name: frozenset({"view"})}
    user = User(7, "someone", datastacks=views)
    joined = Query(notes, (Join(notes, "target_id", syn, "id"),), columns={notes: ["id"]})

    def plan(query: Query, user: User) -> answer.Plan:
        return answer.plan(world.conn, world.name, 2, query, user)

    with pytest.raises(Forbidden, match="datastack"):
        plan(Query(notes), User(7, "someone"))
    with world.conn.transaction(force_rollback=True):
        world.conn.execute(
            "UPDATE annotation_table_metadata SET read_permission = 'PRIVATE', user_id = '3'"
            " WHERE table_name = %s",
            (syn,),
        )
        assert plan(Query(notes), user).tables == (notes,)
        for query in (joined, Query(syn), Query(syn, count=True)):
            with pytest.raises(Forbidden, match=syn):
                plan(query, user)
        assert plan(joined, User(3, "owner", datastacks=views)).tables == (notes, syn)


def test_samples_are_even_and_stay_the_same(world: QueryWorld) -> None:
    ids = [row["id"] for row in world.tables[2][CELLS].rows]
    query = Query(CELLS, random_sample=len(ids) // 2, columns=["id"])
    chosen = ask(world, query)["id"].to_pylist()
    assert chosen == ask(world, query)["id"].to_pylist() == sorted(set(chosen))
    assert len(chosen) == len(ids) // 2
    assert 0 < sum(i in chosen for i in ids[: len(ids) // 2]) < len(chosen)
    assert ask(world, replace(query, random_sample=10**9)).num_rows == len(ids)
    paging = replace(query, limit=2, offset=1)
    assert ask(world, paging)["id"].to_pylist() == chosen[1:3]
    assert answer.count(world.conn, answer.plan(world.conn, world.name, 2, query)) == len(ids)


def test_cursors_belong_to_their_query(world: QueryWorld) -> None:
    query = Query(CELLS, columns=["match_id"], limit=2)
    asked = answer.plan(world.conn, world.name, 2, query)
    with answer.stream(world.conn, asked) as reader:
        (batch,) = list(reader)
    cursor = answer.cursor_of(asked, batch)
    rest = ask(world, replace(query, after=cursor, limit=None))
    assert rest.num_rows == len(world.tables[2][CELLS].rows) - 2
    for other in (replace(query, columns=["id"]), where(CELLS, "id", Op.GREATER, 0, limit=2)):
        with pytest.raises(Invalid, match="not one of this query"):
            ask(world, replace(other, after=cursor))
    with pytest.raises(Invalid, match="not one of this query"):
        ask(world, replace(query, after=cursor), 1)
    with pytest.raises(Invalid, match="not known any more"):
        answer.cursor_of(asked, batch.slice(0, 1))
    shown = answer.plan(world.conn, world.name, 2, replace(query, columns=["id"]))
    first = answer.read(world.conn, shown).to_batches()[0].slice(0, 1)
    after = answer.cursor_of(shown, first)
    assert ask(world, replace(query, columns=["id"], after=after))["id"][0] == batch_ids(world)[1]
    with pytest.raises(Invalid, match="no row"):
        answer.cursor_of(shown, first.slice(0, 0))


def batch_ids(world: QueryWorld) -> list[pa.Scalar]:
    return list(ask(world, Query(CELLS, columns=["id"]))["id"])
