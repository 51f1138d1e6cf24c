"""Tables as Neuroglancer's segment properties: what is known of each neuron, once each.

https://neuroglancer-docs.web.app/datasource/precomputed/segment_properties.html
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from matengine.engine.access import User
from matengine.engine.annotations import tables
from matengine.engine.query import answer
from matengine.engine.query.model import At, Join, Query
from matengine.errors import Invalid, NotFound, did_you_mean
from matengine.storage.connections import Connection

# viewers keep all of it in memory
MOST_ROWS = 1_000_000
_REFERENCE = "_ref"
_FIELD = re.compile(r"\{([a-z_][a-z0-9_]*)(?::(\.?\d{1,2}[a-z]?))?\}")
_NUMBERS = {pa.float64(): "float32", pa.int32(): "int32"}


def properties(
    conn: Connection,
    datastack: str,
    at: At,
    name: str,
    user: User,
    *,
    label_columns: Sequence[str] = (),
    label_format: str | None = None,
) -> dict[str, Any]:
    """A table or view at a moment, by segment.

    Of several annotations in a segment the one with the lowest id gives label and numbers; tags
    are those of all. label_format: text with {column}, also {column:.2f}. A reference table is
    joined with its reference. Raises Invalid for a table without root ids or with more than
    `MOST_ROWS` rows, NotFound for unknown columns, and what `answer.plan` raises.
    """
    query = _query(conn, name)
    plan = answer.plan(conn, datastack, at, replace(query, limit=MOST_ROWS + 1), user)
    root = _root(name, plan.schema)
    rows = answer.read(conn, plan)
    if rows.num_rows > MOST_ROWS:
        raise Invalid(f"'{name}' has more than {MOST_ROWS} rows, which no viewer could hold.")
    rows = rows.filter(pc.not_equal(rows[root], 0))
    ids, first, place = np.unique(rows[root].to_numpy(), return_index=True, return_inverse=True)
    told = rows.take(pa.array(first))
    inline = [_label(told, label_columns, label_format)]
    tags = _tags(rows, place, len(ids))
    if tags:
        inline.append(tags)
    inline += _numbers(told)
    return {
        "@type": "neuroglancer_segment_properties",
        "inline": {"ids": [str(i) for i in ids.tolist()], "properties": inline},
    }


def _query(conn: Connection, name: str) -> Query:
    try:
        reference = tables.get_metadata(conn, name).reference_table
    except NotFound:
        return Query(name)  # a view, or nothing, as will be told
    if not reference:
        return Query(name)
    join = Join(name, "target_id", reference, "id")
    return Query(name, (join,), suffixes={name: "", reference: _REFERENCE})


def _root(name: str, schema: pa.Schema) -> str:
    for column in schema.names:
        if column.endswith(("root_id", f"root_id{_REFERENCE}")):
            return str(column)
    raise Invalid(f"'{name}' has no root ids, so it tells nothing of segments.")


def _label(told: pa.Table, columns: Sequence[str], form: str | None) -> dict[str, Any]:
    if form is None:
        chosen = list(columns) or ["id" if "id" in told.column_names else told.column_names[0]]
        form = " ".join(f"{{{name}}}" for name in chosen)
    names = [name for name, _ in _FIELD.findall(form)]
    for name in names:
        if name not in told.column_names:
            raise NotFound(
                f"There is no column '{name}' for a label.", did_you_mean(name, told.column_names)
            )
    values = {name: told[name].to_pylist() for name in names}

    def at(row: int) -> str:
        return _FIELD.sub(lambda field: _shown(values[field[1]][row], field[2]), form)

    return {"id": "label", "type": "label", "values": [at(row) for row in range(told.num_rows)]}


def _shown(value: Any, spec: str | None) -> str:
    if value is None:
        return ""
    try:
        return format(value, spec or "")
    except ValueError:
        raise Invalid(f"'{spec}' is no format for {value!r}.") from None


def _tags(rows: pa.Table, place: NDArray[np.intp], count: int) -> dict[str, Any] | None:
    """The values of text columns and the names of columns that are true, by segment."""
    found: list[tuple[str, str, NDArray[np.bool_]]] = []
    for name in rows.column_names:
        column = rows[name].combine_chunks()
        if pa.types.is_boolean(column.type) and not name.startswith("valid"):
            found.append((name, name, np.asarray(column.fill_null(False))))
        elif pa.types.is_string(column.type):
            coded = column.dictionary_encode()
            indices = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            for number, text in enumerate(coded.dictionary.to_pylist()):
                if text:
                    found.append((name, text, indices == number))
    if not found:
        return None
    often = Counter(text for _, text, _ in found)
    named = _named(found, often)
    values: list[list[int]] = [[] for _ in range(count)]
    for number, (_, mask) in enumerate(named):
        for segment in np.unique(place[mask]).tolist():
            values[segment].append(number)
    return {"id": "tags", "type": "tags", "tags": [tag for tag, _ in named], "values": values}


def _named(
    found: list[tuple[str, str, NDArray[np.bool_]]], often: Counter[str]
) -> list[tuple[str, NDArray[np.bool_]]]:
    """Tags, sorted; a text of several columns is told with its column."""
    named = [(f"{c}:{text}" if often[text] > 1 else text, mask) for c, text, mask in found]
    return sorted(named, key=lambda tag: tag[0])


def _numbers(told: pa.Table) -> list[dict[str, Any]]:
    return [
        {
            "id": field.name,
            "type": "number",
            "data_type": _NUMBERS[field.type],
            "values": told[field.name].fill_null(0).to_pylist(),
        }
        for field in told.schema
        if field.type in _NUMBERS and not re.search(r"_position.*_[xyz]$", field.name)
    ]
