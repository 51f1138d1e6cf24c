"""The info service, and what is told of a datastack."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from small_world import Pair, write_volume

from matengine.api.app import create_app
from matengine.cli.app import main
from matengine.engine import info
from matengine.errors import Invalid, NotFound
from matengine.storage import pools
from matengine.storage.connections import Connection

ROOT = "/info/api/v2"


@dataclass(frozen=True)
class Service:
    """The info service beside one datastack."""

    client: FlaskClient
    pair: Pair

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        answer = self.client.get(f"{ROOT}/{path}", headers=headers)
        assert answer.status_code == status, answer.data
        return answer.json


@pytest.fixture
def service(conn: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("MATENGINE_AUTH", "off")
    pair = Pair(conn, write_volume(tmp_path))
    yield Service(create_app(hosts=["lab.example"]).test_client(), pair)
    pools.close_all()


def test_records(service: Service) -> None:
    name, volume = service.pair.name, service.pair.conn.info.dbname
    assert name in service.get("datastacks")
    told = service.get(f"datastack/full/{name}", Host="lab.example:81")
    assert told == service.get(f"datastack/{name}", Host="lab.example:81")
    assert told["local_server"] == "http://lab.example:81"
    source = f"graphene://http://lab.example:81/segmentation/table/{name}"
    assert told["segmentation_source"] == source
    assert [told[f"viewer_resolution_{axis}"] for axis in "xyz"] == [1.0, 1.0, 1.0]
    assert told["synapse_table"] is None
    assert service.get(f"datastack/full/{name}")["local_server"] == "http://localhost"

    aligned = told["aligned_volume"]
    assert (aligned["name"], aligned["image_source"]) == (volume, None)
    assert volume in service.get("aligned_volume")
    assert service.get(f"aligned_volume/{volume}") == aligned
    assert service.get(f"aligned_volume/id/{aligned['id']}") == aligned
    assert service.get(f"aligned_volume/{volume}/datastacks") == [name]
    assert service.get(f"datastack/{name}/image_sources") == []
    assert "Did you mean" in service.get(f"datastack/full/{name}x", 404)["hint"]
    service.get("aligned_volume/nothing_av", 404)
    service.get("aligned_volume/id/1", 404)


def test_a_chunkedgraph_elsewhere(service: Service) -> None:
    with service.pair.conn as conn:
        conn.execute("UPDATE matengine.segmentation SET graph = 'https://graph.example/'")
    told = Service(service.client, service.pair).get(f"datastack/full/{service.pair.name}")
    source = f"graphene://https://graph.example/segmentation/table/{service.pair.name}"
    assert told["segmentation_source"] == source


def test_what_is_told_can_be_changed(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    name, path = service.pair.name, f"{ROOT}/datastack/{service.pair.name}"
    images = {"em": "precomputed://gs://b/em", "clahe": "precomputed://https://h/em"}
    change = {
        "image_sources": images,
        "soma_table": service.pair.table,
        "viewer_resolution_nm": [4, 4, 40],
        "viewer_site": "https://viewer.example",
        "display_name": "Brain",
    }
    answer: Any = service.client.put(path, data=json.dumps(change)).json
    assert answer == service.get(f"datastack/full/{name}")
    assert (answer["soma_table"], answer["viewer_resolution_z"]) == (service.pair.table, 40.0)
    assert answer["aligned_volume"]["image_source"] == images["em"]
    assert answer["aligned_volume"]["display_name"] == "Brain"
    sources = service.get(f"datastack/{name}/image_sources")
    assert [(s["name"], s["image_source"]) for s in sources] == list(images.items())
    other = service.get(f"datastack/full/{name}?image_source_name=clahe")["aligned_volume"]
    assert other["image_source"] == images["clahe"]
    service.get(f"datastack/full/{name}?image_source_name=none", 404)

    # and from the command line
    words = ["info", "--datastack", name]
    assert main([*words, "soma_table=", "viewer_resolution_nm=8,8,40"]) == 0
    assert main([*words, "--image", "em=precomputed://gs://b/new", "--json"]) == 0
    shown = json.loads("{" + capsys.readouterr().out.partition("{")[2])
    assert shown["image_sources"] == {"em": "precomputed://gs://b/new"}
    assert shown["soma_table"] is None
    assert service.get(f"datastack/full/{name}")["viewer_resolution_x"] == 8.0
    assert main([*words, "soma_tabel=x"]) == 1
    assert "Did you mean 'soma_table'" in capsys.readouterr().err


def test_what_cannot_be_told(service: Service) -> None:
    conn, name = service.pair.conn, service.pair.name
    bad: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"synapse_tabel": "x"}, Invalid),
        ({"synapse_table": "nothing"}, NotFound),
        ({"synapse_table": 7}, Invalid),
        ({"viewer_resolution_nm": [4, 4]}, Invalid),
        ({"viewer_resolution_nm": [4, 4, 0]}, Invalid),
        ({"viewer_resolution_nm": [4, 4, True]}, Invalid),
        ({"viewer_site": "viewer.example"}, Invalid),
        ({"image_sources": ["gs://b"]}, Invalid),
        ({"image_sources": {"em": "b"}}, Invalid),
        ({"display_name": " "}, Invalid),
    ]
    before = info.get(conn, name)
    for change, kind in bad:
        with pytest.raises(kind):
            info.change(conn, name, change)
    assert info.get(conn, name) == before
    with pytest.raises(NotFound):
        info.get(conn, "nothing")
    for body in ("[]", "no json"):
        answer = service.client.put(f"{ROOT}/datastack/{name}", data=body)
        assert answer.status_code == 400
