"""Calls that people make in notebooks, scripts and R, told for the tables of a real dataset.

Each shape (kind of call, columns, kind and length of values, options) is mapped to the dataset's
table of the same role; its values are drawn from the data.
"""

import random
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from shape_frames import Asked

# of the live ones
MOMENT = datetime(2026, 2, 15, tzinfo=UTC)
METHODS = {
    "query_table": "query_table",
    "tables.query": "tables",
    "synapse_query": "synapse_query",
    "live_live_query": "live_live_query",
    "live_query": "live_query",
    "tables.live_query": "tables live",
    # R asks through the Python client
    "flywire_cave_query": "query_table",
    "banc_cave_query": "query_table",
    "fanc_cave_query": "query_table",
}
ROLES = {
    "synapse": "synapses",
    "nucleus_or_soma": "nuclei",
    "cell_type": "cell_types",
    "proofreading_status": "cell_types",
    "other": "nuclei",
}
# columns of other schemas, by what they are: a text about a cell
TEXTS = {"tag", "tag2", "status", "status_axon", "status_dendrite", "cambridge_celltypes_v2"}
# the numbers that calls give by a variable are not in the shapes
FEW, MANY = 3, 60


def asked(
    shape: dict[str, Any], known: dict[str, pd.DataFrame], dice: random.Random
) -> Asked | str:
    """A shape on the tables of the dataset; else why it does not apply."""
    if shape["op"] not in METHODS:
        return "no query of a table"
    if "**kwargs" in shape["options"] and "joins" in shape["options"]:
        return "its join is not told"
    method = METHODS[shape["op"]]
    table = _table(shape, method)
    columns = [_column(f, table, dice) for f in shape["filters"]]
    if None in columns or not _all_there(columns, table, method, known):
        return "a column that no table of this role has"
    # a variable column beside a known one is another one
    columns = ["id" if c in columns[place + 1 :] else c for place, c in enumerate(columns)]
    options = shape["options"]
    live = method in ("live_live_query", "live_query", "tables live") or "timestamp" in options
    live = live or str(options.get("live", "")).lower() in ("live", "true", "t", "2")
    found = Asked(method=method, table=table, timestamp=MOMENT if live else None)
    if not live:
        found.version = dice.choice((1, 2))
    for given, column in zip(shape["filters"], columns, strict=True):
        assert column is not None
        whose = table if _has(known[table], column) else "nuclei"
        found.add(_kind(given), column, _value(given, column, known[whose], dice))
    if "limit" in options:
        found.limit = int(options["limit"]) if str(options["limit"]).isdigit() else 100
    if "offset" in options:
        found.offset = 7
    if "desired_resolution" in options:
        wanted = options["desired_resolution"]
        found.resolution = wanted if isinstance(wanted, list) else [4, 4, 40]
    found.count = "get_counts" in options
    found.sample = int(options["random_sample"]) if "random_sample" in options else None
    if "select_columns" in options and method != "synapse_query":
        found.columns = _selected(options["select_columns"], found)
    if found.columns and live:  # the client filters by its own hand, by what it was given
        found.columns = list(dict.fromkeys([*found.columns, *(c for c in columns if c)]))
    found.alone = options.get("merge_reference") is False
    return found


def _has(frame: pd.DataFrame, column: str | None) -> bool:
    return column in frame or f"{column}_x" in frame


def _all_there(
    columns: list[str | None], table: str, method: str, known: dict[str, pd.DataFrame]
) -> bool:
    """The table manager also filters by the columns of the table that one is about."""
    about = ["nuclei"] if method == "tables" and table == "cell_types" else []
    return all(any(_has(known[t], c) for t in [table, *about]) for c in columns)


def _table(shape: dict[str, Any], method: str) -> str:
    """By role; a table without one has the role that the columns speak of."""
    if method == "synapse_query":
        return "synapses"
    columns = {f["column"] for f in shape["filters"]}
    if any(f["type"] == "regex" for f in shape["filters"]):
        return "cell_types"
    if any(c.startswith(("pre_", "post_", "{side}", "p_pt")) for c in columns):
        return "synapses"
    if columns & (TEXTS | {"cell_type", "classification_system", "target_id"}):
        return "cell_types"
    if "pt_root_id" in columns or "pt_position" in columns or "volume" in columns:
        return "nuclei"
    return ROLES.get(shape["table_kind"], "synapses")


def _column(given: dict[str, Any], table: str, dice: random.Random) -> str | None:
    name = given["column"]
    if given["type"] == "spatial_box":
        return {"synapses": "post_pt_position", "nuclei": "pt_position"}.get(table)
    if given["type"] == "regex":
        return "cell_type"
    if name in TEXTS:
        return "cell_type"
    if name == "valid_id":
        return "id"
    if name in ("{side}_pt_root_id", "p_pt_root_id"):
        return dice.choice(("pre_pt_root_id", "post_pt_root_id"))
    if name == "<variable>":
        return {"synapses": "pre_pt_root_id", "nuclei": "pt_root_id"}.get(table, "cell_type")
    return name


def _kind(given: dict[str, Any]) -> str:
    kind = str(given["type"])
    if kind == "equal_or_in":
        return {"variable": "in", "dict": "greater"}.get(given["kind"], "equal")
    return kind


def _value(given: dict[str, Any], column: str, frame: pd.DataFrame, dice: random.Random) -> Any:
    kind = _kind(given)
    if kind == "spatial_box":
        low, high = zip(
            *(sorted(frame[f"{column}_{a}"].quantile(q) for q in (0.2, 0.7)) for a in "xyz"),
            strict=True,
        )
        return [list(low), list(high)]
    values = frame[column][frame[column] != 0].tolist()
    if kind == "regex":
        return f"^{dice.choice(values)[:3]}"
    if kind == "greater":
        return float(frame[column].median())
    if kind == "equal":
        return dice.choice(values)
    many = given.get("n") or dice.choice((1, FEW, MANY))
    return sorted(set(dice.choices(values, k=many)))


def _selected(given: Any, found: Asked) -> list[str]:
    own = {
        "synapses": ["id", "pre_pt_root_id", "post_pt_root_id", "ctr_pt_position", "size"],
        "nuclei": ["id", "pt_root_id", "pt_position", "volume", "pt_supervoxel_id"],
        "cell_types": ["cell_type", "target_id", "classification_system"],
    }[found.table]
    names = [n for v in given.values() for n in v] if isinstance(given, dict) else given
    chosen = [c for c in own if isinstance(names, list) and c in names]
    return chosen or own[:2]
