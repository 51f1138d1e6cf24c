"""Calls on the tables of a real dataset, and what pandas makes of them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

Frames = dict[str, pd.DataFrame]

WORDS = {
    "in": "filter_in_dict",
    "not_in": "filter_out_dict",
    "equal": "filter_equal_dict",
    "greater": "filter_greater_dict",
    "regex": "filter_regex_dict",
    "spatial_box": "filter_spatial_dict",
}


@dataclass
class Asked:
    """A call of a client; filters are (kind, column, value)."""

    method: str
    table: str
    timestamp: datetime | None = None
    version: int | None = None
    filters: list[tuple[str, str, Any]] = field(default_factory=list)
    limit: int | None = None
    offset: int | None = None
    resolution: list[float] | None = None
    columns: list[str] | None = None
    count: bool = False
    sample: int | None = None
    alone: bool = False

    def add(self, kind: str, column: str, value: Any) -> None:
        self.filters.append((kind, column, value))

    @property
    def server_side(self) -> bool:
        """Whether the server answers it as of the time, not the client out of a version."""
        return self.method in ("live_live_query", "tables live") or self._joined_by_the_manager

    @property
    def _joined_by_the_manager(self) -> bool:
        return self.method == "tables" and self.table == "cell_types"

    @property
    def merged(self) -> bool:
        """Whether the client joins the table that this one is about."""
        if self.table != "cell_types" or self.alone:
            return False
        return self.method != "live_live_query"

    def code(self) -> str:
        """The call as an expression."""
        given: dict[str, Any] = {"split_positions": True, "desired_resolution": self.resolution}
        given |= {"limit": self.limit, "offset": self.offset, "random_sample": self.sample}
        if self.timestamp:
            given["timestamp"] = self.timestamp
        elif self.method != "live_query":
            given["materialization_version"] = self.version
        if self.columns and self.method != "tables live":
            given["select_columns"] = self.columns
        if self.count:
            given["get_counts"] = True
        if self.method.startswith("tables"):
            return self._of_the_manager(given)
        if self.method == "synapse_query":
            return self._of_synapses(given)
        given["table"] = self.table
        if self.alone:
            given["merge_reference"] = False
        for kind, column, value in self.filters:
            words = given.setdefault(WORDS[kind], {})
            if self.method == "live_live_query":
                words = words.setdefault(self.table, {})
            words[column] = value
        if self.columns and self.method == "live_live_query":
            given["select_columns"] = {self.table: self.columns}
        return f"m.{self.method}({_said(given)})"

    def _of_the_manager(self, given: dict[str, Any]) -> str:
        words = {
            f"{column}_bbox" if kind == "spatial_box" else column: {">": value}
            if kind == "greater"
            else value
            for kind, column, value in self.filters
        }
        if self.timestamp and self._joined_by_the_manager:
            given.pop("select_columns", None)
        if self.merged and isinstance(given.get("select_columns"), list):
            given["select_columns"] = {self.table: given["select_columns"]}
        asking = f"tables.{self.table}({_said(words)})"
        return (
            f"{asking}.{'live_query' if self.method == 'tables live' else 'query'}({_said(given)})"
        )

    def _of_synapses(self, given: dict[str, Any]) -> str:
        given.pop("random_sample")
        names = {"pre_pt_root_id": "pre_ids", "post_pt_root_id": "post_ids"}
        given |= {names[column]: value for _, column, value in self.filters}
        return f"m.synapse_query({_said(given)})"


def _said(given: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)


def answered(asked: Asked, moments: dict[Any, Frames]) -> pd.DataFrame:
    """The rows that pass, all of them, with all columns."""
    if asked.timestamp is None:
        known = moments[asked.version or 2]
    else:
        known = moments["live" if asked.server_side else "by the client"]
    frame = known[asked.table]
    if asked.merged:
        suffixes = ("_ref", "") if asked.method.startswith("tables") else ("", "_ref")
        nuclei = known["nuclei"]
        merged = frame.merge(nuclei, left_on="target_id", right_on="id", suffixes=suffixes)
        own = f"id{suffixes[0]}" if suffixes[0] else "id"
        merged = merged.sort_values(own, ignore_index=True)
        merged.attrs = nuclei.attrs | {"nm": frame.attrs["nm"], "theirs": nuclei.attrs["nm"]}
        frame = _in_units(merged, nuclei.attrs["nm"], asked.resolution or frame.attrs["nm"])
    elif asked.resolution:
        kept = frame[_mask(asked, frame)]
        return _in_units(kept, frame.attrs["nm"], asked.resolution)
    return frame[_mask(asked, frame)]


def _mask(asked: Asked, frame: pd.DataFrame) -> Any:
    kept = pd.Series(True, index=frame.index)
    for kind, column, value in asked.filters:
        if kind == "in":
            kept &= frame[column].isin(value)
        elif kind == "not_in":
            kept &= ~frame[column].isin(value)
        elif kind == "equal":
            kept &= frame[column] == value
        elif kind == "greater":
            kept &= frame[column] > value
        elif kind == "regex":
            kept &= frame[column].str.contains(value)
        else:
            for axis, low, high in zip("xyz", *value, strict=True):
                kept &= frame[f"{column}_{axis}"].between(low, high)
    return kept


def _in_units(frame: pd.DataFrame, nm: list[float], wanted: list[float]) -> pd.DataFrame:
    scaled = frame.copy()
    for point in frame.attrs["points"]:
        for axis, have, want in zip("xyz", nm, wanted, strict=True):
            scaled[f"{point}_{axis}"] = frame[f"{point}_{axis}"].astype(float) * have / want
    return scaled
