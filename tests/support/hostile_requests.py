"""All hostile requests."""

from hostile import GRAPH, NOT_JSON, ROWS, TABLE, V3, VOLUME, Hostile, cases, gets, synapse
from hostile_addresses import BAD_PATHS, BAD_QUERIES, FINE, HEADERS, WRONG_METHODS
from hostile_bodies import (
    ID_BODIES,
    LIVE_TIMES,
    POINTS,
    QUERY_BODIES,
    ROWS_BODIES,
    TABLES,
    UNKNOWN,
    VIEWS,
    WRONG_ROWS,
)

HOSTILE: list[Hostile] = [
    *cases("query", "POST", f"{TABLE}/query", 400, QUERY_BODIES),
    *cases("query", "POST", f"{TABLE}/query", 404, UNKNOWN),
    *cases(
        "live",
        "POST",
        f"{V3}/query",
        400,
        {name: {"table": "$t", "timestamp": time} for name, time in LIVE_TIMES.items()},
    ),
    *cases(
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
    *cases("view", "PUT", f"{V3}/views/hostile", 400, VIEWS | NOT_JSON),
    *cases("roots", "POST", f"{GRAPH}/roots", 400, ID_BODIES | NOT_JSON),
    *cases("merge", "POST", f"{GRAPH}/merge", 400, POINTS | NOT_JSON),
    *cases(
        "split",
        "POST",
        f"{GRAPH}/split",
        400,
        {"nothing": {}, "points of none": {"sources": [], "sinks": []}} | NOT_JSON,
    ),
    *cases(
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
    *cases("insert", "POST", ROWS, 400, ROWS_BODIES | NOT_JSON),
    *cases("insert", "POST", ROWS, 422, WRONG_ROWS),
    *cases(
        "update", "PUT", ROWS, 400, {"no id": synapse(), "NaN as an id": synapse(id=float("nan"))}
    ),
    *cases(
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
    *cases("table", "POST", VOLUME, 400, TABLES | NOT_JSON),
    *cases(
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
    *cases(
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
    *cases(
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
    *cases(
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
    *gets("path", 404, BAD_PATHS),
    *gets("parameter", 400, BAD_QUERIES),
    *WRONG_METHODS,
    *HEADERS,
    *FINE,
]
