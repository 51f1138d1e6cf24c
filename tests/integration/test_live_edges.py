"""Rows as of any time over HTTP, in the cases that go wrong elsewhere, against the oracle."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from live_api import (
    Counted,
    LiveApi,
    assert_same,
    having,
    ids,
    live_api,
    notes_with_synapses,
    on_cells,
    root_ids,
    synapses_on_cells,
)
from live_world import MS
from small_world import START, Pair
from test_graph_client import Gunicorn
from werkzeug.test import TestResponse

from matengine.engine import datastacks
from matengine.engine.query.live import overlay
from matengine.engine.query.live import rows as live_rows
from matengine.segmentation.chunkedgraph.client import HttpGraph
from matengine.segmentation.chunkedgraph.local import LocalGraph

# columns of the view of synapses that a test makes
VIEW = {"row_id": "id", "to_root": "post_pt_root_id"}


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    with live_api(server_url, tmp_path_factory.mktemp("volume")) as served:
        yield served


def test_the_world_changes_as_the_tests_need(api: LiveApi) -> None:
    for at, version in zip(api.times, (api.world.first, *[api.world.second] * 2), strict=True):
        then, shown = api.truth(version), api.truth(at)
        assert set(ids(then)) - set(ids(shown))
        assert set(ids(shown)) - set(ids(then))
        assert {tuple(row.values()) for row in then if row["id"] in ids(shown)} - {
            tuple(row.values()) for row in shown
        }


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_limit_counts_rows_that_match_at_the_time(api: LiveApi, number: int) -> None:
    """Rows that a version has in place of the root must not use the limit up."""
    at = api.times[number]
    base = [api.world.first, api.world.first, api.world.second][number]
    shown, then = api.truth(at), api.truth(base)
    crowded = 0
    for column in ("pre_pt_root_id", "post_pt_root_id"):
        for root in root_ids(shown, column):
            right = having(shown, column, root)
            before = {row[column] for row in then if row["id"] in ids(right)}
            candidates = ids(having(then, column, *before))
            if not candidates or candidates[0] == right[0]["id"]:
                continue
            crowded += 1
            wanted = {api.table: {column: [root]}}
            assert_same(api.rows(at, filter_in_dict=wanted, limit=1), right[:1])
            assert_same(api.rows(at, filter_in_dict=wanted, limit=len(right)), right)
    assert crowded


def test_pages_of_changed_rows_are_the_whole(api: LiveApi) -> None:
    """Rows that were deleted must not come back with an offset."""
    for at in api.times:
        truth = api.truth(at)
        for start in range(0, len(truth) + 4, 7):
            found = api.rows(at, limit=7, offset=start)
            assert_same(found, truth[start : start + 7])
    assert_same(api.rows(api.world.now, offset=1), api.truth(api.world.now)[1:])


def test_at_the_time_of_a_version_it_is_the_version(api: LiveApi) -> None:
    for number, at in enumerate((api.world.first, api.world.second), 1):
        frozen = api.client.post(
            f"/materialize/api/v3/datastack/{api.world.pair.name}/version/{number}"
            f"/table/{api.table}/query?return_pyarrow=false",
            json={},
        )
        live = api.post(at)
        assert live.data == frozen.data
        assert live.headers["ETag"] == frozen.headers["ETag"]


def test_a_row_made_just_at_the_time_of_a_version_is_there_once(api: LiveApi) -> None:
    world = api.world
    wanted = {api.table: {"id": [world.on_time, world.too_late, world.ended]}}

    def found(at: datetime) -> list[int]:
        return ids(api.rows(at, filter_in_dict=wanted))

    assert found(world.first - MS) == [world.ended]
    assert found(world.first) == [world.on_time]
    assert found(world.first + MS) == [world.on_time, world.too_late]
    for at in (world.between, world.second, world.now):
        assert found(at) == ids(having(api.truth(at), "id", *wanted[api.table]["id"]))


def test_offsets_of_times_count(api: LiveApi) -> None:
    for at in (api.world.first - MS, *api.times):
        for hours in (-8, 5.5, 14):
            zone = timezone(timedelta(hours=hours))
            assert_same(api.rows(at.astimezone(zone)), api.truth(at))


@pytest.mark.parametrize("allowed", ["true", "false"])
def test_rows_that_nobody_has_looked_up_are_looked_up(api: LiveApi, allowed: str) -> None:
    pair = api.world.pair
    row_id = pair.put(pair.clock(), points=((1, 2, 2), (-5, 0, 0), (1, 1, 1)))
    (found,) = api.rows(
        at := pair.clock(),
        filter_equal_dict={api.table: {"id": row_id}},
        arguments={"allow_missing_lookups": allowed},
    )
    assert_same([found], having(api.truth(at), "id", row_id))
    assert found["pre_pt_root_id"]
    assert found["post_pt_root_id"] == 0  # outside


def test_changes_of_a_joined_table_are_seen(api: LiveApi) -> None:
    world = api.world
    joined = {
        "join_tables": [[world.notes, "target_id", api.table, "id"]],
        "select_columns": {
            world.notes: ["id", "target_id"],
            api.table: ["pre_pt_root_id", "post_pt_root_id"],
        },
    }
    for at in api.times:
        right = notes_with_synapses(api, at)
        assert_same(api.rows(at, world.notes, **joined), right)
    then, now = (notes_with_synapses(api, at) for at in (world.second, world.now))
    kept = ids(api.truth(world.now, world.notes))
    assert any(row["id"] in kept and row["id"] not in ids(now) for row in then)


def test_filters_on_two_tables_hold_together_in_any_order(api: LiveApi) -> None:
    for at in api.times:
        every = synapses_on_cells(api, at)
        found = api.rows(at, **on_cells(api))
        told = [(row["id"], row["cell_type"], row["pre_pt_root_id"]) for row in found]
        assert told == [(row["id"], row["cell_type"], row["pre_pt_root_id"]) for row in every]
        counts = Counter(row["pre_pt_root_id"] for row in having(every, "cell_type", "MC"))
        root = counts.most_common(1)[0][0]
        filters = [(api.table, {"pre_pt_root_id": root}), (api.world.cells, {"cell_type": "MC"})]
        right = having(having(every, "pre_pt_root_id", root), "cell_type", "MC")
        assert right
        for ordered in (filters, filters[::-1]):
            asked = on_cells(api) | {"filter_equal_dict": dict(ordered)}
            assert ids(api.rows(at, **asked)) == ids(right)
            assert ids(api.rows(at, limit=1, **asked)) == ids(right[:1])


def test_roots_are_compared_by_size(api: LiveApi) -> None:
    for at in api.times:
        truth = api.truth(at)
        roots = root_ids(truth, "post_pt_root_id")
        low, high = roots[len(roots) // 3], roots[2 * len(roots) // 3]
        for above, below, right in (
            ("filter_greater_dict", "filter_less_dict", range(low + 1, high)),
            ("filter_greater_equal_dict", "filter_less_equal_dict", range(low, high + 1)),
        ):
            bounds = {
                above: {api.table: {"post_pt_root_id": low}},
                below: {api.table: {"post_pt_root_id": high}},
            }
            found = api.rows(at, **bounds)
            assert_same(found, [row for row in truth if row["post_pt_root_id"] in right])
            assert found


@pytest.mark.parametrize(
    "columns", [["size"], ["id"], ["post_pt_root_id"], ["size", "post_pt_root_id"], ["created"]]
)
def test_columns_are_selected_freely(api: LiveApi, columns: list[str]) -> None:
    """Without ids, one alone, and without those that are filtered."""
    for at in api.times:
        truth = api.truth(at)
        root = Counter(row["pre_pt_root_id"] for row in truth if row["pre_pt_root_id"])
        wanted = root.most_common(1)[0][0]
        right = having(truth, "pre_pt_root_id", wanted)
        found = api.rows(
            at,
            select_columns=columns,
            filter_in_dict={api.table: {"pre_pt_root_id": [wanted]}},
        )
        assert len(found) == len(right)
        for row, true in zip(found, right, strict=True):
            brought = {c.replace("_root_", "_supervoxel_") for c in columns}
            assert row.keys() == {*columns, *brought}
            assert {c: true.get(c) for c in row if c != "created"} == {
                c: value for c, value in row.items() if c != "created"
            }


def test_invalid_roots_leave_other_filters_alone(api: LiveApi) -> None:
    for at, other in ((api.world.now, api.world.second), (api.world.early, api.world.first)):
        truth = api.truth(at)
        alive = root_ids(truth, "pre_pt_root_id")
        gone = sorted(set(root_ids(api.truth(other), "pre_pt_root_id")) - set(alive))[0]
        some = ids(truth)[::2]
        asked = {"filter_in_dict": {api.table: {"pre_pt_root_id": [gone, *alive], "id": some}}}
        told = api.post(at, code=400, **asked).json
        assert told is not None
        assert str(gone) in told["message"]
        right = having(having(truth, "id", *some), "pre_pt_root_id", *alive)
        allowed = {"allow_invalid_root_ids": "true"}
        assert_same(api.rows(at, arguments=allowed, **asked), right)
        nobody = {"filter_in_dict": {api.table: {"pre_pt_root_id": [gone], "id": some}}}
        assert api.rows(at, arguments=allowed, **nobody) == []


TRANSLATED = {"translate_root_ids": "true"}


def test_root_ids_of_another_time_stand_for_those_in_their_place(api: LiveApi) -> None:
    """On either side, in every filter that names them, of tables, joined ones and views."""
    world, column = api.world, "post_pt_root_id"
    graph = LocalGraph(world.pair.conn, world.pair.name)
    made = {"table": api.table, "columns": [{"name": n, "column": c} for n, c in VIEW.items()]}
    address = f"/materialize/api/v3/datastack/{world.pair.name}/views/ends"
    assert api.client.put(address, json={"definition": made}).status_code == 201
    for at, other in ((world.now, world.second), (world.between, world.now)):
        truth, then = api.truth(at), api.truth(other)
        alive = root_ids(truth, column)
        known = root_ids(then, column)
        gone = np.array(known)[~graph.is_latest(known, at)].tolist()
        instead = graph.latest_ids(gone, at) if other < at else graph.past_ids(gone, at, other)
        here = {row["id"]: row[column] for row in truth}
        for row in then:  # what was in the root is in those that stand for it
            if row[column] in gone and here.get(row["id"]):
                assert here[row["id"]] in instead[row[column]]
        named = [alive[0], *gone]
        meant = {alive[0], *(i for root in gone for i in instead[root])}
        right = having(truth, column, *meant)
        wanted = {"filter_in_dict": {api.table: {column: named}}}
        found = api.post(at, arguments=TRANSLATED, **wanted)
        assert_same(found.json or [], right)
        told = json.loads(found.headers["matengine-translated"])
        assert told == {str(root): instead[root] for root in gone}
        assert f"{gone[0]} by {instead[gone[0]][0]}" in found.headers["Warning"]
        assert_same(api.rows(at, arguments=TRANSLATED, limit=2, **wanted), right[:2])
        apart = api.rows(world.now, arguments=TRANSLATED, segmentation=at.isoformat(), **wanted)
        assert {row[column] for row in apart} <= meant
        assert apart
        without = {"filter_notin_dict": {api.table: {column: named}}}
        assert_same(
            api.rows(at, arguments=TRANSLATED, **without),
            [row for row in truth if row[column] not in meant],
        )
        most = max(gone, key=lambda root: len(having(truth, column, *instead[root])))
        equal = {"filter_equal_dict": {"ends": {"to_root": str(most)}}}
        found = api.rows(at, "ends", arguments=TRANSLATED, **equal)
        of_most = having(truth, column, *instead[most])
        assert [row["row_id"] for row in found] == ids(of_most)
        assert of_most
        cells = {"filter_in_dict": {world.cells: {"pt_root_id": [most]}}}
        joined = api.rows(at, arguments=TRANSLATED, **on_cells(api), **cells)
        every = [r["id"] for r in synapses_on_cells(api, at) if r[column] in instead[most]]
        assert ids(joined) == every
        for asked in (without, equal, cells):
            table = "ends" if asked is equal else ""
            more = on_cells(api) if asked is cells else {}
            refused = api.post(at, table, 400, **asked, **more).json
            assert refused is not None
            assert "in its place there was" in refused["message"]
            free = api.post(
                at, table, arguments={"allow_invalid_root_ids": "true"}, **asked, **more
            )
            assert "in its place there was" in free.headers["Warning"]
            assert bool(free.json) is (asked is without)


def test_root_ids_that_nobody_knows(api: LiveApi) -> None:
    wanted = {"filter_in_dict": {api.table: {"pre_pt_root_id": [7, 0, 2**63, -5]}}}
    free = {"allow_invalid_root_ids": "true"}
    for arguments in ({}, TRANSLATED):
        told = api.post(api.world.now, code=400, arguments=arguments, **wanted).json
        assert told is not None
        assert told["message"] == "The chunkedgraph does not know the root id 7."
        found = api.post(api.world.now, arguments=arguments | free, **wanted)
        assert_same(found.json or [], having(api.truth(api.world.now), "pre_pt_root_id", 0))
        assert "does not know the root id 7" in found.headers["Warning"]


def test_versions_refuse_or_translate_root_ids_where_they_are_asked_to(api: LiveApi) -> None:
    """Unasked they are in no row, as clients of CAVE have it."""
    world, column = api.world, "pre_pt_root_id"
    graph = LocalGraph(world.pair.conn, world.pair.name)

    def ask(arguments: dict[str, str], code: int = 200) -> TestResponse:
        found = api.client.post(
            f"/materialize/api/v3/datastack/{world.pair.name}/version/1/table/{api.table}/query",
            json={"filter_in_dict": {api.table: {column: [late]}}},
            query_string={"return_pyarrow": "false"} | arguments,
        )
        assert found.status_code == code, found.text
        return found

    truth = api.rows(world.first)
    new = set(root_ids(api.truth(world.now), column)) - set(root_ids(truth, column))
    before = graph.past_ids(sorted(new), world.first, world.now)
    late = max(new, key=lambda root: len(having(truth, column, *before[root])))
    assert ask({}).json == []
    assert str(late) in ask({}).headers["Warning"]
    refused = ask({"allow_invalid_root_ids": "false"}, 400).json
    assert refused is not None
    assert all(str(root) in refused["message"] for root in (late, *before[late]))
    found = ask(TRANSLATED)
    assert_same(found.json or [], having(truth, column, *before[late]))
    assert found.json
    again = api.client.post(
        found.request.path,
        json={"filter_in_dict": {api.table: {column: [late]}}},
        query_string={"return_pyarrow": "false"} | TRANSLATED,
        headers={"If-None-Match": found.headers["ETag"]},
    )
    assert again.status_code == 304


def test_rows_that_wait_for_their_lookup(api: LiveApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one question looks up: refused only where the question says so."""
    pair = api.world.pair
    monkeypatch.setattr(live_rows, "MOST_LOOKUPS", 4)
    some = [pair.put(pair.clock(), points=((1, 2, 2), (5, 6, 2), (x, 1, 1))) for x in range(5)]
    at = pair.clock()
    wanted = {"filter_in_dict": {api.table: {"id": some}}}
    refused = api.post(at, code=406, arguments={"allow_missing_lookups": "false"}, **wanted).json
    assert refused is not None
    assert refused["message"] == f"3 rows of '{api.table}' have not been looked up yet."
    for arguments in ({}, {"allow_missing_lookups": "true"}):
        found = api.post(at, arguments=arguments, **wanted)
        assert "3 rows" in found.headers["Warning"]
        rooted = [bool(row["pre_pt_root_id"]) for row in found.json or []]
        assert rooted == [True, True, False, False, False]
    monkeypatch.setattr(live_rows, "MOST_LOOKUPS", 5000)
    monkeypatch.setattr(overlay, "RETRY", timedelta(0))
    whole = api.rows(at, arguments={"allow_missing_lookups": "false"}, **wanted)
    assert_same(whole, having(api.truth(at), "id", *some))


