"""Queries over HTTP: what arrives of a question, and what an answer tells of itself."""

import ast
import gzip
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import pyarrow as pa
import pytest
from asking import ARROW, Api, ask, engine, rows_of, same, served_story, told
from story import CELLS

from matengine.api.materialize import answers, limits, page
from matengine.engine.query import missing
from matengine.engine.query.model import Filter, Join, Op, Query
from matengine.engine.query.relation import Relation
from matengine.errors import Unavailable


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served_story(server_url, tmp_path_factory.mktemp("volume")) as served:
        yield served


def test_rows_of_a_table(api: Api) -> None:
    path = f"version/1/table/{api.synapses}/query"
    expected = engine(api, 1, Query(api.synapses))
    for interface in ("v2", "v3"):
        found = ask(api, path, interface=interface)
        assert same(rows_of(found), expected)
    assert expected.column("id").to_pylist() == [1, 2, 3, 4, 5, 6]
    assert found.headers["dataframe_resolution"] == "1.0, 1.0, 1.0"
    names = ast.literal_eval(found.headers["column_names"])
    assert names[api.synapses]["pre_pt_position_x"] == "pre_pt_position_x"
    assert found.headers["matengine-total"] == found.headers["matengine-rows"] == "6"
    assert found.headers["matengine-truncated"] == "false"
    assert "Warning" not in found.headers
    page_of_a_browser = ask(api, path, headers={"Origin": "http://localhost"})
    readable = page_of_a_browser.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"column_names", "matengine-cursor", "ETag"} <= set(readable)
    assert told(found) == {
        "names": names, "total": 6, "rows": 6, "truncated": False, "cursor": None,
    }  # fmt: skip
    for version in ("v1.0 µ", "-1"):
        assert ask(api, f"version/{version}/table/{api.synapses}/query").status_code == 200


@pytest.mark.parametrize("codec", ["zstd", "lz4", None])
def test_compression_is_inside_the_stream(api: Api, codec: str | None) -> None:
    path = f"version/1/table/{api.synapses}/query"
    headers = {"Accept-Encoding": f"gzip, {codec}" if codec else "gzip"}
    sizes = [len(ask(api, path, headers=headers, ipc_compress=c).data) for c in (True, False)]
    assert (sizes[0] != sizes[1]) == bool(codec)
    assert rows_of(ask(api, path, headers=headers)).num_rows == 6


