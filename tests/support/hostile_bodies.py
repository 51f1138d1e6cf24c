"""Bodies of hostile requests, each with what is wrong with it."""

from typing import Any

from hostile import LONG, MAKE, NOT_JSON, SQL, point, synapse, table

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

ID_BODIES = {
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

POINTS = {
    "one point": [[1, 1, 1, 1]],
    "three points": [[1, 1, 1, 1]] * 3,
    "text for a position": [[1, "a", "b", "c"], [1, 1, 1, 1]],
    "an infinite position": [[1, 1e400, 0, 0], [1, 1, 1, 1]],
    "too few coordinates": [[1, 1, 1], [1, 1, 1]],
    "supervoxels that are not there": [[2**56 + 2**40, 0, 0, 0], [2**56 + 2**41, 0, 0, 0]],
    "an object": {"sources": 1},
}

WRONG_ROWS: dict[str, Any] = {
    "a position of two": synapse(pre_pt=point(1, 1)),
    "a position of text": synapse(pre_pt=point("a", "b", "c")),
    "a position of NaN": synapse(pre_pt=point(1, 1, float("nan"))),
    "a position without end": synapse(pre_pt=point(1, 1, 10**400)),
    "a size of text": synapse(size="large"),
    "a size of true": synapse(size=True),
    "one of two": {"annotations": [*synapse()["annotations"], *synapse(size="x")["annotations"]]},
}

ROWS_BODIES: dict[str, Any] = {
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

TABLES: dict[str, Any] = {
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

VIEWS: dict[str, Any] = {
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