def test_not_in_leaves_rows_out_and_counts_count(api: LiveApi) -> None:
    for at in api.times:
        truth = api.truth(at)
        roots = root_ids(truth, "pre_pt_root_id")[::2]
        left = [row for row in truth if row["pre_pt_root_id"] not in roots]
        asked = {"filter_notin_dict": {api.table: {"pre_pt_root_id": roots}}}
        assert_same(api.rows(at, **asked), left)
        counting = {"count": "true"}
        counted = api.rows(at, arguments=counting, limit=2, offset=1, **asked)
        assert counted == [{"count": len(left)}]
        assert api.rows(at, arguments=counting) == [{"count": len(truth)}]
        every = api.rows(at, arguments=counting, **on_cells(api))
        assert every == [{"count": len(synapses_on_cells(api, at))}]


def test_a_table_that_no_version_has(api: LiveApi) -> None:
    world = api.world
    truth = api.truth(world.now, world.young)
    assert len(truth) == 6
    assert_same(api.rows(world.now, world.young), truth)
    selected = api.rows(world.now, world.young, select_columns=["pt_root_id", "cell_type"])
    assert [row["pt_root_id"] for row in selected] == [row["pt_root_id"] for row in truth]
    asked = {
        "filter_in_dict": {world.young: {"cell_type": ["BC"]}},
        "select_columns": ["id"],
        "limit": 2,
    }
    assert ids(api.rows(world.now, world.young, **asked)) == ids(truth)[1:3]
    assert api.rows(world.second, world.notes)  # other tables are there then
    assert api.post(world.between, world.young).json == []