def test_every_filter_and_option_arrives(api: Api) -> None:
    s = api.synapses
    post, point = "post_pt_root_id", "pre_pt_position"
    root = engine(api, 1, Query(s)).column(post)[0].as_py()
    plane, box = [[1, 1, 1], [3, 1, 1]], [[1, 1, 1], [3, 2, 2]]

    def one(column: str, op: Op, value: Any, table: str = s, **more: Any) -> Query:
        return Query(table, filters=(Filter(table, column, op, value),), **more)

    cases: list[tuple[dict[str, Any], Query]] = [
        ({"filter_in_dict": {s: {"id": [1, 3, 77]}}}, one("id", Op.IN, [1, 3, 77])),
        ({"filter_notin_dict": {s: {"id": [1, 3]}}}, one("id", Op.NOT_IN, [1, 3])),
        ({"filter_out_dict": {s: {"id": [1, 3]}}}, one("id", Op.NOT_IN, [1, 3])),
        ({"filter_equal_dict": {s: {post: root}}}, one(post, Op.EQUAL, root)),
        ({"filter_equal_dict": {s: {post: str(root)}}}, one(post, Op.EQUAL, root)),
        ({"filter_greater_dict": {s: {"size": 4.5}}}, one("size", Op.GREATER, 4.5)),
        ({"filter_less_dict": {s: {"size": 4.5}}}, one("size", Op.LESS, 4.5)),
        ({"filter_greater_equal_dict": {s: {"size": 4.5}}}, one("size", Op.GREATER_EQUAL, 4.5)),
        ({"filter_less_equal_dict": {s: {"size": 4.5}}}, one("size", Op.LESS_EQUAL, 4.5)),
        ({"filter_spatial_dict": {s: {point: plane}}}, one(point, Op.BOX, plane)),
        (
            {"filter_spatial_dict": {s: {point: box}}, "half_open": True},
            one(point, Op.BOX, box, half_open=True),
        ),
        (
            {"filter_regex_dict": {CELLS: {"cell_type": "^5P-..$"}}},
            one("cell_type", Op.REGEX, "^5P-..$", CELLS),
        ),
        ({"filter_in_dict": {s: {}, "x": None}, "filter_equal_dict": None}, Query(s)),
        ({"select_columns": ["size"]}, Query(s, columns=["size"])),
        ({"select_columns": ["size", "id", point]}, Query(s, columns=["size", "id", point])),
        ({"select_columns": {s: [post]}}, Query(s, columns={s: [post]})),
        ({"select_column_map": {s: ["id"]}}, Query(s, columns={s: ["id"]})),
        ({"select_columns": [], "limit": None}, Query(s)),
        ({"desired_resolution": [3, 0.5, "2"]}, Query(s, resolution_nm=(3, 0.5, 2))),
        ({"limit": 2, "offset": "3"}, Query(s, limit=2, offset=3)),
    ]
    for body, query in cases:
        found = ask(api, f"version/1/table/{query.table}/query", body)
        assert same(rows_of(found), engine(api, 1, query)), body
    sampled = ask(api, f"version/1/table/{s}/query", random_sample=3)
    assert same(rows_of(sampled), engine(api, 1, Query(s, random_sample=3)))
    resolved = ask(api, f"version/1/table/{s}/query", {"desired_resolution": [3, 0.5, 2]})
    assert resolved.headers["dataframe_resolution"] == "3.0, 0.5, 2.0"


def test_counts(api: Api) -> None:
    body: dict[str, Any] = {"filter_less_dict": {api.synapses: {"id": 4}}, "limit": 1}
    found = ask(api, f"version/1/table/{api.synapses}/query", body, count="True")
    assert rows_of(found).to_pydict() == {"count": [3]}
    listed = ask(
        api, f"version/1/table/{api.synapses}/query", body, count=1, return_pyarrow="False"
    )
    assert listed.json == [{"count": 3}]
    joined = {"tables": [[api.notes, "target_id"], [api.synapses, "id"]]}
    assert rows_of(ask(api, "version/1/query", joined, count=True)).to_pydict() == {"count": [1]}


def test_joins(api: Api) -> None:
    n, s = api.notes, api.synapses
    query = Query(n, (Join(n, "target_id", s, "id"),), suffixes={n: "", s: "_ref"})
    expected = engine(api, 1, query)
    tables = [[n, "target_id"], [s, "id"]]
    suffixes: tuple[dict[str, Any], ...] = (
        {"suffix_map": {n: "", s: "_ref"}},
        {"suffixes": ["", "_ref"]},
    )
    for given in suffixes:
        found = ask(api, "version/1/query", {"tables": tables} | given)
        assert same(rows_of(found), expected)
    assert {"id", "id_ref"} <= set(expected.column_names)
    default = rows_of(ask(api, "version/1/query", {"tables": tables}))
    assert {"idx", "idy"} <= set(default.column_names)
    selected = {"select_column_map": {s: ["size"], n: ["id"]}}
    found = ask(api, "version/1/query", {"tables": tables} | selected)
    assert rows_of(found).to_pylist() == [{"size": 1.5, "id": 1}]
    alone = ask(api, "version/1/query", {"tables": [[s, "id"]]})
    assert same(rows_of(alone), engine(api, 1, Query(s)))
    # a third table goes by the column of the first
    third = {"tables": [[n, "target_id"], [s, "id"], [CELLS, "id"]], "select_columns": ["size"]}
    assert rows_of(ask(api, "version/1/query", third)).to_pydict() == {"size": [1.5]}


