"""The description of the interface: what it says, and whether the server does as it says."""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from asking import Api, served_story
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from matengine.api import description
from matengine.api.app import create_app
from matengine.api.materialize.arrow_out import CONTENT_TYPE as ARROW

# so many requests of each operation
CASES = int(os.environ.get("MATENGINE_OPENAPI_CASES", "3"))
# 500 is never among the documented statuses
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
SCHEMA = schemathesis.openapi.from_wsgi("/openapi/openapi.json", create_app())
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]
# what the others need must stay
KEPT = {"DELETE /annotation/api/v2/aligned_volume/{aligned_volume}/table/{table}"}


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served_story(server_url, tmp_path_factory.mktemp("volume")) as served:
        yield served


def names_of(api: Api, label: str) -> dict[str, Any]:
    """What is there, by the name of the parameter of a path."""
    datastack = api.story.pair.name
    return {
        "api_version": "v3",
        "datastack": datastack,
        "aligned_volume": api.story.conn.info.dbname,
        "version": "1",
        "table": datastack if "/segmentation/" in label else api.synapses,
        "row": 1,
        "node": 1 << 56 | 1,
        "run": 1,
        "schema_type": "synapse",
        "key": "by_id/1" if "/precomputed/" in label else "info",
    }


# files are closed by servers, but not by what calls the application here
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda found: found.label)
def test_answers_are_as_described(api: Api, operation: Any) -> None:
    there = names_of(api, operation.label)
    modes = [GenerationMode.POSITIVE]
    if operation.query or operation.body:
        modes.append(GenerationMode.NEGATIVE)

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        derandomize=CASES < 10,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(data: Any) -> None:
        case = data.draw(operation.as_strategy(data.draw(st.sampled_from(modes))))
        if operation.label not in KEPT and data.draw(st.integers(0, 3)):
            known = {name: there[name] for name in case.path_parameters or {} if name in there}
            case.path_parameters = {**(case.path_parameters or {}), **known}
        found = case.call()
        checks = [*CHECKS]
        if found.headers["content-type"] == [ARROW]:
            # CAVE's name for it is no media type by the rules, so that is compared here
            assert ARROW in operation.definition.raw["responses"]["200"]["content"]
            checks.remove(content_type_conformance)
        case.validate_response(found, checks=checks)

    ask()


def test_the_description() -> None:
    told = create_app().api_doc
    SCHEMA.validate()
    assert told["openapi"].startswith("3.1.")
    assert all(tag["description"] for tag in told["tags"])
    known = {tag["name"] for tag in told["tags"]}
    operations = [
        (f"{method} {path}", operation)
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
    ]
    ids = Counter(operation["operationId"] for _, operation in operations)
    assert max(ids.values()) == 1
    for name, operation in operations:
        assert operation["summary"], name
        assert operation["tags"], name
        assert set(operation["tags"]) <= known, name
        assert {str(code) for code in description.ERRORS} < set(operation["responses"]), name
        if "requestBody" in operation:
            assert operation["requestBody"]["description"], name
    assert len(operations) == len(OPERATIONS)


def test_each_route_is_described() -> None:
    app = create_app()
    told = app.api_doc["paths"]
    for rule in app.url_map.iter_rules():
        if rule.endpoint.partition(".")[0] in ("openapi", "swagger", "status"):
            continue
        path = "".join(f"{{{text}}}" if dynamic else text for dynamic, text in rule._trace)[1:]
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            assert method.lower() in told[path], rule
