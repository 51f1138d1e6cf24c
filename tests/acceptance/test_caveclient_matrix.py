"""An unmodified CAVEclient: every method and option of its materialize and chunkedgraph parts.

Two versions of a sample lie in the midst of its proofreading, which goes on in the end. Answers
are compared with what the files of the sample say (`truth`), or the chunkedgraph itself.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import requests
from client_calls import Call, ask, methods
from matrix_calls import by_the_client, joins, live_joins, synapses
from matrix_code import any_time_code, edit_code, graph_code
from matrix_world import (
    ABOUT,
    END,
    LATER,
    MANAGER_SUFFIXES,
    PLACE,
    TIMES,
    V1,
    V2,
    C,
    N,
    S,
    Setting,
    heirs,
    outdated_root,
    pages,
    run_page,
    some_filters,
    view_rows,
)
from served import served
from truth import Truth

from matengine.engine.annotations import rows, tables
from matengine.engine.query.model import Filter, Op, Query
from matengine.engine.runs import engine as runs_engine
from matengine.storage.connections import conninfo_of
from matengine.testing.queries import answer


@pytest.fixture(scope="module")
def setting(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    environment = {"MATENGINE_BROKER_URL": "memory://"}
    folder = tmp_path_factory.mktemp("served")
    with (
        served(folder, server_url, environment=environment) as server,
        server.connect() as conn,
    ):
        truth = Truth(server.dataset, conn, server.datastack, server.segmentation)
        truth.freeze([V1, V2])
        yield Setting(server, truth)
        conn.rollback()


def test_rows_of_versions(setting: Setting) -> None:
    calls = {}
    for version, at in ((1, V1), (2, V2)):
        known = setting.truth.tables(at)
        here: dict[str, Any] = {"materialization_version": version}
        every = some_filters(setting.table(S, at))
        for name, query in pages(Query(S)).items():
            calls[f"{version} {name}"] = ask("query_table", query, known, **here)
        for name, asked in every.items():
            query = Query(S, filters=(asked,))
            calls[f"{version} {name}"] = ask("query_table", query, known, **here)
        both = Query(S, filters=(every["equal"], every["greater equal"]), count=True)
        calls[f"{version} count"] = ask("query_table", both, known, **here)
        calls |= joins(version, at, setting)
        calls |= synapses(version, at, setting)
    told = setting.run(
        calls,
        """
