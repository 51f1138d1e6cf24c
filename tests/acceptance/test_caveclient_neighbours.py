"""An unmodified CAVEclient and the services beside materialization: every method of each."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from auth_server import auth_service, user
from psycopg import sql
from served import Served, run_client, served, server_process

from matengine.engine import schemas
from matengine.segmentation.volume import open_volume
from matengine.storage.names import paired

DUMMY = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def server(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), server_url) as running:
        yield running


INFO = """
i = client.info
told = {
    "datastacks": i.get_datastacks(),
    "info": i.get_datastack_info(),
    "aligned_volumes": i.get_aligned_volumes(),
    "volume": i.get_aligned_volume_info(),
    "by_id": i.get_aligned_volume_info_by_id(),
    "siblings": i.get_datastacks_by_aligned_volume(),
    "local_server": i.local_server(),
    "annotation_endpoint": i.annotation_endpoint(),
    "image_source": i.image_source(),
    "mirrors": i.get_image_mirrors(),
    "mirror_names": i.get_image_mirror_names(),
    "synapse_segmentation_source": i.synapse_segmentation_source(),
    "segmentation_source": i.segmentation_source(),
    "for_viewers": i.segmentation_source(format_for="spelunker"),
    "resolution": i.viewer_resolution(),
    "site": i.viewer_site(),
    "versions": [str(i.server_version), str(client.state.server_version)],
}
i.refresh_stored_data()

s = client.schema
told["schemas"] = s.get_schemas()
told["one"] = s.schema_definition("synapse")
told["some"] = s.schema_definition_multi(["synapse", "bound_tag"])
told["all"] = s.schema_definition_all()

n = client.state
state = {"layers": [{"segments": ["720575940379279361"]}], "position": np.arange(3), "e": 1e-3}
number = n.upload_state_json(state)
told["state"] = n.get_state_json(number)
told["by_url"] = n.get_state_json(f"{n.state_service_endpoint.removesuffix('/post')}/{number}")
told["same"] = n.upload_state_json(state, state_id=number) == number
n.save_state_json_local(state, "state.json")
told["viewer_url"] = n.build_neuroglancer_url(
    number, ngl_url="https://viewer.example", target_site="mainline"
)
told["state_number"] = number
properties = {"inline": {"ids": ["1"], "properties": []}}
told["properties"] = n.get_property_json(n.upload_property_json(properties))
told["no_viewer"] = n.get_neuroglancer_info(i.local_server())
tell(told)
"""


def test_info_schema_and_state(server: Served) -> None:
    told = run_client(server, INFO)
    assert server.datastack in told["datastacks"]
    assert server.aligned_volume in told["aligned_volumes"]
    assert told["siblings"] == [server.datastack]
    assert told["local_server"] == server.url
    assert told["annotation_endpoint"] == f"{server.url}/annotation"
    source = f"{server.url}/segmentation/table/{server.segmentation}"
    assert told["segmentation_source"] == f"graphene://{source}"
    assert told["for_viewers"] == f"graphene://middleauth+{source}"
    assert told["by_id"] == told["volume"] == told["info"]["aligned_volume"]
    assert told["volume"]["name"] == server.aligned_volume
    assert told["info"]["synapse_table"] == "synapses"
    assert told["resolution"] == [32.0, 32.0, 40.0]
    assert told["versions"] == ["4.3.3", "0.4.1"]

    assert told["schemas"] == schemas.names() == sorted(told["all"])
    assert told["one"] == told["some"]["synapse"] == schemas.json_schema(schemas.get("synapse"))
    assert set(told["some"]) == {"synapse", "bound_tag"}

    # the client itself makes texts of NumPy's integers
    expected = {"layers": [{"segments": ["720575940379279361"]}], "e": 1e-3}
    assert told["state"] == told["by_url"]
    assert {key: told["state"][key] for key in expected} == expected
    assert [int(x) for x in told["state"]["position"]] == [0, 1, 2]
    assert told["same"]
    assert told["viewer_url"].endswith(
        f"#!middleauth+{server.url}/nglstate/api/v1/{told['state_number']}"
    )
    assert told["properties"] == {"inline": {"ids": ["1"], "properties": []}}
    assert told["no_viewer"] == {}


ANNOTATION = """
import contextlib
import io
import webbrowser
import requests

