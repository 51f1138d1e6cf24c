"""The annotation service: tables and rows over HTTP, and the lookups that follow a write."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from psycopg import sql
from small_world import Pair, write_volume

from matengine.api.annotation import lookups
from matengine.api.app import create_app
from matengine.engine.annotations import rows, tables
from matengine.storage import pools
from matengine.storage.connections import Connection
from matengine.storage.names import paired

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
METADATA = {
    "description": "cells",
    "voxel_resolution_x": 4.0,
    "voxel_resolution_y": 4.0,
    "voxel_resolution_z": 40.0,
}


@dataclass(frozen=True)
class Service:
    """The service of one aligned volume, called without content types, as some clients do."""

    client: FlaskClient
    volume: str

    def call(self, method: str, path: str = "", body: Any = None, status: int = 200) -> Any:
        answer = self.client.open(
            f"/annotation/api/v2/aligned_volume/{self.volume}/table{path}",
            method=method,
            data=None if body is None else json.dumps(body),
        )
        assert answer.status_code == status, answer.data
        if status != 200:
            assert {"code", "message", "hint"} <= set(answer.json)
        return answer.json

    def make(self, name: str, schema: str, **metadata: Any) -> None:
        body = {"table_name": name, "schema_type": schema, "metadata": METADATA | metadata}
        assert self.call("POST", "", body) == name

    def insert(self, table: str, *annotations: Any, status: int = 200) -> Any:
        body = {"annotations": list(annotations)}
        return self.call("POST", f"/{table}/annotations", body, status)


@pytest.fixture
def service(av: Any) -> Iterator[Service]:
    yield Service(create_app(services=["annotation"]).test_client(), av.name)
    pools.close_all()


def tag(text: str, position: list[float] | None = None) -> dict[str, Any]:
    return {"pt": {"position": position or [1, 2, 3]}, "tag": text}


def test_life_of_a_table(service: Service) -> None:
    assert service.call("GET") == []
    service.make("cells", "bound_tag", notice_text="mind\r\nthe gap 🧠", user_id=77)
    service.make("notes", "simple_reference", table_metadata={"reference_table": "cells"})
    assert service.call("GET") == ["cells", "notes"]
    told = service.call("GET", "/cells")
    assert told | METADATA == told
    assert (told["table_name"], told["schema_type"], told["user_id"]) == (
        "cells",
        "bound_tag",
        "77",
    )
    assert (told["read_permission"], told["write_permission"]) == ("PUBLIC", "PRIVATE")
    assert (told["reference_table"], told["deleted"], told["valid"]) == (None, None, True)
    assert TIME.fullmatch(told["created"])
    answer = service.client.get(
        f"/annotation/api/v2/aligned_volume/{service.volume}/table/cells/count"
    )
    assert answer.json == 0
    assert answer.headers["Warning"] == "Table Owner Notice: mind the gap ?"
    notes = service.call("GET", "/notes")
    assert (notes["reference_table"], notes["user_id"]) == ("cells", "1")  # who is here owns it

    change = {"table_name": "cells", "metadata": {"description": "somata", "notice_text": "None"}}
    assert service.call("PUT", "", change)["description"] == "somata"
    told = service.call("GET", "/cells")
    assert (told["description"], told["notice_text"]) == ("somata", None)

    assert service.call("DELETE", "/notes") is True
    assert service.call("GET") == ["cells"]
    assert service.call("GET", "/notes")["deleted"]
    service.insert("notes", {"target_id": 1}, status=410)
    service.call("DELETE", "/notes", status=410)


BAD_TABLES: list[tuple[Any, int]] = [
    ({"table_name": "cells"}, 409),
    ({"table_name": "Cells!"}, 400),
    ({"table_name": 7}, 400),
    ({"schema_type": "bound_tags"}, 404),
    ({"schema_type": "simple_reference"}, 400),
    ({"metadata": METADATA | {"voxel_resolution_z": 0}}, 400),
    ({"metadata": METADATA | {"voxel_resolution_z": "4"}}, 400),
    ({"metadata": METADATA | {"read_permission": "NOBODY"}}, 400),
    ({"metadata": METADATA | {"notice_text": "\0"}}, 400),
    ({"metadata": {"description": "no resolution"}}, 400),
    ({"metadata": None}, 400),
    (
        {
            "schema_type": "simple_reference",
            "metadata": METADATA
            | {
                "table_metadata": {
                    "reference_table": "cells",
                    "track_target_id_updates": True,
                }
            },
        },
        400,
    ),
]


def test_tables_that_cannot_be(service: Service) -> None:
    service.make("cells", "bound_tag")
    for body, status in BAD_TABLES:
        wanted = {"table_name": "more", "schema_type": "bound_tag", "metadata": METADATA} | body
        service.call("POST", "", wanted, status)
    assert service.call("GET") == ["cells"]


def test_life_of_rows(service: Service) -> None:
    service.make("cells", "bound_tag")
    first, second, given = service.insert(
        "cells", tag("a"), tag("b", [1.5, 2, 3]), tag("c") | {"id": 40, "unknown": 1}
    )
    assert given == 40
    assert service.call("GET", "/cells/count") == 3
    found = service.call("GET", f"/cells/annotations?annotation_ids={second},999,{first}")
    assert [row["id"] for row in found] == [second, first]
    assert found[0]["pt_position"] == [1.5, 2, 3]
    created = found[1].pop("created")
    assert TIME.fullmatch(created)
    assert found[1] == {
        "id": first,
        "pt_position": [1, 2, 3],
        "tag": "a",
        "valid": True,
        "deleted": "None",
        "superceded_id": None,
    }
    assert all(type(number) is int for number in found[1]["pt_position"])

    change = {"annotations": [{"id": first, "tag": "better"}]}
    new = service.call("PUT", "/cells/annotations", change)
    latest = new[str(first)]
    old, current = service.call("GET", f"/cells/annotations?annotation_ids={first},{latest}")
    assert (old["valid"], old["superceded_id"], old["tag"]) == (False, latest, "a")
    assert old["deleted"] == current["created"]
    assert (current["tag"], current["pt_position"]) == ("better", [1, 2, 3])
    assert str(latest) in service.call("PUT", "/cells/annotations", change, 409)["message"]

    ending = {"annotation_ids": [latest, 40, 999]}
    assert service.call("DELETE", "/cells/annotations", ending) == [40, latest]
    service.call("DELETE", "/cells/annotations", {"annotation_ids": [999]}, 404)
    service.call("PUT", "/cells/annotations", {"annotations": [{"id": 999, "tag": "x"}]}, 404)
    assert service.call("GET", "/cells/count") == 1
    assert service.call("GET", "/cells/annotations?annotation_ids=999") == []


BAD_ROWS: list[tuple[Any, int]] = [
    ({"tag": "no point"}, 422),
    ({"pt_position": [1, 2, 3], "tag": "flat"}, 422),
    (tag("too short", [1, 2]), 422),
    (tag("x") | {"pt": {"position": [1, 2, 3], "what": 1}}, 422),
    (tag("x") | {"id": 7}, 409),
    (tag("x") | {"id": "8"}, 400),
    ("no object", 400),
    (tag("x", [1, 2, float("inf")]), 400),
    (tag("x", [1, 2, float("nan")]), 422),
]


def test_one_bad_row_keeps_all_out(service: Service) -> None:
    service.make("cells", "bound_tag")
    service.insert("cells", tag("there") | {"id": 7})
    for row, status in BAD_ROWS:
        assert service.insert("cells", tag("good"), row, status=status)["message"]
    assert service.call("GET", "/cells/count") == 1


def test_gaps_of_dataframes_references_and_users(service: Service) -> None:
    service.make("cells", "bound_tag_user")
    service.make("synapses", "synapse")
    service.make("notes", "simple_reference", table_metadata={"reference_table": "cells"})
    (cell,) = service.insert("cells", tag("mine"))
    assert service.call("GET", f"/cells/annotations?annotation_ids={cell}")[0]["user_id"] == 1
    point = {"position": [1, 2, 3]}
    synapse = {"pre_pt": point, "post_pt": point, "ctr_pt": point, "size": float("nan")}
    (gap,) = service.insert("synapses", synapse)
    assert service.call("GET", f"/synapses/annotations?annotation_ids={gap}")[0]["size"] is None
    service.insert("notes", {"target_id": cell})
    assert "999" in service.insert("notes", {"target_id": 999}, status=422)["message"]


def test_a_large_batch_is_one_request(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """CAVE's own service takes 10,000 rows; here bytes are counted."""
    service.make("cells", "bound_tag")
    ids = service.insert("cells", *[tag(str(n)) for n in range(12_000)])
    assert len(set(ids)) == 12_000 == service.call("GET", "/cells/count")
    monkeypatch.setenv("MATENGINE_MAX_BODY_BYTES", "1000")
    bounded = Service(create_app(services=["annotation"]).test_client(), service.volume)
    bounded.insert("cells", *[tag("x" * 100) for _ in range(20)], status=413)
    assert service.call("GET", "/cells/count") == 12_000