quiet = {"log_warning": False, "metadata": False, "datastack_name": client.datastack_name}
joined = m.query_table(table="synapses", materialization_version=1, **quiet)
found["points"] = joined["pre_pt_position"].tolist(), joined.attrs
found["attrs"] = m.query_table("synapses", desired_resolution=[4, 4, 40]).attrs
found["json"] = m.query_table("synapses", materialization_version=2, return_df=False)
tables = [["cell_types", "target_id"], ["nuclei", "id"]]
suffixes = {"cell_types": "", "nuclei": "_ref"}
joined = m.join_query(tables=tables, suffixes=suffixes, **quiet)
found["join points"] = joined["pt_position"].tolist()
found["join json"] = m.join_query(tables=tables, suffixes=suffixes, return_df=False)
found["types"] = {k: str(v) for k, v in m.query_table("synapses", **quiet).dtypes.items()}
found["wrong"] = [status(call) for call in (
    lambda: m.query_table("synapse", merge_reference=False),
    lambda: m.query_table("synapses", materialization_version=3, merge_reference=False),
    lambda: m.query_table("synapses", filter_in_dict={"idd": [1]}),
    lambda: m.query_table("synapses", select_columns=["sise"]),
    lambda: m.query_table("cell_types", filter_regex_dict={"cell_type": "("}),
    lambda: m.query_table("synapses", filter_equal_dict={"id": "one"}),
    lambda: m.query_table("synapses", filter_spatial_dict={"size": [[0] * 3, [1] * 3]}),
    lambda: m.join_query([["synapses", "id"], ["synapses", "id"]]),
    lambda: m.query_view("nothing"),
)]
""",
    )
    points, attrs = told["points"]
    assert points == [list(row["pre_pt_position"]) for row in _points(setting, V1)]
    assert attrs == {}
    assert told["attrs"]["dataframe_resolution"] == [4, 4, 40]
    whole = setting.table(S, V2)
    assert [row["id"] for row in told["json"]] == [row["id"] for row in whole]
    assert [row["pre_pt_root_id"] for row in told["json"]] == [r["pre_pt_root_id"] for r in whole]
    assert len(told["join points"]) == len(setting.table(C, V2))
    assert told["join json"] is None  # the client reads the answer, and does not return it
    for name, kind in told["types"].items():
        if name == "id" or name.endswith("_id"):
            assert kind == "int64"
    assert told["wrong"] == [404, 404, 404, 404, 400, 400, 400, 400, 404]


def _points(setting: Setting, at: datetime) -> list[Any]:
    return sorted(setting.truth.tables(at)[S].rows, key=lambda row: row["id"])


def test_rows_at_any_time(setting: Setting) -> None:
    """By the server's live queries, and by those that the client makes of a version."""
    calls = {}
    for when, at in TIMES.items():
        known = setting.truth.tables(at)
        every = some_filters(setting.table(S, at))
        live: dict[str, Any] = {"timestamp": at}
        for name, query in pages(Query(S)).items():
            by_table = (
                query if query.columns is None else replace(query, columns={S: query.columns})
            )
            calls[f"{when} {name}"] = ask("live_live_query", by_table, known, **live)
        queries = [Query(S, filters=(asked,)) for asked in every.values()]
        for name, query in zip(every, queries, strict=True):
            calls[f"{when} {name}"] = ask("live_live_query", query, known, nested=True, **live)
        calls |= live_joins(when, at, setting)
        calls |= by_the_client(when, at, setting)
    graph = setting.truth.graph
    start = graph.oldest_timestamp()
    gone = outdated_root(setting)
    told = setting.run(
        calls,
        any_time_code(start, gone, _supervoxel(setting, LATER)),
    )
    end = setting.table(S, END)
    assert told["now"] == [[r["id"] for r in end], [r["pre_pt_root_id"] for r in end], 3]
    assert told["first"] == [len(setting.table(S, start)), True]
    assert told["invalid"] == [0, 400]
    assert told["translated"] == heirs(setting, gone, LATER)
    assert told["of a version"] == heirs(setting, gone, V2) != []
    assert told["later"] == [row["id"] for row in setting.table(S, LATER)]
    assert told["naive"] == [row["id"] for row in setting.table(S, V1)]
    assert told["live attrs"]["dataframe_resolution"] == [8, 8, 8]
    assert told["wrong"] == [400, 400, 404, 404, 404]
    (root,) = graph.roots(np.array([_supervoxel(setting, LATER)], np.int64), LATER).tolist()
    past = graph.past_ids(np.array([root], np.int64), V1, LATER)[root]
    filters, _ = told["mapped"]
    assert sorted(map(int, filters[0]["pre_pt_root_id"])) == sorted(past)
    assert filters[1] is None


def _supervoxel(setting: Setting, at: datetime) -> int:
    """Of the object with the most outputs."""
    found = setting.table(S, at)
    root = some_filters(found)["equal"].value
    return int(next(r["pre_pt_supervoxel_id"] for r in found if r["pre_pt_root_id"] == root))