a = client.annotation
told = {"before": a.get_tables()}
made = a.create_table("cells", "cell_type_local", "somata", [16.0, 16.0, 40.0], user_id=1,
                      notice_text="see the paper", write_permission="PUBLIC")
told["created"] = made.json()
a.create_table("notes", "simple_reference", "about cells", [16.0, 16.0, 40.0],
               reference_table="cells")
told["update"] = a.update_metadata("cells", description="all somata", read_permission="PUBLIC")
told["metadata"] = a.get_table_metadata("cells")

def cell(x, kind):
    return {"pt": {"position": [x, 20, 10]}, "cell_type": kind, "classification_system": "valence"}

told["posted"] = a.post_annotation("cells", [cell(20, "e"), cell(24, "i")])
told["posted"] += a.post_annotation("cells", cell(28, "e"))
df = pd.DataFrame({"pt_position": [np.array([30, 20, 10])], "cell_type": ["i"],
                   "classification_system": ["valence"], "valid": [True]})
told["posted"] += a.post_annotation_df("cells", df, ["pt_position"])
first, second, third, fourth = told["posted"]
told["updated"] = a.update_annotation("cells", cell(21, "e") | {"id": first})
df["id"] = fourth
told["updated"] |= a.update_annotation_df("cells", df, ["pt_position"])
told["deleted"] = a.delete_annotation("cells", [second])
told["rows"] = a.get_annotation("cells", [first, second, third, 999999])
told["count"] = a.get_annotation_count("cells")

stage = a.stage_annotations("cells", annotation_resolution=[32, 32, 40])
stage.add(pt_position=[15, 10, 10], cell_type="e", classification_system="valence")
told["staged"] = a.upload_staged_annotations(stage, progress=False)
again = a.stage_annotations("cells", update=True)
again.add(id=told["staged"][0], pt_position=[31, 20, 10], cell_type="i",
          classification_system="valence")
told["restaged"] = a.upload_staged_annotations(again, progress=False)
told["staged_row"] = a.get_annotation("cells", told["staged"])[0]["pt_position"]

refused = {}
for name, call in {
    "taken": lambda: a.create_table("cells", "bound_tag", "x", [1, 1, 1]),
    "form": lambda: a.post_annotation("cells", {"pt_position": [1, 2, 3]}),
    "superseded": lambda: a.update_annotation("cells", cell(21, "e") | {"id": first}),
    "target": lambda: a.post_annotation("notes", {"target_id": 999999}),
}.items():
    try:
        call()
    except requests.HTTPError as error:
        refused[name] = error.response.status_code
told["refused"] = refused
told["dropped"] = a.delete_table("notes")
told["after"] = a.get_tables()

u = client.auth
told["users"] = [t["id"] for t in u.get_user_information([1, 2])]
told["group"] = u.get_group_users(3)
told["token"] = u.get_tokens()[0]["token"]
webbrowser.open = lambda url: True
told["page"] = requests.get(u.get_token_page(open=False)).text
with contextlib.redirect_stdout(io.StringIO()):
    u.setup_token(make_new=False, open=False)
    u.get_new_token(open=False, no_text=True)