BAD_REQUESTS: list[tuple[str, str, Any, int]] = [
    ("GET", "/nothing", None, 404),
    ("GET", "/nothing/count", None, 404),
    ("GET", "/cells/annotations", None, 400),
    ("GET", "/cells/annotations?annotation_ids=1,x", None, 400),
    ("POST", "/cells/annotations", {}, 400),
    ("POST", "/cells/annotations", {"annotations": {}}, 400),
    ("DELETE", "/cells/annotations", {"annotation_ids": ["1"]}, 400),
    ("PUT", "", {"table_name": "cells", "metadata": {"schema_type": "x"}}, 400),
]


def test_requests_at_fault(service: Service) -> None:
    service.make("cells", "bound_tag")
    for method, path, body, status in BAD_REQUESTS:
        service.call(method, path, body, status)
    elsewhere = Service(service.client, "nowhere_av")
    assert "nowhere_av" in elsewhere.call("GET", status=404)["message"]


# ── lookups ──────────────────────────────────────────────────────────────────


@pytest.fixture
def pair(conn: Connection, tmp_path: Path) -> Pair:
    return Pair(conn, write_volume(tmp_path))


def synapse(*points: list[int]) -> dict[str, Any]:
    names = ("pre_pt", "post_pt", "ctr_pt")
    return {name: {"position": p} for name, p in zip(names, points, strict=True)}