def test_table_manager_and_views(setting: Setting) -> None:
    definition = {
        "table": S,
        "columns": [
            {"name": "id", "column": "id"},
            {"name": "pre_root", "column": "pre_pt_root_id"},
            {"name": "middle", "column": "ctr_pt_position"},
            {"name": "big", "column": "size"},
            {"name": "soma", "table": N, "column": "id"},
            {"name": "kind", "table": C, "column": "cell_type"},
        ],
        "joins": [[S, "pre_pt_root_id", N, "pt_root_id"], [N, "id", C, "target_id"]],
    }
    server = setting.server
    path = f"{server.url}/materialize/api/v3/datastack/{server.datastack}/views/outputs"
    made = requests.put(path, json={"definition": definition, "description": "told"}, timeout=60)
    assert made.status_code == 201, made.text
    known = setting.truth.tables(V1)
    every = some_filters(setting.table(S, V1))
    root, size = every["equal"].value, every["less"].value
    big = Query(S, filters=(every["equal"], every["greater equal"], every["box"]))
    merged = Query(C, (ABOUT,), suffixes=MANAGER_SUFFIXES)
    kind = known[C].rows[0]["cell_type"]
    typed = replace(merged, filters=(Filter(C, "cell_type", Op.EQUAL, kind),))
    box = every["box"].value
    filters = f"pre_pt_root_id={root}, size={{'>=': {size!r}}}, post_pt_position_bbox={box}"
    options = "split_positions=True, materialization_version=1"
    view = view_rows(setting, V1)
    some = [row for row in view if row["big"] > size]

    def code(asking: str, query: Query, how: str = options) -> Call:
        of = "query" if "materialization_version" in how else "live_query"
        at = V1 if of == "query" else LATER
        rows_ = answer(query, setting.truth.tables(at))
        return Call(f"{asking}.{of}({how})", rows_)

    live = f"timestamp={LATER!r}, split_positions=True"
    later = some_filters(setting.table(S, LATER))
    calls = {
        "table": code("tables.synapses()", Query(S)),
        "item": code("tables['nuclei']()", Query(N)),
        "filters": code(f"tables.synapses({filters})", big),
        "reference": code("tables.cell_types()", merged),
        "typed": code(f"tables.cell_types(cell_type={kind!r})", typed),
        "types": code(f"tables.cell_types(cell_type=[{kind!r}])", typed),
        "live": code(
            f"tables.synapses(pre_pt_root_id=[{later['equal'].value}])",
            Query(S, filters=(later["equal"],)),
            live,
        ),
        "live reference": code("tables.cell_types()", merged, live),
        "live typed": code(f"tables.cell_types(cell_type={kind!r})", typed, live),
        "all": Call(f"tables.synapses.get_all({options})", answer(Query(S), known)),
        "all live": Call(
            f"tables.synapses.get_all_live({live})",
            answer(Query(S), setting.truth.tables(LATER)),
        ),
        "counted": Call(
            f"tables.synapses(pre_pt_root_id={root}).query({options}, get_counts=True)",
            [{"count": len(answer(Query(S, filters=(every["equal"],)), known))}],
        ),
        "page": Call(
            f"tables.synapses().query({options}, limit=2, offset=3, select_columns=['id', 'size'],"
            " desired_resolution=[4, 4, 4], metadata=False, log_warning=False)",
            answer(Query(S, columns=["id", "size"]), known)[3:5],
        ),
        "view": Call(f"m.query_view('outputs', {options})", view),
        "view of now": Call(
            "m.query_view(view_name='outputs', materialization_version=0, split_positions=True)",
            view_rows(setting, END),
        ),
        "view filters": Call(
            f"m.query_view('outputs', {options}, filter_in_dict={{'pre_root': [{root}]}},"
            f" filter_out_dict={{'id': [-1]}}, filter_equal_dict={{'kind': {kind!r}}},"
            f" filter_greater_dict={{'big': {size!r}}}, filter_less_dict={{'big': 1e9}},"
            " filter_greater_equal_dict={'id': 1}, filter_less_equal_dict={'id': 99},"
            " filter_spatial_dict={'middle': [[-9] * 3, [999] * 3]},"
            " filter_regex_dict={'kind': '.'}, metadata=False, return_df=True,"
            " datastack_name=client.datastack_name)",
            [r for r in some if r["pre_root"] == root and r["kind"] == kind],
        ),
        "view columns": Call(
            f"m.query_view('outputs', {options}, select_columns=['id', 'big'], limit=3, offset=1)",
            [{"id": r["id"], "big": r["big"]} for r in view][1:4],
        ),
        "view count": Call(
            f"m.query_view('outputs', {options}, get_counts=True)", [{"count": len(view)}]
        ),
        "view nm": Call(
            f"m.query_view('outputs', {options}, desired_resolution=[8, 8, 20], random_sample=4)",
            [row | {"middle_z": row["middle_z"] * 2} for row in view],
            some_of=True,
        ),
        "managed view": Call(f"views.outputs(big={{'>': {size!r}}}).query({options})", some),
        "managed views": Call(f"views['outputs'].get_all({options})", view),
    }
    preamble = {"_": Call("(globals().update(tables=m.tables, views=m.views), [])[1]", [])}
    told = setting.run(
        preamble | calls,
        """
found["tables"] = tables.table_names, tables.find("NUC"), len(tables), "synapses" in tables
found["fields"] = tables.synapses.fields, tables.synapses.numeric_fields
found["views"] = views.table_names, views.outputs.fields
found["listed"] = m.get_views(version=1, datastack_name=client.datastack_name)
words = {"materialization_version": 1, "datastack_name": client.datastack_name}
quiet = words | {"log_warning": False}
found["schema"] = m.get_view_schema(view_name="outputs", **quiet)
found["schemas"] = m.get_view_schemas(**quiet)
found["metadata"] = m.get_view_metadata(view_name="outputs", **quiet)
""",
    )
    names = [C, N, S]
    assert told["tables"] == [names, [N], 3, True]
    assert {"size", "pre_pt_root_id"} <= set(told["fields"][0])
    assert "size" in told["fields"][1]
    assert told["views"][0] == ["outputs"]
    assert told["listed"]["outputs"]["description"] == "told"
    assert told["schemas"] == {"outputs": told["schema"]}
    assert told["schema"]["middle"] == {"type": "SpatialPoint"}
    assert told["schema"]["kind"] == {"type": "string"}
    assert told["metadata"]["voxel_resolution"] == [8, 8, 40]