u.save_token(token=told["token"], overwrite=True)
u.get_token("token")
told["read_back"] = u.token
tell(told)
"""


def test_annotation_and_auth(server: Served) -> None:
    told = run_client(server, ANNOTATION, token=DUMMY)
    assert told["before"] == ["cell_types", "nuclei", "synapses"]
    assert told["created"] == "cells"
    assert told["update"]["description"] == told["metadata"]["description"] == "all somata"
    assert told["metadata"]["voxel_resolution"] == [16.0, 16.0, 40.0]
    assert told["metadata"]["user_id"] == "1"

    first, second, third, fourth = told["posted"]
    updated = {int(old): new for old, new in told["updated"].items()}
    assert set(updated) == {first, fourth}
    assert told["deleted"] == [second]
    assert [row["id"] for row in told["rows"]] == [first, second, third]
    assert [row["valid"] for row in told["rows"]] == [False, False, True]
    assert told["rows"][0]["superceded_id"] == updated[first]
    assert told["rows"][2] | {"pt_position": [28, 20, 10], "deleted": "None"} == told["rows"][2]
    assert told["count"] == 3
    (staged,) = told["staged"]
    assert told["staged_row"] == [30, 20, 10]  # told in voxels of another size
    (restaged,) = told["restaged"].values()
    assert told["refused"] == {"taken": 409, "form": 422, "superseded": 409, "target": 422}
    assert told["dropped"] is True
    assert told["after"] == ["cell_types", "cells", "nuclei", "synapses"]
    assert (told["users"], told["group"]) == ([1], [])
    assert told["token"] == told["read_back"] == DUMMY
    assert DUMMY in told["page"]

    # every row was looked up as it came
    places = {first: 20, second: 24, third: 28, fourth: 30, updated[first]: 21}
    places |= {updated[fourth]: 30, staged: 30, restaged: 31}
    volume = open_volume(server.dataset / "segmentation")
    points = np.array([[x, 20, 10] for x in places.values()], float)
    found = volume.supervoxels(points, voxel_resolution_nm=(16, 16, 40))
    with server.connect() as conn:
        kept = sql.Identifier("staging", paired("cells", server.segmentation))
        assert dict(conn.execute(sql.SQL("SELECT * FROM {}").format(kept)).fetchall()) == dict(
            zip(places, found.tolist(), strict=True)
        )


LOGINS = """
import requests
from caveclient import CAVEclient

told = {}
for name, token in TOKENS.items():
    try:
        client = CAVEclient(DATASTACK, server_address=URL, auth_token=token)
        told[name] = [client.annotation.get_tables()]
        client.annotation.create_table(f"of_{name}", "bound_tag", "x", [1, 1, 1])
        told[name].append(client.annotation.get_table_metadata(f"of_{name}")["user_id"])
    except requests.HTTPError as error:
        told.setdefault(name, []).append(error.response.status_code)
tell(told)
"""


def test_logins(server: Served) -> None:
    tokens = {"editor": "a" * 32, "viewer": "b" * 32, "unknown": "c" * 32}
    users: dict[str, Any] = {
        tokens["editor"]: user(21, brain=["view", "edit"]),
        tokens["viewer"]: user(22, brain=["view"]),
    }
    with auth_service(users) as service:
        service.datasets[server.datastack] = "brain"
        with server_process({"MATENGINE_AUTH_URL": service.url}) as url:
            guarded = replace(server, url=url)
            names = f"TOKENS = {tokens | {'none': None}}\nDATASTACK = {server.datastack!r}\n"
            code = f"{names}URL = {url!r}\n{LOGINS}"
            told = run_client(guarded, code, construct=False)
    tables = told["editor"][0]
    assert "synapses" in tables
    assert told["editor"][1] == "21"
    assert told["viewer"] == [[*sorted([*tables, "of_editor"])], 403]
    assert told["unknown"] == told["none"] == [401]


# what needs cloud-volume, and what asks nobody
NOT_CALLED = {"image_cloudvolume", "segmentation_cloudvolume", "process_position_columns"}
MODULES = ("annotationengine", "auth", "emannotationschemas", "infoservice", "jsonservice")


def test_every_method_is_called() -> None:
    folder = Path(str(distribution("caveclient").locate_file("caveclient")))
    called = set(re.findall(r"\.(\w+)", INFO + ANNOTATION))
    for module in MODULES:
        tree = ast.parse((folder / f"{module}.py").read_text())
        methods = {
            function.name
            for kind in tree.body
            if isinstance(kind, ast.ClassDef)
            for function in kind.body
            if isinstance(function, ast.FunctionDef)
            # properties are no calls
            and not function.name.startswith("_")
            and not any("property" in ast.dump(d) or "setter" in ast.dump(d) for d in
                        function.decorator_list)
        }  # fmt: skip
        assert len(methods) > 3
        assert methods - NOT_CALLED - called == set(), module
