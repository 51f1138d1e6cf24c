"""Whole frames that a client gave, held against those that pandas makes of the truth."""

from typing import Any

import pandas as pd
from shape_frames import Asked, Frames, answered


def fault(asked: Asked, frame: pd.DataFrame, moments: dict[Any, Frames]) -> str | None:
    """What is wrong with an answer: rows, columns or their order; None where nothing is."""
    expected = answered(asked, moments)
    if asked.count:
        expected = pd.DataFrame({"count": [len(expected)]})
    elif asked.sample is not None:
        expected = expected[expected["id"].isin(frame["id"])]
    else:
        end = None if asked.limit is None else (asked.offset or 0) + asked.limit
        expected = expected[asked.offset or 0 : end]
    if asked.method == "synapse_query":  # the client takes autapses away
        expected = expected[expected["pre_pt_root_id"] != expected["post_pt_root_id"]]
    try:
        assert set(frame.columns) == _columns(asked, expected)
        assert_same_frame(frame, expected)
    except AssertionError as error:
        return f"{asked.code()}: {error}"
    return None


def _columns(asked: Asked, expected: pd.DataFrame) -> set[str]:
    """Selected columns; roots bring their supervoxels along, a position is three."""
    if asked.columns is None or asked.count:
        return set(expected.columns)
    found = set()
    for column in asked.columns:
        found |= {column, column.replace("root_id", "supervoxel_id")}
    axes = {f"{column}_{axis}" for column in found for axis in "xyz"}
    return (found | axes) & set(expected.columns)


def assert_same_frame(frame: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same rows; ids are 64-bit integers."""
    for column in frame.columns:
        if column == "id" or column.endswith("_id"):
            assert frame[column].dtype == "int64", column
    given, right = _plain(frame), _plain(expected[list(frame.columns)])
    pd.testing.assert_frame_equal(given, right, check_dtype=False, rtol=1e-12)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Times as microseconds, and NaN for what is missing."""
    plain = frame.reset_index(drop=True).copy()
    plain.attrs = {}
    for column in plain.columns:
        if column.startswith("created"):
            plain[column] = pd.to_datetime(plain[column], utc=True).dt.as_unit("us")
        elif plain[column].isna().all():
            plain[column] = plain[column].astype(float)
    return plain
