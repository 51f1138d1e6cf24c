"""Questions as the server takes them: address, arguments and body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypedDict

At = int | str | datetime
"""A version's number or name, "newest", "now", or an aware time."""

By = Mapping[str, Any]
"""Values by column; `table.column` is one of a table that is joined."""

_FILTERS = {
    "isin": "filter_in_dict",
    "not_in": "filter_notin_dict",
    "equal": "filter_equal_dict",
    "greater": "filter_greater_dict",
    "less": "filter_less_dict",
    "greater_equal": "filter_greater_equal_dict",
    "less_equal": "filter_less_equal_dict",
    "regex": "filter_regex_dict",
    "box": "filter_spatial_dict",
}


class Asked(TypedDict, total=False):
    """What may be asked of a table; all filters must hold.

    segmentation: the moment of the root ids, where it is another. columns: only these. joins:
    [(table, column, other table, its column)], inner. resolution_nm: nm of a unit of positions;
    else voxels of the table. isin, not_in: {column: [values]}. equal, greater, less,
    greater_equal, less_equal, regex: {column: value}. box: {position: [[x, y, z], [x, y, z]]}, in
    voxels of its table. translate_root_ids: those of another time stand for those in their place.
    allow_invalid_root_ids: they are in no row, instead of an error. allow_missing_lookups: rows
    that nobody has looked up yet come with root id 0 (the default), else they are an error.
    """

    segmentation: At | None
    columns: Sequence[str] | None
    joins: Sequence[tuple[str, str, str, str]]
    resolution_nm: Sequence[float] | None
    isin: By
    not_in: By
    equal: By
    greater: By
    less: By
    greater_equal: By
    less_equal: By
    regex: By
    box: By
    translate_root_ids: bool
    allow_invalid_root_ids: bool
    allow_missing_lookups: bool


@dataclass(frozen=True)
class Question:
    """A request: the address below that of the datastack, arguments, body."""

    path: tuple[str | int, ...]
    params: dict[str, str]
    body: dict[str, Any]

    def saying(self, **more: Any) -> "Question":
        """The same with more in its body."""
        return replace(self, body=self.body | more)

    def counting(self) -> "Question":
        """How many rows it has."""
        return replace(self, params=self.params | {"count": "true"})


def compose(table: str, at: At, asked: Asked) -> Question:
    """The request of a question; raises TypeError for a filter that there is not."""
    unknown = asked.keys() - Asked.__annotations__.keys()
    if unknown:
        raise TypeError(f"{min(unknown)} is no filter; there are {', '.join(_FILTERS)}")
    body: dict[str, Any] = {
        key: _by_table(table, asked[name])  # type: ignore[literal-required]
        for name, key in _FILTERS.items()
        if name in asked
    }
    given = {
        "select_columns": _columns(table, asked.get("columns")),
        "desired_resolution": _listed(asked.get("resolution_nm")),
        "segmentation": _moment(asked.get("segmentation")),
    }
    body |= {key: value for key, value in given.items() if value is not None}
    joins = [list(four) for four in asked.get("joins", ())]
    path: tuple[str | int, ...] = ()
    if isinstance(at, datetime):
        body |= {"table": table, "timestamp": at.isoformat(), "join_tables": joins}
    elif joins:
        path = ("version", at)
        body |= {"table": table, "join_tables": joins}
    else:
        path = ("version", at, "table", table)
    flags = {
        "translate_root_ids": asked.get("translate_root_ids", False),
        "allow_invalid_root_ids": asked.get("allow_invalid_root_ids", False),
        "allow_missing_lookups": asked.get("allow_missing_lookups", True),
    }
    params = {name: str(value).lower() for name, value in flags.items()}
    return Question((*path, "query"), params, body)


def _moment(at: At | None) -> str | int | None:
    return at.isoformat() if isinstance(at, datetime) else at


def _listed(values: Sequence[float] | None) -> list[float] | None:
    return None if values is None else list(values)


def _columns(table: str, names: Sequence[str] | None) -> Any:
    """A list, or {table: [columns]} where tables are named."""
    if names is None or not any("." in name for name in names):
        return None if names is None else list(names)
    found: dict[str, list[str]] = {}
    for name in names:
        of, column = _place(table, name)
        found.setdefault(of, []).append(column)
    return found


def _by_table(table: str, by: By) -> dict[str, dict[str, Any]]:
    """Values as JSON has them, also where they came as arrays."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in by.items():
        of, column = _place(table, name)
        found.setdefault(of, {})[column] = value.tolist() if hasattr(value, "tolist") else value
    return found


def _place(table: str, name: str) -> tuple[str, str]:
    of, dot, column = name.rpartition(".")
    return (of, column) if dot else (table, name)
