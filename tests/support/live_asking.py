"""A client process asks a real dataset about any moment, and each answer is the truth."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from frame_judge import fault
from live_calls import BY_CLIENT, BY_SERVER, some_call, times_about
from real_world import BruteTruth
from served import ClientProcess, Served
from shape_frames import Asked

from matengine.times import floor_ms, now, parse_time, to_ms

MS = timedelta(milliseconds=1)
# that are asked about, at and around events, and half as many in between
MOMENTS = int(os.environ.get("MATENGINE_MOMENTS", "4"))

SETTING = """
import datetime
import logging
import pandas as pd
logging.disable(logging.WARNING)
client = CAVEclient({datastack!r}, server_address={url!r})
m, c = client.materialize, client.chunkedgraph
"""
EDITS = """
points = dict(coords=[[1, 1, 1], [2, 2, 2]], resolution=(4, 4, 40))
merged = c.do_merge(supervoxels={ends}, **points)
(root,) = merged["new_root_ids"]
points = dict(source_points=[[0, 0, 0]], sink_points=[[1, 1, 1]], root_id=root,
              source_supervoxels={ends}[:1], sink_supervoxels={ends}[1:])
number, parts = c.execute_split(**points)
tell(c.get_operation_details([merged["operation_id"], number]))
"""


@dataclass(frozen=True)
class Client:
    """A process with CAVEclient, the server that it asks, and where it leaves frames."""

    process: ClientProcess
    url: str
    folder: Path

    def frames(self, calls: list[str]) -> list[pd.DataFrame]:
        """The answers to calls of `m` and `tables`."""
        place = str(self.folder / "frames.pickle")
        code = "tables, frames = m.tables, []\n"
        code += "".join(f"frames.append({call})\n" for call in calls)
        self.process.run(f"{code}pd.to_pickle(frames, {place!r})\n")
        found: list[pd.DataFrame] = pd.read_pickle(place)
        return found


def ask_at_any_moment(
    client: Client,
    served: Served,
    truth: BruteTruth,
    dice: random.Random,
    versions: list[datetime] | None = None,
) -> None:
    """Edits, then calls about times at, around and between all that happened.

    versions: the times of those that there are; two are made where none is given.
    """
    events = truth.events()
    if versions is None:
        later = [event for event in events if event > truth.graph.oldest_timestamp()]
        versions = sorted({dice.choice(later), dice.choice(later) - MS})
        truth.freeze(versions)
    client.process.run(SETTING.format(datastack=served.datastack, url=served.url))
    edited = edit(client, truth, dice)
    times = [*times_about(dice, events, MOMENTS, MS), *times_about(dice, edited, 2, MS)]
    times += [versions[0] - MS, *versions, versions[-1] + MS, floor_ms(now())]
    asked = [one for at in times for one in calls_at(truth, at, versions, dice)]
    found = client.frames([one.code() for one, _ in asked])
    faults = [
        fault(one, frame, moments) for (one, moments), frame in zip(asked, found, strict=True)
    ]
    wrong = [told for told in faults if told]
    assert not wrong, "\n".join(wrong[:20])
    print(f"{len(asked)} calls at {len(times)} moments, {sum(map(len, found))} rows")


def calls_at(
    truth: BruteTruth, at: datetime, versions: list[datetime], dice: random.Random
) -> Iterator[tuple[Asked, dict[str, Any]]]:
    """Calls with the frames that they must be answered from."""
    at = floor_ms(max(at, truth.graph.oldest_timestamp()))
    moments = {"live": truth.frames(at)}
    table = dice.choice(sorted(moments["live"]))
    yield Asked("live_live_query", table, timestamp=at), moments
    for method in (*BY_SERVER, "live_live_query"):
        yield some_call(dice, at, moments["live"], method), moments
    before = [version for version in versions if version <= at]
    if before:
        moments["by the client"] = truth.frames(before[-1], at)
        # the client takes roots that begin just then for too recent
        known = at not in truth.beginnings()
        method = dice.choice(BY_CLIENT)
        yield some_call(dice, at, moments["by the client"], method, roots=known), moments


def edit(client: Client, truth: BruteTruth, dice: random.Random) -> list[datetime]:
    """Merge two objects that have synapses and split them again, as people do; gives when."""
    rows = truth.frames(now())["synapses"]
    rows = rows[(rows["pre_pt_root_id"] != 0) & (rows["post_pt_root_id"] != 0)]
    rows = rows[rows["pre_pt_root_id"] != rows["post_pt_root_id"]]
    row = rows.iloc[dice.randrange(len(rows))]
    ends = [int(row["pre_pt_supervoxel_id"]), int(row["post_pt_supervoxel_id"])]
    told = client.process.run(EDITS.format(ends=ends))
    done = []
    for _, details in sorted(told.items(), key=lambda item: int(item[0])):
        done.append(floor_ms(parse_time(details["timestamp"])))
        kind = "merge" if "added_edges" in details else "split"
        edges = details.get("added_edges") or details["removed_edges"]
        truth.replayed.apply(kind, [(a, b) for a, b in edges], to_ms(done[-1]))
    return done
