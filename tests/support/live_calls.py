"""Live calls on real tables, made up from dice."""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from shape_frames import Asked, Frames

# by the server, as of the time; and by the client, out of a version and the chunkedgraph
BY_SERVER = ("live_live_query", "tables live")
BY_CLIENT = ("query_table", "live_query")
UNITS = ([1.0, 1.0, 1.0], [4.0, 4.0, 40.0], [2.0, 6.0, 29.0])


def some_call(
    dice: random.Random, at: datetime, frames: Frames, method: str, *, roots: bool = True
) -> Asked:
    """A live call that most likely finds something; `roots`: it may filter by them."""
    table = dice.choice(sorted(frames))
    alone = table == "cell_types" and method in BY_CLIENT
    asked = Asked(method, table, timestamp=at, alone=alone)
    frame = frames[table]
    columns = [c for c in frame.columns if roots or not c.endswith("root_id")]
    for column in dice.sample(columns, min(2, dice.randrange(4))):
        _filter(dice, asked, frame, column)
    if dice.random() < 0.3:
        asked.resolution = dice.choice(UNITS)
    if method in BY_SERVER and dice.random() < 0.4:
        asked.limit, asked.offset = dice.randrange(1, 40), dice.choice((None, 3))
    if method == "live_live_query" and dice.random() < 0.4:
        asked.columns = dice.sample(
            [c for c in frame.columns if "_position_" not in c], dice.randrange(1, 4)
        )
    return asked


def _filter(dice: random.Random, asked: Asked, frame: pd.DataFrame, column: str) -> None:
    if column in ("created", "valid") or not len(frame):
        return
    if column.endswith("supervoxel_id") and asked.method != "live_live_query":
        return  # the table manager has no such word
    if column[:-2] in frame.attrs["points"]:
        point = column[:-2]
        if not frame[column].isna().any() and point not in [c for _, c, _ in asked.filters]:
            edges = [sorted(dice.choices(frame[f"{point}_{a}"].tolist(), k=2)) for a in "xyz"]
            asked.add("spatial_box", point, [list(side) for side in zip(*edges, strict=True)])
        return
    values = frame[column][frame[column] != 0].tolist()
    if not values:
        return
    kinds = ["in", "equal"]
    if asked.method == "live_live_query":
        kinds.append("not_in")
    if frame[column].dtype == float:
        kinds = ["greater"]
    kind = dice.choice(kinds)
    several = sorted(set(dice.choices(values, k=dice.choice((1, 5, 60)))))
    asked.add(kind, column, several if kind in ("in", "not_in") else dice.choice(values))


def times_about(
    dice: random.Random, events: Sequence[datetime], count: int, step: Any
) -> list[datetime]:
    """Times at events, a step before and after, and anywhere between the first and the last."""
    first, last = events[0], events[-1]
    found = [dice.choice(events) + step * dice.choice((-1, 0, 1)) for _ in range(count)]
    return found + [first + (last - first) * dice.random() for _ in range(count // 2)]