def test_at_the_time_of_a_version(api: Api) -> None:
    n, s = api.notes, api.synapses
    for number, (at, _) in api.story.pair.versions.items():
        body = {"table": s, "timestamp": at.isoformat()}
        assert same(rows_of(ask(api, "query", body)), engine(api, number, Query(s)))
        elsewhere = at.astimezone(timezone(timedelta(hours=5))).isoformat()
        body |= {"timestamp": elsewhere, "limit": 2, "select_columns": {s: ["id", "size"]}}
        expected = engine(api, number, Query(s, columns=["id", "size"], limit=2))
        assert same(rows_of(ask(api, "query", body)), expected)
        joined = {
            "table": n,
            "timestamp": at.isoformat(),
            "join_tables": [[n, "target_id", s, "id"]],
            "suffixes": {n: "_ref", s: ""},
        }
        query = Query(n, (Join(n, "target_id", s, "id"),), suffixes={n: "_ref", s: ""})
        assert same(rows_of(ask(api, "query", joined)), engine(api, number, query))
    for time in ("yesterday", "2999-01-01T00:00:00", "", "0001-01-01T00:00:00+01:00"):
        ask(api, "query", {"table": s, "timestamp": time}, code=400)
    ask(api, "query", {"table": s}, code=400)


def test_json(api: Api) -> None:
    path = f"version/1/table/{api.synapses}/query"
    expected = engine(api, 1, Query(api.synapses)).to_pylist()
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        found = ask(api, path, headers=headers, return_pyarrow="False")
        assert found.content_type == "application/json"
        assert ("Content-Encoding" in found.headers) == bool(headers)
        listed = orjson.loads(gzip.decompress(found.data) if headers else found.data)
        for row in listed:
            row["created"] = datetime.fromisoformat(row["created"])
        assert listed == expected
    none = {"filter_in_dict": {api.synapses: {"id": []}}}
    assert ask(api, path, none, headers={}, return_pyarrow=False).json == []


def test_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages by cursor make up the whole; truncated says just whether there is another."""
    path = f"version/newest/table/{api.synapses}/query"
    expected = engine(api, 2, Query(api.synapses, columns=["size"]))
    body: dict[str, Any] = {"select_columns": ["size"], "limit": 2}
    for cap in (None, "4"):
        if cap:  # the server's own bound is the smaller
            monkeypatch.setenv("MATENGINE_QUERY_LIMIT", cap)
            body.pop("limit")
        pages, cursor = [], None
        while cursor or not pages:
            found = ask(api, path, body | {"cursor": cursor})
            pages.append(rows_of(found).replace_schema_metadata(None))
            cursor = found.headers.get("matengine-cursor")
            assert (found.headers["matengine-truncated"] == "true") == bool(cursor)
            assert ("more rows" in found.headers.get("Warning", "")) == bool(cursor)
            assert told(found)["cursor"] == cursor
        assert [page.num_rows for page in pages] == ([4, 2] if cap else [2, 2, 2])
        assert pa.concat_tables(pages).equals(expected)
    assert api.client.get("/materialize/api/v3/limits").json["rows"] == 4
    nothing = ask(api, path, {"limit": 0})
    assert rows_of(nothing).num_rows == 0
    assert nothing.headers["matengine-truncated"] == "true"
    rest = ask(api, path, {"limit": 2, "offset": 5})
    assert rest.headers["matengine-truncated"] == "false"
    ask(api, path, {"cursor": "nonsense"}, code=400)
    monkeypatch.setenv("MATENGINE_QUERY_LIMIT", "many")
    ask(api, path, code=400)


def test_long_answers_say_at_their_end_how_they_end(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "AHEAD_BYTES", 0)
    path = f"version/2/table/{api.synapses}/query"
    for limit, more in ((5, True), (6, False)):
        found = ask(api, path, {"limit": limit})
        assert "matengine-truncated" not in found.headers
        assert "may be more" in found.headers["Warning"]
        end = told(found)
        assert (end["rows"], end["truncated"]) == (limit, more)
        if more:
            rest = ask(api, path, {"cursor": end["cursor"]})
            assert rows_of(rest).column("id").to_pylist() == [8]
    assert "Warning" not in ask(api, path).headers


def test_an_answer_is_not_sent_for_ever(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PIECE_BYTES", 1000)
    found = ask(api, f"version/1/table/{api.synapses}/query")
    pieces = found.iter_encoded()
    assert next(pieces)
    monkeypatch.setattr(answers, "monotonic", lambda: math.inf)
    with pytest.raises(Unavailable, match="too slowly"):
        next(pieces)
    found.close()


def test_what_takes_too_long_is_not_to_be_repeated(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients repeat what is 503 by themselves."""

    def fail(_: page.Page) -> None:
        raise Unavailable("It was still running.", "Ask for less.")

    monkeypatch.setattr(page.Page, "look_ahead", fail)
    path = f"version/1/table/{api.synapses}/query"
    ask(api, path, code=503)
    monkeypatch.setattr(limits, "ANSWER_S", 0.0)
    assert ask(api, path, code=400).json["hint"].startswith("Ask for less")