def looked_up(pair: Pair, segmentation: str) -> dict[int, tuple[int, int]]:
    """Supervoxels that wait for an epoch."""
    kept = sql.Identifier("staging", paired(pair.table, segmentation))
    found = pair.conn.execute(sql.SQL("SELECT * FROM {}").format(kept)).fetchall()
    pair.conn.rollback()
    return {i: (pre, post) for i, pre, post in found}


def test_rows_are_looked_up_at_once_for_every_datastack(pair: Pair, service: Service) -> None:
    other = Pair(pair.conn, pair.volume, neighbour=pair)
    first, second = service.insert(
        pair.table,
        synapse([1, 2, 2], [5, 6, 2], [1, 1, 1]),
        synapse([0, 0, 0], [11, 11, 11], [1, 1, 1]),
    )
    new = service.call(
        "PUT",
        f"/{pair.table}/annotations",
        {"annotations": [{"id": first, "pre_pt": {"position": [9, 1, 1]}}]},
    )[str(first)]
    at = pair.voxels
    expected = {
        first: (at[1, 2, 2], at[5, 6, 2]),
        second: (0, at[11, 11, 11]),
        new: (at[9, 1, 1], at[5, 6, 2]),
    }
    assert looked_up(pair, pair.name) == looked_up(pair, other.name) == expected


def test_a_failing_lookup_fails_no_write(
    pair: Pair, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.conn.execute("UPDATE matengine.segmentation SET volume = '/nowhere/at/all'")
    pair.conn.commit()
    ids = service.insert(pair.table, synapse([1, 2, 2], [5, 6, 2], [1, 1, 1]))
    assert service.call("GET", f"/{pair.table}/count") == 1
    with monkeypatch.context() as patch:
        patch.setattr(lookups.prompt, "look_up", lambda *_: 1 / 0)
        ids += service.insert(pair.table, synapse([1, 2, 2], [5, 6, 2], [1, 1, 1]))
    assert len(set(ids)) == 2 == rows.count(pair.conn, pair.table)


def test_many_rows_are_left_to_workers(
    pair: Pair, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "MOST_ROWS", 2)
    many = [synapse([1, 2, 2], [5, 6, 2], [1, 1, 1])] * 3

    def waiting() -> int:
        row = pair.conn.execute(
            "SELECT count(*) FROM matengine.run WHERE workflow = 'ingest' AND phase = 'wait'"
        ).fetchone()
        pair.conn.rollback()
        assert row is not None
        return int(row[0])

    monkeypatch.delenv("MATENGINE_BROKER_URL", raising=False)
    service.insert(pair.table, *many)
    assert waiting() == 0  # without workers nobody would ever begin
    monkeypatch.setenv("MATENGINE_BROKER_URL", "redis://127.0.0.1:1")
    service.insert(pair.table, *many)
    service.insert(pair.table, *many)
    assert waiting() == 1  # which will see the rows of both
    assert tables.get_metadata(pair.conn, pair.table).name == pair.table