def test_a_sample_of_a_table_that_no_version_has(api: LiveApi) -> None:
    for table, size in ((api.world.young, 3), (api.table, 9)):
        arguments = {"random_sample": str(size)}
        found = api.rows(api.world.now, table, arguments=arguments)
        assert len(found) == size
        truth = api.truth(api.world.now, table)
        assert_same(found, having(truth, "id", *ids(found)))
        assert api.rows(api.world.now, table, arguments=arguments) == found


def test_a_datastack_without_any_version(api: LiveApi) -> None:
    world = api.world
    with_none = Pair(world.pair.conn, world.pair.volume, neighbour=world.pair)
    for at in api.times:
        with_none.judge_live(at)
        found = api.rows(at, stack=with_none.name)
        right = with_none.world.version(api.table, at)
        assert ids(found) == sorted(right)
    assert len(api.rows(world.now, stack=with_none.name, limit=3, offset=2)) == 3


def test_columns_are_the_same_whatever_is_behind(api: LiveApi) -> None:
    world = api.world
    times = [START, world.first, world.second, *api.times]
    for table in (api.table, world.notes, world.young):
        schemas = []
        for at in times:
            body = api.post(at, table, arguments={"return_pyarrow": "true"}).data
            schemas.append(pa.ipc.open_stream(body).schema.remove_metadata())
        assert all(schema == schemas[0] for schema in schemas)
        assert schemas[0].names[:3] == ["id", "created", "valid"]


