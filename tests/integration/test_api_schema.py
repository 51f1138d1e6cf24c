"""The schema service."""

from typing import Any

from matengine.api.app import create_app
from matengine.engine import schemas

CLIENT = create_app(services=["schema"]).test_client()


def ask(path: str, method: str = "GET", status: int = 200) -> Any:
    answer = CLIENT.open(f"/schema{path}", method=method)
    assert answer.status_code == status
    assert answer.content_type == "application/json"
    return answer.json


def test_every_schema_by_every_way() -> None:
    assert 2 in ask("/versions")
    names = ask("/api/v2/type")
    assert names == ask("/type") == schemas.names()
    every = ask("/api/v2/types_all")
    assert list(every) == names
    for name in names:
        assert every[name] == schemas.json_schema(schemas.get(name))
    assert ask("/api/v2/type/synapse") == ask("/type/synapse") == every["synapse"]
    some = {name: every[name] for name in ("synapse", "bound_tag")}
    for method in ("GET", "POST"):
        assert ask("/api/v2/types?schema_names=synapse,%20bound_tag,", method) == some


def test_schemas_that_are_not() -> None:
    assert ask("/api/v2/type/synapses", status=404)["hint"] == "Did you mean 'synapse'?"
    ask("/api/v2/types?schema_names=synapse,nothing", "POST", 404)
    ask("/api/v2/types", "POST", 400)