def test_frozen_answers_have_a_tag(api: Api) -> None:
    path = f"version/1/table/{api.synapses}/query"
    first = ask(api, path)
    tag = first.headers["ETag"]
    again = ask(api, path, headers=ARROW | {"If-None-Match": tag}, code=304)
    assert again.data == b""
    at, _ = api.story.pair.versions[1]
    others = [
        ask(api, path, headers={"Accept-Encoding": "lz4"}),
        ask(api, path, {"limit": 3}),
        ask(api, path, return_pyarrow=False),
        ask(api, f"version/2/table/{api.synapses}/query"),
        ask(api, "query", {"table": api.notes, "timestamp": at.isoformat()}),
    ]
    assert len({tag, *(other.headers["ETag"] for other in others)}) == len(others) + 1
    for found in (first, *others):
        assert found.headers["Cache-Control"] == "private, no-cache"
        assert "Accept-Encoding" in found.headers["Vary"]


def test_nothing_found_for_roots_of_another_time(api: Api) -> None:
    def of(version: int) -> list[int]:
        found: list[int] = (
            engine(api, version, Query(api.synapses)).column("pre_pt_root_id").to_pylist()
        )
        return found

    before, after = of(1), of(2)
    gone = next(root for root in before if root not in after and root)
    came = next(root for root in after if root not in before and root)
    for version, root, instead in ((2, gone, after), (1, came, before)):
        for key, value in (("filter_equal_dict", root), ("filter_in_dict", [root, str(root)])):
            body = {key: {api.synapses: {"pre_pt_root_id": value}}}
            found = ask(api, f"version/{version}/table/{api.synapses}/query", body)
            assert rows_of(found).num_rows == 0
            said = found.headers["Warning"]
            assert f"root id {root} is not of this time" in said
            assert any(str(other) in said.partition(":")[2] for other in instead)
    unknown = {"filter_equal_dict": {api.synapses: {"pre_pt_root_id": 12345}}}
    found = ask(api, f"version/1/table/{api.synapses}/query", unknown)
    assert "does not know the root id 12345" in found.headers["Warning"]


def test_the_present(api: Api) -> None:
    """Version 0: what a version made now would have; untagged, as it changes."""
    found = ask(api, f"version/0/table/{api.synapses}/query", {"limit": 3})
    assert rows_of(found).column("id").to_pylist() == [1, 5, 6]
    assert found.headers["matengine-truncated"] == "true"
    assert "ETag" not in found.headers
    joined = {"tables": [[api.notes, "target_id"], [api.synapses, "id"]]}
    assert rows_of(ask(api, "version/0/query", joined)).num_rows == 1
    before = ask(api, "query", {"table": api.synapses, "timestamp": "2026-01-01T00:00:01"})
    assert rows_of(before).num_rows == 0


def test_roots_not_known_yet_are_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    told = missing.told

    def as_if(relations: Mapping[str, Relation]) -> Iterator[str]:
        return told({name: replace(r, unresolved=2) for name, r in relations.items()})

    monkeypatch.setattr(missing, "told", as_if)
    found = ask(api, f"version/0/table/{api.synapses}/query")
    assert "2 rows have a supervoxel or root that is not known" in found.headers["Warning"]
