"""The matrix of client calls: joins, synapses and live queries with all that they take."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from client_calls import Call, ask
from matrix_world import ABOUT, CLIENT_SUFFIXES, PRE, V1, V2, C, N, S, Setting, some_filters

from matengine.engine.query.model import Filter, Join, Op, Query
from matengine.testing.queries import answer


def joins(version: int, at: datetime, setting: Setting) -> dict[str, Call]:
    known = setting.truth.tables(at)
    here: dict[str, Any] = {"materialization_version": version}
    merged = Query(C, (ABOUT,), suffixes=CLIENT_SUFFIXES)
    kind = known[C].rows[0]["cell_type"]
    regex = Filter(C, "cell_type", Op.REGEX, f"^{kind[:3]}")
    far = Query(S, (PRE,), suffixes={S: "_s", N: "_n"})
    tables = {"tables": [[S, "pre_pt_root_id"], [N, "pt_root_id"]]}
    size = Filter(S, "size", Op.GREATER, 20)
    others = (
        Filter(S, "id", Op.IN, list(range(1, 40))),
        Filter(S, "id", Op.NOT_IN, [4]),
        Filter(S, "size", Op.LESS, 800),
        Filter(N, "volume", Op.GREATER_EQUAL, 0.0),
        Filter(N, "volume", Op.LESS_EQUAL, 1.0),
        Filter(N, "valid", Op.EQUAL, True),
        Filter(N, "pt_position", Op.BOX, [[0, 0, 0], [64, 64, 32]]),
    )
    by_table = replace(far, columns={S: ["id", "size"], N: ["id", "pt_position"]}, limit=5)

    def one(query: Query, meant: Query, **more: Any) -> Call:
        return ask("query_table", query, known, meant=meant, **here, **more)

    def join(query: Query, **more: Any) -> Call:
        return ask("join_query", query, known, nested=True, **tables, **here, **more)

    found = {
        "reference": one(Query(C), merged),
        "reference regex": one(
            Query(C, filters=(regex,)),
            replace(merged, filters=(regex,)),
        ),
        "reference columns": one(
            Query(C, columns={C: ["id", "cell_type"], N: ["pt_root_id"]}),
            replace(merged, columns={C: ["id", "cell_type"], N: ["pt_root_id"]}),
        ),
        "reference alone": one(Query(C), Query(C), merge_reference=False),
        "reference count": one(Query(C, count=True), merged),
        "join": join(far),
        "join filters": join(replace(far, filters=(size, *others))),
        "join columns": join(by_table),
        "join page": join(replace(far, limit=3, offset=1, resolution_nm=(8.0, 8.0, 8.0))),
        "join sample": join(replace(far, random_sample=3)),
        "join list of columns": join(replace(far, columns=["size", "pt_root_id", "volume"])),
        "join without suffixes": join(replace(far, suffixes={})),
        "join regex": ask(
            "join_query",
            replace(merged, filters=(regex,)),
            known,
            nested=True,
            tables=[[C, "target_id"], [N, "id"]],
            **here,
        ),
    }
    return {f"{version} {name}": call for name, call in found.items()}


def synapses(version: int, at: datetime, setting: Setting) -> dict[str, Call]:
    known = setting.truth.tables(at)
    filters = some_filters(setting.table(S, at))
    root, box = filters["equal"].value, filters["box"].value
    posts = filters["roots"].value[1:]
    of_root = Query(S, filters=(filters["equal"],))
    of_posts = Query(S, filters=(replace(filters["roots"], value=posts),))
    in_box = Query(S, filters=(replace(filters["box"], column="ctr_pt_position"),))
    nonzero = [Filter(S, f"{end}_pt_root_id", Op.NOT_IN, [0]) for end in ("pre", "post")]
    here = {"materialization_version": version}

    def one(meant: Query, query: Query | None = None, **more: Any) -> Call:
        return ask("synapse_query", query or Query(S), known, meant=meant, **here, **more)

    all_of = {"remove_autapses": False}
    found = {
        "of one": one(of_root, pre_ids=root, **all_of),
        "of some": one(of_posts, post_ids=posts, **all_of),
        "in a box": one(in_box, bounding_box=box, bounding_box_column="ctr_pt_position", **all_of),
        "no zeros": one(Query(S, filters=tuple(nonzero)), include_zeros=False, **all_of),
        "page": one(of_root, Query(S, limit=2, offset=1), pre_ids=[root], **all_of),
        "nm": one(
            replace(of_root, resolution_nm=(1.0, 2.0, 4.0)),
            Query(S, resolution_nm=(1.0, 2.0, 4.0)),
            pre_ids=[root],
            synapse_table=S,
            datastack_name=setting.server.datastack,
            metadata=False,
            **all_of,
        ),
    }
    rows_ = [r for r in answer(Query(S), known) if r["pre_pt_root_id"] != r["post_pt_root_id"]]
    found["no autapses"] = replace(one(Query(S)), rows=rows_)
    return {f"{version} synapses {name}": call for name, call in found.items()}


def live_joins(when: str, at: datetime, setting: Setting) -> dict[str, Call]:
    known = setting.truth.tables(at)
    far = Query(S, (PRE,), suffixes={S: "_s", N: "_n"})
    far_joins = {"joins": [[S, "pre_pt_root_id", N, "pt_root_id"]], "timestamp": at}
    others = (
        Filter(S, "size", Op.GREATER, 20),
        Filter(N, "volume", Op.LESS_EQUAL, 1.0),
        Filter(N, "pt_position", Op.BOX, [[0, 0, 0], [64, 64, 32]]),
    )
    regex = Filter(C, "cell_type", Op.REGEX, "a")
    three = Query(
        S, (PRE, Join(N, "id", C, "target_id")), (regex,), suffixes={S: "", N: "_n", C: "_c"}
    )
    chained = far_joins | {"joins": [far_joins["joins"][0], [N, "id", C, "target_id"]]}

    def join(query: Query, **more: Any) -> Call:
        return ask("live_live_query", query, known, nested=True, **(far_joins | more))

    found = {
        "join": join(far),
        "join filters": join(replace(far, filters=others)),
        "join page": join(replace(far, limit=3, offset=1, resolution_nm=(8.0, 8.0, 8.0))),
        "join columns": join(replace(far, columns={S: ["id"], N: ["id", "pt_position"]})),
        "join sample": join(replace(far, random_sample=3)),
        "three": join(three, **chained),
        "reference": ask("live_live_query", Query(C), known, timestamp=at),
    }
    return {f"{when} {name}": call for name, call in found.items()}


def by_the_client(when: str, at: datetime, setting: Setting) -> dict[str, Call]:
    """The client knows the rows of the version before, and brings their roots to date."""
    version_time = V1 if at < V2 else V2
    known = setting.truth.tables(version_time, at)
    every = some_filters(answer(Query(S), known))
    kept = ("in", "equal", "greater", "less", "greater equal", "less equal", "box")
    found = {}
    for name in kept:
        query = Query(S, filters=(every[name],))
        method = "query_table" if name == "in" else "live_query"
        found[name] = ask(method, query, known, timestamp=at)
    whole = Query(S)
    found["whole"] = ask("live_query", whole, known, timestamp=at)
    scaled = replace(whole, resolution_nm=(2.0, 2.0, 10.0))
    found["nm"] = ask(
        "live_query",
        scaled,
        known,
        timestamp=at,
        metadata=False,
        log_warning=False,
        datastack_name=setting.server.datastack,
    )
    found["page"] = ask("live_query", replace(whole, limit=4, offset=3), known, timestamp=at)
    found["sample"] = ask("live_query", replace(whole, random_sample=5), known, timestamp=at)
    out = Query(S, filters=(Filter(S, "id", Op.NOT_IN, [1, 2]),))
    found["out"] = ask("live_query", out, known, timestamp=at)
    regex = Filter(C, "cell_type", Op.REGEX, "a")
    merged = Query(C, (ABOUT,), (regex,), suffixes=CLIENT_SUFFIXES)
    found["reference"] = ask(
        "live_query", Query(C, filters=(regex,)), known, meant=merged, timestamp=at
    )
    found["alone"] = ask("live_query", Query(C), known, timestamp=at, merge_reference=False)
    ids = {"id": [1, 3, 9]}
    found["columns"] = ask(
        "live_query",
        Query(S, columns=["id", "pre_pt_root_id"], filters=(Filter(S, "id", Op.IN, ids["id"]),)),
        known,
        timestamp=at,
        post_filter=True,
    )
    root = every["equal"].value
    found["synapses"] = ask(
        "synapse_query",
        Query(S),
        known,
        meant=Query(S, filters=(every["equal"],)),
        pre_ids=[root],
        timestamp=at,
        remove_autapses=False,
    )
    return {f"{when} by the client {name}": call for name, call in found.items()}
