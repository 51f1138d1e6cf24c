"""What Neuroglancer is given, read by a reader that knows only the published format."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from precomputed_reader import Annotation, Reader
from story import CELLS, Story, story

from matengine.api.app import create_app
from matengine.engine.annotations import rows as annotations
from matengine.engine.annotations import tables
from matengine.engine.export.neuroglancer import levels
from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.storage import pools

CLUSTERS = "clusters"


@dataclass
class Api:
    story: Story
    client: FlaskClient

    def url(self, rest: str) -> str:
        return f"/materialize/api/v3/datastack/{self.story.pair.name}/{rest}"

    def json(self, rest: str, code: int = 200) -> Any:
        found = self.client.get(self.url(rest))
        assert found.status_code == code, found.text
        return found.json

    def reader(self, place: str) -> Reader:
        def fetch(key: str) -> bytes | None:
            found = self.client.get(self.url(f"{place}/precomputed/{key}"))
            assert found.status_code in (200, 404), found.text
            return found.data if found.status_code == 200 else None

        return Reader(self.json(f"{place}/precomputed/info"), fetch)

    def rows(self, table: str, at: Any) -> dict[int, dict[str, Any]]:
        conn, name = self.story.conn, self.story.pair.name
        found = answer.ask(conn, name, at, Query(table)).to_pylist()
        conn.commit()
        return {row["id"]: row for row in found}


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        pytest.MonkeyPatch.context() as patch,
        story(server_url, tmp_path_factory.mktemp("volume")) as told,
    ):
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        _clusters(told)
        yield Api(told, create_app().test_client())
        pools.close_all()


def _clusters(told: Story) -> None:
    """A table most of whose points lie together, some of them outside of the volume."""
    dice = random.Random(3)
    tables.create_table(
        told.conn, CLUSTERS, "cell_type_local", voxel_resolution_nm=(1, 1, 2), description=""
    )
    points = [[1 + dice.random(), 1 + dice.random(), 1 + dice.random() / 8] for _ in range(90)]
    points += [[dice.uniform(-3, 14) for _ in "xyz"] for _ in range(30)]
    annotations.insert(
        told.conn,
        CLUSTERS,
        [
            {"pt": {"position": p}, "cell_type": dice.choice("abc"), "classification_system": "a"}
            for p in points
        ],
    )
    told.conn.commit()
    told.pair.epoch()


def place_of(table: str, version: int | None) -> str:
    return f"table/{table}" if version is None else f"version/{version}/table/{table}"


def whole(rows: dict[int, dict[str, Any]], points: list[str]) -> dict[int, dict[str, Any]]:
    return {i: row for i, row in rows.items() if all(row[f"{p}_x"] is not None for p in points)}


def same(found: Annotation, row: dict[str, Any], points: list[str]) -> bool:
    expected = [row[f"{p}_{axis}"] for p in points for axis in "xyz"]
    near = found.geometry == tuple(np.float32(expected).tolist())
    return near and all(_same(value, row[name]) for name, value in found.properties.items())


def _same(value: Any, expected: Any) -> bool:
    if expected is None:
        return value in ("", 0) or value != value
    if isinstance(expected, bool):
        return bool(value == str(expected).lower())
    if isinstance(expected, float):
        return bool(value == np.float32(expected))
    return bool(value == expected)


@pytest.mark.parametrize("limit", [10_000, 8])
@pytest.mark.parametrize("version", [1, 3, None])
@pytest.mark.parametrize("table", ["synapses", CELLS, CLUSTERS])
def test_every_annotation_is_in_one_level(
    api: Api, table: str, version: int | None, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if table == CLUSTERS and version == 1:
        api.json(f"version/1/table/{CLUSTERS}/precomputed/info", 404)
        return
    monkeypatch.setattr(levels, "LIMIT", limit)
    monkeypatch.setattr(levels, "DEPTH", 3)  # so few cells that each can be asked
    monkeypatch.setattr("matengine.engine.export.neuroglancer.plan._plans", {})
    name = api.story.pair.table if table == "synapses" else table
    points = ["pre_pt_position", "post_pt_position"] if table == "synapses" else ["pt_position"]
    at = api.story.pair.clock() if version is None else version
    rows = whole(api.rows(name, at), points)
    reader = api.reader(place_of(name, version))
    assert reader.info["annotation_type"] == ("line" if table == "synapses" else "point")
    seen: dict[int, int] = {}
    for number in range(len(reader.info["spatial"])):
        cells = reader.level(number)
        often = Counter(row.id for found in cells.values() for row in found)
        if len(points) == 1:
            assert set(often.values()) <= {1}
        for row in (row for found in cells.values() for row in found):
            assert seen.setdefault(row.id, number) == number
            assert same(row, rows[row.id], points)
    assert seen.keys() == rows.keys()
    if table == CLUSTERS:
        assert (len(reader.info["spatial"]) > 1) == (limit < len(rows))


@pytest.mark.parametrize("version", [1, 2, None])
def test_by_id_and_by_segment(api: Api, version: int | None) -> None:
    at = api.story.pair.clock() if version is None else version
    name, points = api.story.pair.table, ["pre_pt_position", "post_pt_position"]
    rows = whole(api.rows(name, at), points)
    reader = api.reader(place_of(name, version))
    for row_id, row in rows.items():
        found = reader.by_id(row_id)
        assert found is not None
        assert same(found, row, points)
        for side in ("pre", "post"):
            root = row[f"{side}_pt_root_id"]
            assert found.related[f"{side}_pt_root_id"] == ([root] if root else [])
    assert reader.by_id(999) is None
    for side in ("pre_pt_root_id", "post_pt_root_id"):
        for root in {row[side] for row in rows.values()} - {0}:
            told = reader.by_relationship(side, root)
            assert {a.id for a in told} == {i for i, row in rows.items() if row[side] == root}
    assert reader.by_relationship("pre_pt_root_id", 5) == []


@pytest.mark.parametrize(
    "key",
    ["nothing/1", "by_id/x", "by_id/-1", "spatial_1x1x1_0_1/0_0", "spatial_1x1x1_0_1/0_0_1",
     "spatial_0x1x1_0_1/0_0_0", "spatial_1x1x1_1_1/0_0_0", "spatial_1x1x1_0_1/0_0_99999999999"],
)  # fmt: skip
def test_what_is_no_file(api: Api, key: str) -> None:
    assert set(api.json(f"table/{CELLS}/precomputed/{key}", 404)) == {"code", "message", "hint"}


def test_a_table_without_points(api: Api) -> None:
    api.json(f"table/{api.story.pair.notes}/precomputed/info", 400)
    api.json("table/nothing/precomputed/info", 404)


def test_frozen_files_are_not_sent_twice(api: Api) -> None:
    url = api.url(f"version/1/table/{CELLS}/precomputed/by_id/1")
    first = api.client.get(url)
    again = api.client.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_segment_properties(api: Api) -> None:
    rows = [row for row in api.rows(CLUSTERS, 3).values() if row["pt_root_id"]]
    told = api.json(f"version/3/table/{CLUSTERS}/info?label_format={{cell_type}} of {{id:4d}}")
    assert told["@type"] == "neuroglancer_segment_properties"
    ids = [int(i) for i in told["inline"]["ids"]]
    assert ids == sorted({row["pt_root_id"] for row in rows})
    by_id = {p["id"]: p for p in told["inline"]["properties"]}
    # "a" is a cell type and a classification system
    assert by_id["tags"]["tags"] == sorted({"b", "c", "cell_type:a", "classification_system:a"})
    for place, root in enumerate(ids):
        mine = [row for row in rows if row["pt_root_id"] == root]
        first = min(mine, key=lambda row: row["id"])
        assert by_id["label"]["values"][place] == f"{first['cell_type']} of {first['id']:4d}"
        expected = {row["cell_type"] for row in mine} - {"a"} | {"classification_system:a"}
        if any(row["cell_type"] == "a" for row in mine):
            expected.add("cell_type:a")
        assert {by_id["tags"]["tags"][n] for n in by_id["tags"]["values"][place]} == expected


def test_segment_properties_by_reference(api: Api) -> None:
    notes = api.rows(api.story.pair.notes, 1)
    synapses = api.rows(api.story.pair.table, 1)
    told = api.json(f"version/1/table/{api.story.pair.notes}/info")
    roots = {synapses[note["target_id"]]["pre_pt_root_id"] for note in notes.values()}
    assert {int(i) for i in told["inline"]["ids"]} == roots - {0}
    api.json(f"version/1/table/{CELLS}/info?label_columns=nothing", 404)
    api.json(f"version/1/table/{CELLS}/info?label_format={{cell_type:9d}}", 400)
    labels = api.json(f"table/{CELLS}/info?label_format={{id.__class__}}")["inline"]["properties"][
        0
    ]
    assert set(labels["values"]) == {"{id.__class__}"}  # nothing is evaluated
