"""A live query asks a chunkedgraph far away few times, whatever it asks and however much changed.

The server is ours, as another process, with 20 ms of latency; it counts the requests itself.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from live_world import LiveWorld, live_world
from served import server_process

from matengine.api.app import create_app
from matengine.engine import datastacks
from matengine.engine.query.live import overlay
from matengine.segmentation.chunkedgraph.client import HttpGraph
from matengine.storage import pools

SUPPORT = Path(__file__).resolve().parents[1] / "support"
# requests a table for a moment that nobody has asked about, and for one that somebody has; a
# chunkedgraph is asked more about times within three minutes of an edit, as its log is late
FIRST, AGAIN = 6, 2


@dataclass
class Far:
    """A world whose chunkedgraph is on a far server, which notes what it is asked in `log`."""

    world: LiveWorld
    client: FlaskClient
    log: Path

    def ask(self, at: datetime | str, code: int = 200, **body: Any) -> tuple[Any, Counter[str]]:
        """A live query; its answer, and the requests that it cost by name."""
        when = at if isinstance(at, str) else at.isoformat()
        arguments = {"return_pyarrow": "false"} | body.pop("arguments", {})
        self.log.write_text("")
        found = self.client.post(
            f"/materialize/api/v3/datastack/{self.world.pair.name}/query",
            json={"table": self.world.synapses, "timestamp": when} | body,
            query_string=arguments,
        )
        assert found.status_code == code, found.text
        return found.json, Counter(self.log.read_text().split())

    def forget(self) -> None:
        """The next query is the first of its moment."""
        overlay.sweep(self.world.pair.conn, timedelta(0))
        self.world.pair.conn.commit()


@pytest.fixture(scope="module")
def far(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    folder = tmp_path_factory.mktemp("far")
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    with (
        pytest.MonkeyPatch.context() as patch,
        live_world(server_url, folder / "volume") as world,
    ):
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        environment = {"FAR_LOG": str(folder / "log"), "PYTHONPATH": path}
        with server_process(environment, "far_app:create_app()") as url:
            patch.setattr(datastacks, "open_graph", lambda conn, s: HttpGraph(url, s.name))
            yield Far(world, create_app().test_client(), folder / "log")
        pools.close_all()


def test_a_query_asks_a_far_chunkedgraph_few_times(
    far: Far, capsys: pytest.CaptureFixture[str]
) -> None:
    world = far.world
    syn, cells, now = world.synapses, world.cells, world.now
    roots = sorted({row["pre_pt_root_id"] for row in world.truth(syn, now)} - {0})
    then = sorted({row["pre_pt_root_id"] for row in world.truth(syn, world.second)} - {0, *roots})
    of_roots = {"filter_in_dict": {syn: {"pre_pt_root_id": roots}}}
    outdated = {"filter_in_dict": {syn: {"pre_pt_root_id": then}}}
    joined = {"join_tables": [[syn, "post_pt_root_id", cells, "pt_root_id"]]}
    three = {"join_tables": [*joined["join_tables"], [world.notes, "target_id", syn, "id"]]}
    view = {
        "table": syn,
        "joins": joined["join_tables"],
        "columns": [
            {"name": "cell_type", "table": cells, "column": "cell_type"},
            {"name": "inputs", "aggregate": "count"},
        ],
    }
    address = f"/materialize/api/v3/datastack/{world.pair.name}/views/inputs"
    assert far.client.put(address, json={"definition": view}).status_code == 201
    # of each: when, how many tables have root ids, and how many requests the filter may cost
    kinds: dict[str, tuple[datetime, int, int, dict[str, Any]]] = {
        "whole table": (now, 1, 0, {}),
        "before the first version": (world.early, 1, 0, {}),
        "between versions": (world.between, 1, 0, {}),
        "at the time of a version": (world.first, 0, 0, {}),
        "count": (now, 1, 0, {"arguments": {"count": "true"}}),
        "page": (now, 1, 0, {"limit": 3, "offset": 2}),
        "filter of ids": (now, 1, 0, {"filter_in_dict": {syn: {"id": [*range(1, 40)]}}}),
        f"filter of {len(roots)} roots": (now, 1, 1, of_roots),
        f"{len(then)} roots of another time, refused": (now, 1, 3, {"code": 400, **outdated}),
        "the same, allowed": (
            now, 1, 3, {"arguments": {"allow_invalid_root_ids": "true"}, **outdated}
        ),
        "the same, translated": (
            now, 1, 3, {"arguments": {"translate_root_ids": "true"}, **outdated}
        ),
        "two tables joined": (now, 2, 0, joined),
        "three tables joined": (now, 2, 0, three),
        "view of two tables": (now, 2, 0, {"table": "inputs"}),
        "rows of now, roots of version 1": (now, 1, 0, {"segmentation": "1"}),
    }  # fmt: skip
    lines = []
    for kind, (at, tables, checks, body) in kinds.items():
        far.forget()
        started = time.perf_counter()
        answered, first = far.ask(at, **dict(body))
        wall = time.perf_counter() - started
        same, again = far.ask(at, **dict(body))
        assert same == answered
        asked = ", ".join(f"{n} {name}" for name, n in sorted(first.items())) or "none"
        lines.append(
            f"{kind}: {first.total()} requests, {again.total()} when asked again; first: {asked};"
            f" {wall * 1000:.0f} ms"
        )
        assert first.total() <= FIRST * tables + checks, lines[-1]
        assert again.total() <= AGAIN * tables + checks, lines[-1]
    with capsys.disabled():
        print("\n" + "\n".join(lines))
