"""Requests that nobody should send, and what must become of each.

In paths and bodies `$ds` is the datastack (and its chunkedgraph), `$av` the aligned volume, `$t`
its table of synapses, `$now` the present. There is a table `cells`, too.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LONG = "x" * 1_000_000
SQL = 'x"; DROP TABLE "$t"; --'
GZIP = {"Content-Encoding": "gzip"}
# 64 MB of zeros in 64 KB, against a limit of 32 MB
BOMB = gzip.compress(bytes(64_000_000), 1)
V3 = "/materialize/api/v3/datastack/$ds"
TABLE = f"{V3}/version/1/table/$t"
GRAPH = "/segmentation/api/v1/table/$ds"
VOLUME = "/annotation/api/v2/aligned_volume/$av/table"
ROWS = f"{VOLUME}/$t/annotations"
MAKE = {f"voxel_resolution_{axis}": 1 for axis in "xyz"} | {"description": "x"}


@dataclass(frozen=True)
class Hostile:
    """`body`: bytes as they are, anything else as Python writes it as JSON. `answer`: the JSON
    that comes with 200."""

    name: str
    method: str
    path: str
    code: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Any = None

    def data(self, names: Mapping[str, str]) -> bytes | None:
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return filled(json.dumps(self.body), names).encode()


def filled(text: str, names: Mapping[str, str]) -> str:
    for placeholder, name in names.items():
        text = text.replace(placeholder, name)
    return text


def point(*position: Any) -> dict[str, Any]:
    return {"position": list(position)}


def synapse(**changed: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"pre_pt": point(1, 1, 1), "ctr_pt": point(1, 1, 1)}
    return {"annotations": [row | {"post_pt": point(2, 2, 2), "size": 1.0} | changed]}


def table(**changed: Any) -> dict[str, Any]:
    return {"table_name": "new_table", "schema_type": "bound_tag", "metadata": MAKE} | changed


def _cases(prefix: str, method: str, path: str, code: int, bodies: dict[str, Any]) -> list[Hostile]:
    return [Hostile(f"{prefix}: {n}", method, path, code, body) for n, body in bodies.items()]


def _deep(opening: bytes, closing: bytes, depth: int = 100_000) -> bytes:
    return opening * depth + closing * depth


NOT_JSON = {
    "text": b"hello",
    "nothing but a quote": b'"',
    "cut": b'{"limit": 1',
    "NUL": b"\0",
    "no UTF-8": b'{"limit": "\xff\xfe"}',
    "deep lists": _deep(b"[", b"]"),
    "deep objects": _deep(b'{"a":', b"}"),
    "a list": [],
    "a number": 7,
    "a text": "SYN",
    "null": b"null",
}

QUERY_BODIES: dict[str, Any] = NOT_JSON | {
    "NaN as a limit": {"limit": float("nan")},
    "a limit of text": {"limit": "all"},
    "a limit of 2^63": {"limit": 2**63},
    "a negative limit": {"limit": -1},
    "a negative offset": {"offset": -1},
    "a limit with decimals": {"limit": 1.5},
    "an unknown key": {"filter_eqal_dict": {}},
    "a key with SQL": {SQL: 1},
    "filters that are a list": {"filter_in_dict": []},
    "filters of no table": {"filter_in_dict": {"nowhere": {"id": [1]}}},
    "a table with SQL": {"filter_equal_dict": {SQL: {"id": 1}}},
    "a value with SQL for a number": {"filter_equal_dict": {"$t": {"id": SQL}}},
    "an object as a value": {"filter_equal_dict": {"$t": {"id": {"a": 1}}}},
    "a list as a value": {"filter_equal_dict": {"$t": {"id": [1]}}},
    "null as a value": {"filter_equal_dict": {"$t": {"id": None}}},
    "true as an id": {"filter_equal_dict": {"$t": {"id": True}}},
    "an id with decimals": {"filter_equal_dict": {"$t": {"id": 1.5}}},
    "nested ids": {"filter_in_dict": {"$t": {"id": [[1], [2]]}}},
    "a box of text": {"filter_spatial_dict": {"$t": {"pre_pt_position": "here"}}},
    "a box of one corner": {"filter_spatial_dict": {"$t": {"pre_pt_position": [[0, 0, 0]]}}},
    "a box inside out": {
        "filter_spatial_dict": {"$t": {"pre_pt_position": [[9, 9, 9], [0, 0, 0]]}}
    },
    "a box around a number": {"filter_spatial_dict": {"$t": {"size": [[0, 0, 0], [9, 9, 9]]}}},
    "a broken regex": {"filter_regex_dict": {"$t": {"id": "(("}}},
    "a regex over numbers": {"filter_regex_dict": {"$t": {"id": "1"}}},
    "columns that are a number": {"select_columns": 7},
    "a resolution of zero": {"desired_resolution": [0, 1, 1]},
    "a resolution of two": {"desired_resolution": [1, 1]},
    "a negative resolution": {"desired_resolution": [-1, 1, 1]},
    "a resolution of text": {"desired_resolution": ["a", "b", "c"]},
    "a cursor of text": {"cursor": "tomorrow"},
    "a cursor with NUL": {"cursor": "\0"},
    "a surrogate alone": {"filter_equal_dict": {"$t": {"\ud800": 1}}},
}

UNKNOWN: dict[str, Any] = {
    "filters by no column": {"filter_in_dict": {"$t": {"nothing": [1]}}},
    "a filter with SQL": {"filter_equal_dict": {"$t": {SQL: 1}}},
    "a column that is not there": {"select_columns": ["nothing"]},
    "a column with SQL": {"select_columns": [SQL]},
    "a column of 1 MB": {"select_columns": [LONG]},
}

LIVE_TIMES = {
    "yesterday": "yesterday",
    "year 0": "0000-01-01",
    "year 10000": "10000-01-01",
    "far ahead": "9999-12-31T23:59:59.999999Z",
    "behind the end by its offset": "9999-12-31T23:59:59-14:00",
    "before the start by its offset": "0001-01-01T00:00:00+14:00",
    "an impossible day": "2026-02-30",
    "a number": 1_700_000_000,
    "nothing": "",
    "null": None,
    "NUL": "\0",
    "SQL": "now()",
    "very long": LONG,
}

_ID_BODIES = {
    "not even a list": {"node_ids": {"a": 1}},
    "true": {"node_ids": [True]},
    "decimals": {"node_ids": [1.5]},
    "text": {"node_ids": ["one"]},
    "null": {"node_ids": [None]},
    "2^64": {"node_ids": [2**64]},
    "2^64 as text": {"node_ids": [str(2**64)]},
    "NaN": {"node_ids": [float("nan")]},
    "infinite": {"node_ids": [float("inf")]},
    "digits without end": {"node_ids": ["9" * 100_000]},
    "nested": {"node_ids": [[1]]},
    "the key is missing": {},
}

_POINTS = {
    "one point": [[1, 1, 1, 1]],
    "three points": [[1, 1, 1, 1]] * 3,
    "text for a position": [[1, "a", "b", "c"], [1, 1, 1, 1]],
    "an infinite position": [[1, 1e400, 0, 0], [1, 1, 1, 1]],
    "too few coordinates": [[1, 1, 1], [1, 1, 1]],
    "supervoxels that are not there": [[2**56 + 2**40, 0, 0, 0], [2**56 + 2**41, 0, 0, 0]],
    "an object": {"sources": 1},
}

_WRONG_ROWS: dict[str, Any] = {
    "a position of two": synapse(pre_pt=point(1, 1)),
    "a position of text": synapse(pre_pt=point("a", "b", "c")),
    "a position of NaN": synapse(pre_pt=point(1, 1, float("nan"))),
    "a position without end": synapse(pre_pt=point(1, 1, 10**400)),
    "a size of text": synapse(size="large"),
    "a size of true": synapse(size=True),
    "one of two": {"annotations": [*synapse()["annotations"], *synapse(size="x")["annotations"]]},
}

_ROWS: dict[str, Any] = {
    "no list": {"annotations": {"pre_pt": 1}},
    "no objects": {"annotations": [1, 2]},
    "no key": {"rows": []},
    "an infinite position": synapse(pre_pt=point(1, 1, float("inf"))),
    "an infinite size": synapse(size=float("-inf")),
    "an id of text": synapse(id="seven"),
    "an id of 2^63": synapse(id=2**63),
    "a negative id": synapse(id=-1),
    "an id with decimals": synapse(id=1.5),
}

_TABLES: dict[str, Any] = {
    "a name with SQL": table(table_name=SQL),
    "a name with a path": table(table_name="../../etc/passwd"),
    "a unicode name": table(table_name="synapsen_µ"),
    "a name of 1 MB": table(table_name=LONG),
    "a name with NUL": table(table_name="a\0b"),
    "a number for a name": table(table_name=7),
    "a surrogate in a name": table(table_name="\ud800"),
    "a surrogate in the description": table(metadata=MAKE | {"description": "\ud800"}),
    "no name": table(table_name=""),
    "an infinite resolution": table(metadata=MAKE | {"voxel_resolution_x": float("inf")}),
    "a negative resolution": table(metadata=MAKE | {"voxel_resolution_x": -1}),
    "metadata of text": table(metadata="x"),
    "a permission that is none": table(metadata=MAKE | {"read_permission": "ALL"}),
    "NUL in the notice": table(metadata=MAKE | {"notice_text": "\0"}),
}

_VIEWS: dict[str, Any] = {
    "no definition": {},
    "a definition of text": {"definition": "SYNAPSES"},
    "an unknown key": {"definition": {"table": "$t", "where": "1=1"}},
    "columns of numbers": {"definition": {"table": "$t", "columns": [1]}},
    "a column with SQL": {
        "definition": {"table": "$t", "columns": [{"name": SQL, "column": "id"}]}
    },
    "an aggregate with SQL": {
        "definition": {"table": "$t", "columns": [{"name": "a", "aggregate": SQL}]}
    },
    "joins of numbers": {"definition": {"table": "$t", "columns": [], "joins": [1]}},
    "a surrogate in the description": {
        "definition": {"table": "$t", "columns": [{"name": "id", "column": "id"}]},
        "description": "\ud800",
    },
}


def _gets(prefix: str, code: int, paths: dict[str, str]) -> list[Hostile]:
    return [Hostile(f"{prefix}: {name}", "GET", path, code) for name, path in paths.items()]


_BAD_PATHS = {
    "nowhere": "/nowhere",
    "up and out": "/segmentation/volume/$ds/../../../../etc/passwd",
    "up and out, encoded": "/segmentation/volume/$ds/%2e%2e/%2e%2e/etc/passwd",
    "up and out, twice encoded": "/segmentation/volume/$ds/%252e%252e/etc/passwd",
    "an absolute file": "/segmentation/volume/$ds//etc/passwd",
    "a datastack with SQL": '/info/api/v2/datastack/x";DROP TABLE a;--',
    "a volume that is another database": "/annotation/api/v2/aligned_volume/postgres/table",
    "a volume with settings": "/annotation/api/v2/aligned_volume/$av options=x/table",
    "a volume of 2^64": f"/info/api/v2/aligned_volume/id/{2**64}",
    "no UTF-8": "/info/api/v2/datastack/%ff%fe",
    "a table of 10,000 letters": f"{VOLUME}/{'x' * 10_000}",
    "a table of the catalogue": f"{VOLUME}/spatial_ref_sys",
    "a version that is none": f"{V3}/version/nothing/tables",
    "a version of 2^64": f"{V3}/version/{2**64}/tables",
    "a negative version": f"{V3}/version/-7/tables",
    "a version of 5,000 digits": f"{V3}/version/{'9' * 5000}/tables",
    "a state of 5,000 digits": f"/nglstate/api/v1/{'9' * 5000}",
    "a version in other digits": f"{V3}/version/١/tables",
    "a run of 2^62": f"{V3}/runs/{2**62}",
    "a row that is not there": f"{V3}/table/$t/row/999999/history",
    "a state of 2^64": f"/nglstate/api/v1/{2**64}",
    "a state that is negative": "/nglstate/api/v1/-1",
    "a schema with SQL": "/schema/api/v2/type/x'; DROP TABLE a; --",
    "a graph with SQL": "/segmentation/api/v1/table/x'; DROP TABLE a; --/oldest_timestamp",
    "a supervoxel that is not there": f"{GRAPH}/node/{2**56 + 2**55}/root",
    "a third interface": V3.replace("v3", "v4") + "/versions",
}
_BAD_QUERIES = {
    "a table with NUL": f"{VOLUME}/a%00b",
    "a volume with NUL": "/annotation/api/v2/aligned_volume/a%00b/table",
    "a datastack with NUL": "/info/api/v2/datastack/a%00b",
    "a file with NUL": "/segmentation/volume/$ds/info%00.json",
    "an id of 2^63 in a path": f"{GRAPH}/node/{2**63}/root",
    "a run of 2^64": f"{V3}/runs/{2**64}",
    "a limit of text": f"{V3}/runs?limit=all",
    "a limit of zero": f"{V3}/runs?limit=0",
    "a limit of 10^9": f"{V3}/runs?limit=1000000000",
    "differences of a table with NUL": f"{V3}/diff?table=a%00b&old=1&new=2",
    "differences of no versions": f"{V3}/diff?table=$t",
    "differences of a root of text": f"{V3}/diff?table=$t&old=1&new=2&root=x",
    "differences of a root of 2^63": f"{V3}/diff?table=$t&old=1&new=2&root={2**63}",
    "a time of text": f"{GRAPH}/delta_roots?timestamp_past=soon",
    "a time of NaN": f"{GRAPH}/delta_roots?timestamp_past=NaN",
    "a time without end": f"{GRAPH}/delta_roots?timestamp_past=1e999999999",
    "a time of a million digits": f"{GRAPH}/delta_roots?timestamp_past=1{'0' * 10_000}",
    "a range without a start": f"{GRAPH}/delta_roots",
    "bounds of text": f"{GRAPH}/node/{2**56}/leaves?bounds=here",
    "a layer of text": f"{GRAPH}/node/{2**56}/leaves?stop_layer=top",
    "operations of text": f"{GRAPH}/operation_details?operation_ids=all",
    "operations that nest": f"{GRAPH}/operation_details?operation_ids={'[' * 5000}",
    "annotations of text": f"{ROWS}?annotation_ids=one,two",
    "annotations of 2^63": f"{ROWS}?annotation_ids={2**63}",
    "annotations of no number": f"{ROWS}",
    "schemas of no name": "/schema/api/v2/types",
    "the present, verified": f"{V3}/version/0/verify",
    "a lineage before all time": f"{V3}/root/{2**57}/lineage?past=0001-01-01T00:00:00%2B23:59",
}
_WRONG_METHODS = [
    Hostile(f"method: {method} {path}", method, path, 405)
    for method, path in [
        ("DELETE", f"{V3}/versions"),
        ("PATCH", f"{TABLE}/query"),
        ("PUT", "/version"),
        ("POST", "/info/api/v2/datastacks"),
        ("GET", f"{GRAPH}/merge"),
        ("GET", f"{GRAPH}/roots"),
        ("TRACE", "/health/live"),
        ("FROB", "/health/live"),
        ("POST", "/nglstate/api/v1/1"),
    ]
]
_CELLS = f"{V3}/version/1/table/cells/query?return_pyarrow=false"
_HEADERS = [
    Hostile(
        "a broken regex", "POST", _CELLS, 400, {"filter_regex_dict": {"cells": {"cell_type": "(("}}}
    ),
    Hostile(
        "a regex of great powers",
        "POST",
        _CELLS,
        400,
        {"filter_regex_dict": {"cells": {"cell_type": "((((x{250}){250}){250}){250}){250}"}}},
    ),
    Hostile("a host of another name", "GET", "/version", 403, None, {"Host": "evil.example"}),
    Hostile("a host that is none", "GET", "/version", 403, None, {"Host": "["}),
    Hostile("a host with a user", "GET", "/version", 403, None, {"Host": "localhost@evil.example"}),
    Hostile("another page", "POST", ROWS, 403, synapse(), {"Origin": "https://evil.example"}),
    Hostile("no page", "POST", ROWS, 403, synapse(), {"Origin": "null"}),
    Hostile("a gzip bomb", "POST", f"{TABLE}/query", 400, BOMB, GZIP),
    Hostile("a gzip bomb of rows", "POST", ROWS, 400, BOMB, GZIP),
    Hostile("a gzip cut off", "POST", ROWS, 400, gzip.compress(b'{"annotations": []}')[:-6], GZIP),
    Hostile("no gzip", "POST", f"{GRAPH}/roots", 400, b'{"node_ids": [1]}', GZIP),
    Hostile("too large", "POST", f"{TABLE}/query", 413, bytes(5_000_000)),
    Hostile("too large rows", "POST", ROWS, 413, bytes(5_000_000)),
    Hostile("ids cut off", "POST", f"{GRAPH}/roots_binary", 400, b"1234567"),
]
_FINE = [
    Hostile(
        "100,000 ids that are not there",
        "POST",
        f"{GRAPH}/is_latest_roots",
        200,
        {"node_ids": list(range(1, 100_001))},
        answer={"is_latest": [False] * 100_000},
    ),
    Hostile("a time in UTC", "POST", f"{V3}/query", 200, {"table": "$t", "timestamp": "$now"}),
    Hostile("a key twice", "POST", f"{TABLE}/query?count=true", 200, b'{"limit": -1, "limit": 3}'),
    Hostile(
        "a filter of 100,000 ids",
        "POST",
        f"{TABLE}/query?return_pyarrow=false",
        200,
        {"filter_in_dict": {"$t": {"id": [5, *range(1000, 101_000)]}}, "select_columns": ["id"]},
        answer=[{"id": 5}],
    ),
    Hostile(
        "a text that no row has",
        "POST",
        _CELLS,
        200,
        {"filter_equal_dict": {"cells": {"cell_type": SQL}}},
        answer=[],
    ),
    Hostile(
        "a million letters",
        "POST",
        _CELLS,
        200,
        {"filter_equal_dict": {"cells": {"cell_type": LONG}}},
        answer=[],
    ),
    Hostile(
        "a regex that climbs back",
        "POST",
        _CELLS,
        200,
        {"filter_regex_dict": {"cells": {"cell_type": "^(((x+)+)+)+$"}}},
        answer=[],
    ),
    Hostile("an offset of 2^63-1", "POST", f"{TABLE}/query", 200, {"offset": 2**63 - 1}),
    Hostile("a limit of 2^63-1", "POST", f"{TABLE}/query", 200, {"limit": 2**63 - 1}),
    Hostile("another type", "POST", f"{TABLE}/query", 200, {}, {"Content-Type": "image/png"}),
    Hostile("a body on GET", "GET", f"{V3}/versions", 200, b"\xff" * 1000, answer=[1, 2]),
    Hostile("a slash behind", "GET", f"{V3}/versions/", 200, answer=[1, 2]),
    Hostile("an encoded letter", "GET", f"{V3}/version%73", 200, answer=[1, 2]),
    Hostile(
        "ids of nothing", "POST", f"{GRAPH}/roots", 200, {"node_ids": [0]}, answer={"root_ids": [0]}
    ),
    Hostile("no bytes", "POST", f"{GRAPH}/roots_binary", 200, b""),
    Hostile("no rows", "POST", ROWS, 200, {"annotations": []}, answer=[]),
    Hostile("deletes of nothing", "DELETE", ROWS, 200, {"annotation_ids": []}, answer=[]),
    Hostile("ids of the auth service", "GET", "/auth/api/v1/user?id=²,-1,x,", 200, answer=[]),
]

HOSTILE: list[Hostile] = [
    *_cases("query", "POST", f"{TABLE}/query", 400, QUERY_BODIES),
    *_cases("query", "POST", f"{TABLE}/query", 404, UNKNOWN),
    *_cases(
        "live",
        "POST",
        f"{V3}/query",
        400,
        {name: {"table": "$t", "timestamp": time} for name, time in LIVE_TIMES.items()},
    ),
    *_cases(
        "join",
        "POST",
        f"{V3}/version/1/query",
        400,
        {
            "no tables": {},
            "tables of text": {"tables": "$t"},
            "pairs of one": {"tables": [["$t"]]},
            "pairs of numbers": {"tables": [[1, 2]]},
            "NUL": {"tables": [["\0", "id"]]},
            "too many suffixes": {"tables": [["$t", "id"]], "suffixes": ["a"] * 1000},
        },
    ),
    *_cases("view", "PUT", f"{V3}/views/hostile", 400, _VIEWS | NOT_JSON),
    *_cases("roots", "POST", f"{GRAPH}/roots", 400, _ID_BODIES | NOT_JSON),
    *_cases("merge", "POST", f"{GRAPH}/merge", 400, _POINTS | NOT_JSON),
    *_cases(
        "split",
        "POST",
        f"{GRAPH}/split",
        400,
        {"nothing": {}, "points of none": {"sources": [], "sinks": []}} | NOT_JSON,
    ),
    *_cases(
        "undo",
        "POST",
        f"{GRAPH}/undo",
        400,
        {
            "a list": {"operation_id": [1, 2]},
            "an empty list": {"operation_id": []},
            "text": {"operation_id": "x"},
            "2^63": {"operation_id": 2**63},
        },
    ),
    *_cases("insert", "POST", ROWS, 400, _ROWS | NOT_JSON),
    *_cases("insert", "POST", ROWS, 422, _WRONG_ROWS),
    *_cases(
        "update", "PUT", ROWS, 400, {"no id": synapse(), "NaN as an id": synapse(id=float("nan"))}
    ),
    *_cases(
        "delete",
        "DELETE",
        ROWS,
        400,
        {
            "text": {"annotation_ids": ["x"]},
            "2^64": {"annotation_ids": [2**64]},
            "true": {"annotation_ids": [True]},
            "no list": {"annotation_ids": 1},
            "objects": {"annotation_ids": [{"id": 1}]},
        }
        | NOT_JSON,
    ),
    *_cases("table", "POST", VOLUME, 400, _TABLES | NOT_JSON),
    *_cases(
        "table change",
        "PUT",
        VOLUME,
        400,
        {
            "its schema": {"table_name": "$t", "metadata": {"schema_type": "bound_tag"}},
            "NUL": {"table_name": "$t", "metadata": {"description": "\0"}},
            "a surrogate": {"table_name": "$t", "metadata": {"description": "\ud800"}},
        },
    ),
    *_cases(
        "info",
        "PUT",
        "/info/api/v2/datastack/$ds",
        400,
        {
            "an unknown key": {"nothing": 1},
            "a number": {"viewer_site": 7},
            "a resolution without end": {"viewer_resolution_nm": [1e400, 1, 1]},
            "NUL": {"description": "\0"},
        }
        | NOT_JSON,
    ),
    *_cases(
        "state",
        "POST",
        "/nglstate/api/v1/post",
        400,
        {
            name: body
            for name, body in NOT_JSON.items()
            if isinstance(body, bytes) and body != b"null"
        },
    ),
    *_cases(
        "run",
        "POST",
        "/materialize/api/v3/materialize/run/complete_workflow/datastack/$ds",
        400,
        {
            "days of text": {"days_to_expire": "soon"},
            "negative days": {"days_to_expire": -1},
            "days without end": {"days_to_expire": 10**12},
            "no JSON": b"{",
        },
    ),
    *_gets("path", 404, _BAD_PATHS),
    *_gets("parameter", 400, _BAD_QUERIES),
    *_WRONG_METHODS,
    *_HEADERS,
    *_FINE,
]