def test_views_have_the_roots_of_the_time(api: LiveApi) -> None:
    """Also where a root stands without its supervoxel."""
    made = {
        "table": api.table,
        "columns": [
            {"name": "neuron", "column": "post_pt_root_id"},
            {"name": "inputs", "aggregate": "count"},
        ],
    }
    address = f"/materialize/api/v3/datastack/{api.world.pair.name}/views/live_inputs"
    assert api.client.put(address, json={"definition": made}).status_code == 201
    for at in (api.world.second, *api.times):
        right = Counter(row["post_pt_root_id"] for row in api.truth(at))
        found = {row["neuron"]: row["inputs"] for row in api.rows(at, "live_inputs")}
        assert found == right
        neuron = max(right)
        some = api.rows(
            at, "live_inputs", filter_equal_dict={"live_inputs": {"neuron": neuron}}, limit=1
        )
        assert some == [{"neuron": neuron, "inputs": right[neuron]}]


def test_times_ahead_and_before_the_beginning_are_refused(api: LiveApi) -> None:
    world, now = api.world, api.world.pair.clock()
    told = api.post(now + timedelta(days=1), code=400).json
    assert told is not None
    assert "yet to come" in told["message"]
    for seconds in (20, 55):
        assert_same(api.rows(now + timedelta(seconds=seconds)), api.truth(now))
    assert_same(api.rows(START), api.truth(START))
    for table in (api.table, world.notes):
        for at in ((START - MS).isoformat(), "1960-01-01T00:00:00Z"):
            told = api.post(at, table, code=400).json
            assert told is not None
            assert "before the beginning" in told["message"]
            assert START.isoformat() in told["hint"]
    # annotations may be older than the roots that they are asked for with
    old = START - timedelta(minutes=30)
    api.post(now, code=400, segmentation=old.isoformat())
    (row,) = api.rows(old, segmentation=START.isoformat())
    (right,) = api.truth(START)
    assert_same([row], [right])
    assert row["pre_pt_root_id"]