def test_versions_tables_and_lookups(setting: Setting) -> None:
    """Also what is for Neuroglancer, and rows that are looked up when the client says so."""
    conn, server = setting.truth.conn, setting.server
    for name in ("probes", "marks", "crowd"):
        tables.create_table(
            conn, name, "bound_tag", voxel_resolution_nm=(32, 32, 40), description=""
        )
        rows.insert(conn, name, [{"pt": {"position": PLACE}, "tag": "here"}])
    conn.execute(  # more than one question looks up
        "INSERT INTO crowd (id, created, valid, pt_position, tag) SELECT 1 + n, c.created, true,"
        " c.pt_position, 'there' FROM crowd AS c, generate_series(1, 5100) AS n"
    )
    conn.commit()
    told = setting.run(
        {},
        """
ds = client.datastack_name
found["versions"] = m.get_versions(), m.get_versions(datastack_name=ds, expired=True)
found["newest"] = m.most_recent_version(datastack_name=ds), int(m.version), m.datastack_name
found["stamps"] = [m.get_timestamp(version=v, datastack_name=ds).isoformat() for v in (1, 2)]
found["one"] = m.get_version_metadata(version=1, datastack_name=ds)["time_stamp"].isoformat()
told = m.get_versions_metadata(datastack_name=ds, expired=True)
found["all"] = [v["time_stamp"].isoformat() for v in told]
found["tables"] = m.get_tables(version=1, datastack_name=ds), m.get_tables()
found["counts"] = [m.get_annotation_count(table_name=t, version=v, datastack_name=ds)
                   for t in ("synapses", "nuclei", "cell_types") for v in (1, 2)]
found["table"] = m.get_table_metadata(table_name="cell_types", version=1, datastack_name=ds,
                                      log_warning=False)
every = m.get_tables_metadata(version=2, datastack_name=ds, log_warning=False)
found["every"] = {t["table_name"]: t["voxel_resolution"] for t in every}
found["texts"] = m.get_unique_string_values(table="cell_types", datastack_name=ds)
found["place"] = m.neuroglancer_annotation_path(table_name="synapses", datastack_name=ds,
                                                for_neuroglancer=False)
found["source"] = m.neuroglancer_annotation_info(table_name="synapses", datastack_name=ds)
words = {"table_name": "nuclei", "datastack_name": ds, "materialization_version": 1}
found["properties place"] = m.neuroglancer_segprop_path(for_neuroglancer=True, **words)
found["properties"] = m.neuroglancer_segprop_info(**words)
found["started"] = (m.ingest_annotation_table(table_name="probes", datastack_name=ds),
    m.lookup_supervoxel_ids(table_name="marks", annotation_ids=[1], datastack_name=ds))
found["not started"] = status(lambda: m.ingest_annotation_table("nothing"))
found["parts"] = m.cg_client is client.chunkedgraph, ds in m.homepage.data
now = datetime.datetime.now(datetime.timezone.utc)
found["waiting"] = status(lambda: m.live_live_query("crowd", now))
crowd = m.live_live_query("crowd", now, allow_missing_lookups=True)
found["crowd"] = len(crowd), int((crowd["pt_root_id"] == 0).sum())
client.materialize.version = 1
found["pinned"] = int(m.version), len(m.query_table("synapses"))
""",
    )
    known = [setting.truth.tables(at) for at in (V1, V2)]
    assert told["versions"] == [[1, 2], [1, 2]]
    assert told["newest"] == [2, 2, server.datastack]
    assert told["stamps"] == told["all"] == [V1.isoformat(), V2.isoformat()]
    assert told["one"] == V1.isoformat()
    assert told["tables"] == [[C, N, S], [C, N, S]]
    assert told["counts"] == [len(t[name].rows) for name in (S, N, C) for t in known]
    assert told["table"]["reference_table"] == N
    assert told["every"] == {C: [16, 16, 40], N: [16, 16, 40], S: [8, 8, 40]}
    of_now = {row["cell_type"] for row in setting.table(C, END)}
    assert told["texts"] == {"cell_type": sorted(of_now), "classification_system": ["sample"]}
    assert told["source"] == requests.get(f"{told['place']}/info", timeout=60).json()
    assert told["source"]["@type"] == "neuroglancer_annotations_v1"
    roots = {row["pt_root_id"] for row in setting.table(N, V1)} - {0}
    assert set(map(int, told["properties"]["inline"]["ids"])) == roots
    assert told["properties place"].startswith(f"precomputed://middleauth+{server.url}/")
    assert told["not started"] == 404
    assert told["parts"] == [True, True]
    assert told["pinned"] == [1, len(setting.table(S, V1))]
    assert told["waiting"] == 406
    assert told["crowd"] == [5101, 101]
    for run in told["started"]:
        runs_engine.drive(conninfo_of(conn), run["run_id"])
        conn.commit()


