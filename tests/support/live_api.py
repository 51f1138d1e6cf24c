"""The changing world served by the application: how to ask it of a time, and what is right."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from live_world import LiveWorld, Rows, live_world
from werkzeug.test import TestResponse

from matengine.api.app import create_app
from matengine.segmentation.chunkedgraph.client import HttpGraph
from matengine.storage import pools


@dataclass
class LiveApi:
    world: LiveWorld
    client: FlaskClient

    @property
    def table(self) -> str:
        return self.world.synapses

    @property
    def times(self) -> list[datetime]:
        """Before, between and after versions."""
        return [self.world.early, self.world.between, self.world.now]

    def post(
        self, at: datetime | str, table: str = "", code: int = 200, stack: str = "", **given: Any
    ) -> TestResponse:
        """Keys of the body are given as they are, arguments of the address in `arguments`."""
        when = at if isinstance(at, str) else at.isoformat()
        arguments = {"return_pyarrow": "false"} | given.pop("arguments", {})
        found = self.client.post(
            f"/materialize/api/v3/datastack/{stack or self.world.pair.name}/query",
            json={"table": table or self.table, "timestamp": when} | given,
            query_string=arguments,
        )
        assert found.status_code == code, found.text
        return found

    def rows(self, at: datetime | str, table: str = "", **given: Any) -> Rows:
        found = self.post(at, table, **given).json
        assert isinstance(found, list)
        return found

    def truth(self, at: datetime, table: str = "") -> Rows:
        return self.world.truth(table or self.table, at)


@contextmanager
def live_api(server_url: str, folder: Path) -> Iterator[LiveApi]:
    """The world, served; `folder` takes the volume of supervoxels."""
    with pytest.MonkeyPatch.context() as patch, live_world(server_url, folder) as world:
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        yield LiveApi(world, create_app().test_client())
        pools.close_all()


def ids(rows: Rows) -> list[int]:
    return [row["id"] for row in rows]


def assert_same(found: Rows, truth: Rows) -> None:
    """The same rows in the same order, with all that the truth says of them."""
    assert ids(found) == ids(truth)
    for row, true in zip(found, truth, strict=True):
        assert {name: row[name] for name in true} == true


def having(rows: Rows, column: str, *values: Any) -> Rows:
    return [row for row in rows if row[column] in values]


def root_ids(rows: Rows, column: str) -> list[int]:
    return sorted({row[column] for row in rows} - {0})


def notes_with_synapses(api: LiveApi, at: datetime) -> Rows:
    synapses = {row["id"]: row for row in api.truth(at)}
    return [
        note | {"pre_pt_root_id": synapses[note["target_id"]]["pre_pt_root_id"]}
        for note in api.truth(at, api.world.notes)
        if note["target_id"] in synapses
    ]


def synapses_on_cells(api: LiveApi, at: datetime) -> Rows:
    cells = api.truth(at, api.world.cells)
    return [
        row | {"cell_type": cell["cell_type"], "cell": cell["id"]}
        for row in api.truth(at)
        for cell in cells
        if row["post_pt_root_id"] and row["post_pt_root_id"] == cell["pt_root_id"]
    ]


def on_cells(api: LiveApi) -> dict[str, Any]:
    return {
        "join_tables": [[api.table, "post_pt_root_id", api.world.cells, "pt_root_id"]],
        "select_columns": {
            api.table: ["id", "pre_pt_root_id", "size"],
            api.world.cells: ["cell_type"],
        },
    }


class Counted:
    """A chunkedgraph, and how often it is asked."""

    def __init__(self, graph: HttpGraph) -> None:
        self.graph = graph
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        self.calls += callable(getattr(self.graph, name))
        return getattr(self.graph, name)

    def since(self, calls: int = 0, requests: int = 0) -> tuple[int, int]:
        return self.calls - calls, self.graph.requests - requests