def test_times_are_cut_to_milliseconds(api: LiveApi) -> None:
    world = api.world
    for at in (world.between, world.now):
        for us in (0, 1, 999):
            assert_same(api.rows(at + timedelta(microseconds=us)), api.truth(at))
    version = api.rows(world.first)
    assert api.rows(world.first + timedelta(microseconds=999)) == version
    assert ids(api.rows(world.first - timedelta(microseconds=1))) != ids(version)


def test_a_chunkedgraph_elsewhere_is_asked_little(
    api: LiveApi, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ids are filtered; and the answers are those that the embedded one gives."""
    world, conn = api.world, api.world.pair.conn
    with Gunicorn(server_url) as url:
        graph = Counted(HttpGraph(url, world.pair.name, settle=timedelta(0)))
        monkeypatch.setattr(datastacks, "open_graph", lambda conn, segmentation: graph)
        for at in (START, world.first, *api.times):
            overlay.sweep(conn, timedelta(0))
            conn.commit()
            told = []
            truth = api.truth(at) if at != world.first else None
            roots = root_ids(truth or [], "pre_pt_root_id")
            wanted = {"filter_in_dict": {api.table: {"pre_pt_root_id": roots}}} if roots else {}
            for asked in ({}, {}, wanted):
                start = graph.since()
                found = api.rows(at, **asked)
                told.append(graph.since(*start))
                if truth is not None:
                    rooted = [row for row in truth if not asked or row["pre_pt_root_id"]]
                    assert_same(found, rooted)
            print(f"{at}: (calls, requests) made, again, with {len(roots)} roots filtered: {told}")
            assert all(calls <= 3 and requests <= 4 for calls, requests in told)
            assert told[1] <= (2, 3)
            if at == world.first:
                assert told[0] == (0, 0)