def test_objects_through_time(setting: Setting) -> None:
    """The chunkedgraph; objects at a time are the sets of supervoxels with one root."""
    graph = setting.truth.graph
    every = np.array(
        sorted(set(pq.read_table(setting.server.dataset / "expected/supervoxels.parquet")
                   ["supervoxel_id"].to_pylist())), np.int64
    )  # fmt: skip
    then, now = _objects(setting, every, V1), _objects(setting, every, END)
    gone = sorted(set(then) - set(now))
    old, new = gone[0], max(now, key=lambda root: len(now[root]))
    edits = pq.read_table(setting.server.dataset / "edits.parquet").to_pylist()
    told = setting.run(
        {},
        graph_code(every.tolist(), old, new, gone, now[new][0]),
    )
    assert told["started"].startswith("2026-01-01T00:00:00")
    assert told["names"][0] == setting.server.segmentation
    assert told["names"][2] == [32, 32, 40]
    assert told["urls"] == [["cg_server_address", "table_id"], None]
    for root, at in zip(told["roots"], (V1, END), strict=True):
        assert root == graph.roots(every, at).tolist()
    assert told["root"] == [new, new]
    assert told["level 2"]
    assert told["leaves"] == [then[old], now[new]]
    assert told["many"] == {str(old): then[old], str(new): now[new]}
    assert told["bounded"] == now[new]
    assert told["parts"]
    assert told["covering"] == [new]
    assert told["latest"] == [[False, True], [True]]
    assert told["valid"] == [True, True, False]
    assert told["born"] == [_iso(graph, root) for root in (old, new)]
    assert set(gone) <= set(told["delta"][0])
    assert set(now) - set(then) <= set(told["delta"][1])
    # ancestors: also those all of whose supervoxels went elsewhere in the end
    assert {r for r in then if set(then[r]) & set(now[new])} <= set(told["past"]) <= set(then)
    heirs = sorted({r for r in now if set(now[r]) & set(then[old])})
    assert heirs[0] in told["lineage"]
    assert set(heirs) <= set(told["of old"][0])
    assert told["of old"][0] == told["of old"][1] == told["by future"]
    assert set(told["past"]) <= set(told["originals"])
    shares = dict(zip(*told["suggested"][:2], strict=True))
    assert shares == {r: len(set(now[r]) & set(then[old])) / len(then[old]) for r in heirs}
    assert told["suggested"][2] == max(shares, key=lambda r: shares[r])
    assert told["log"] == told["table"]
    assert told["operations"] == [edit["operation_id"] for edit in edits]
    for edit in edits[:2]:
        details = told["details"][str(edit["operation_id"])]
        which = "added_edges" if edit["kind"] == "merge" else "removed_edges"
        pairs = [list(p) for p in zip(edit["edges_a"], edit["edges_b"], strict=True)]
        assert [sorted(e) for e in details[which]] == [sorted(p) for p in pairs] or not pairs
    assert told["refused"] == [404, 404, 404, 404]


def _objects(setting: Setting, supervoxels: Any, at: datetime) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    roots = setting.truth.graph.roots(supervoxels, at).tolist()
    for supervoxel, root in zip(supervoxels.tolist(), roots, strict=True):
        found.setdefault(root, []).append(supervoxel)
    return found


def _iso(graph: Any, root: int) -> str:
    (ms,) = graph.root_timestamps(np.array([root], np.int64)).tolist()
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).isoformat()


def test_our_own_client_does_as_its_page_says(setting: Setting) -> None:
    named = run_page("client.md", setting)
    assert named["types"].num_rows == len(setting.table(C, END))
    assert named["typed"].column_names[-1] == "cell_type"


def test_proofreading_shows_at_once(setting: Setting) -> None:
    """Last of the calls, because it edits: roots before, between and after, and rows added."""
    graph = setting.truth.graph
    found = setting.table(S, END)
    row = next(
        r
        for r in found
        if r["pre_pt_root_id"] and r["post_pt_root_id"] not in (0, r["pre_pt_root_id"])
    )
    ends = [row["pre_pt_supervoxel_id"], row["post_pt_supervoxel_id"]]
    told = setting.run(
        {},
        edit_code(ends, row["id"]),
    )
    assert told["merged"]
    assert told["sides"] == [True, True, True]
    assert told["parted"] == [2, True]
    assert told["undone"] == 1
    assert row["id"] in told["with"]
    assert told["refused"] == [400, 404, 404]
    for pre, post, at in told["moments"]:
        time = datetime.fromisoformat(at)
        for side, roots in (("pre", pre), ("post", post)):
            supervoxels = np.array([r[f"{side}_pt_supervoxel_id"] for r in found], np.int64)
            expected = graph.roots(supervoxels, time).tolist()
            assert roots == {str(r["id"]): root for r, root in zip(found, expected, strict=True)}
    differ = [pre[str(row["id"])] for pre, _, _ in told["moments"]]
    assert len(set(differ)) == 4
    assert told["again"] == told["moments"]
    assert told["version"] == [r["pre_pt_root_id"] for r in setting.table(S, V2)]
    # all marks lie in one voxel; the last was looked up as it came, the others when told to be
    (first,) = (row for row in found if row["id"] == 1)
    assert told["marks"] == [[first["pre_pt_supervoxel_id"]], [first["pre_pt_supervoxel_id"]] * 2]


UNSERVED = {
    "get_contact_sites": "areas between objects are not known (404)",
    "remesh_level2_chunks": "a local chunkedgraph has no meshes (404)",
}
# arguments that are about what the client does alone
NOT_ASKED = {"return_df", "bounding_box", "log_warning", "datastack_name", "metadata"}
QUERIES = ("query_table", "join_query", "live_live_query", "live_query", "query_view")
MODULES = {
    "materializationengine": "MaterializationClient",
    "chunkedgraph": "ChunkedGraphClient",
}


def test_every_method_and_option_was_called(setting: Setting) -> None:
    assert "undo_operation" in setting.called, "run the whole module: this looks at all of it"
    every = {name: words for m, k in MODULES.items() for name, words in methods(m, k).items()}
    assert len(every) > 60
    assert set(every) - setting.called.keys() == set()
    for name in QUERIES:
        missing = every[name] - setting.called[name] - NOT_ASKED - {"table", "timestamp"}
        assert missing == set(), name
    for name, reason in UNSERVED.items():
        print(f"not served: {name}: {reason}")
    print(f"{len(every) - len(UNSERVED)} of {len(every)} methods and properties are served")
