"""Several processes of one HTTP server: each knows what another has changed, none is missed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from story import Story, story

from matengine import settings, times
from matengine.box.endpoint import LOOPBACK, free_port
from matengine.box.process import wait_until
from matengine.box.programs import Server
from matengine.errors import Invalid
from matengine.settings import Settings

PROCESSES = 2
PATIENCE_S = 60


@dataclass
class Serving:
    """The story behind a server of two processes."""

    story: Story
    url: str
    master: int

    def pids(self) -> list[int]:
        """The processes that answer."""
        task = Path(f"/proc/{self.master}/task/{self.master}/children")
        return [int(pid) for pid in task.read_text().split()]

    @contextmanager
    def only(self, number: int) -> Iterator[None]:
        """Have one process answer all that is asked meanwhile."""
        others = [pid for place, pid in enumerate(self.pids()) if place != number]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)

    def call(self, method: str, path: str, body: Any = None, code: int = 200) -> Any:
        """On a connection of its own."""
        found = requests.request(method, f"{self.url}/{path}", json=body, timeout=PATIENCE_S)
        assert found.status_code == code, found.text
        return found.json()

    def view(self, method: str, body: Any = None, code: int = 200) -> Any:
        rest = f"materialize/api/v3/datastack/{self.story.pair.name}"
        where = "views/theirs" if method != "POST" else "version/2/views/theirs/query"
        return self.call(method, f"{rest}/{where}?return_pyarrow=false", body, code)

    def live(self) -> list[dict[str, Any]]:
        """The synapses as they are now."""
        path = f"materialize/api/v3/datastack/{self.story.pair.name}/query?return_pyarrow=false"
        body = {"table": self.story.pair.table, "timestamp": times.now().isoformat()}
        found = self.call("POST", path, body)
        assert isinstance(found, list)
        return found

    def insert(self, x: int) -> int:
        pair = self.story.pair
        where = f"aligned_volume/{pair.conn.info.dbname}/table/{pair.table}/annotations"
        points = {f"{name}_pt": {"position": [x, 1, 1]} for name in ("pre", "post", "ctr")}
        (number,) = self.call("POST", f"annotation/api/v2/{where}", {"annotations": [points]})
        assert isinstance(number, int)
        return number

    def merge(self, a: int, b: int) -> None:
        path = f"segmentation/api/v1/table/{self.story.pair.name}/merge?priority=False"
        self.call("POST", path, [[a, 0, 0, 0], [b, 0, 0, 0]])


@pytest.fixture(scope="module")
def serving(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("serving")
    with pytest.MonkeyPatch.context() as patch, story(server_url, folder / "volume") as told:
        patch.setenv("MATENGINE_SERVER_PROCESSES", str(PROCESSES))
        told.conn.commit()
        server = Server(
            folder / "server", folder / "log", lambda: Settings(server_url), LOOPBACK, free_port()
        )
        server.start()
        try:
            assert server.process is not None
            found = Serving(told, server.url, server.process.pid)
            assert wait_until(lambda: len(found.pids()) == PROCESSES, PATIENCE_S)
            yield found
        finally:
            server.stop()


def test_what_one_process_changes_the_other_shows(serving: Serving) -> None:
    views = {
        column: {
            "definition": {
                "table": serving.story.pair.table,
                "columns": [{"name": "a", "column": column}],
            }
        }
        for column in ("id", "size")
    }
    for here, there in ((0, 1), (1, 0)):
        for column, body in views.items():
            with serving.only(here):
                serving.view("PUT", body, 201)
            with serving.only(there):  # asked twice, it is remembered
                found = [serving.view("POST") for _ in range(2)]
            with serving.only(here):
                assert [row["a"] for row in serving.view("POST")] == [r["a"] for r in found[1]]
                serving.view("DELETE")
            assert found[0] == found[1]
            assert found[0][0] == {"a": {"id": 1, "size": 1.5}[column]}
            with serving.only(there):
                serving.view("POST", code=404)


def test_what_one_process_writes_the_other_shows_live(serving: Serving) -> None:
    for here, there in ((0, 1), (1, 0)):
        with serving.only(there):
            before = [serving.live() for _ in range(2)][-1]
        whole = {row["pre_pt_root_id"]: row["pre_pt_supervoxel_id"] for row in before}
        (first, one), (second, other) = sorted(whole.items() - {(0, 0)})[:2]
        with serving.only(here):
            number = serving.insert(7 + here)
            serving.merge(one, other)
        with serving.only(there):
            after = serving.live()
        assert [row["id"] for row in after] == [*(row["id"] for row in before), number]
        roots = {row["pre_pt_root_id"] for row in after}
        assert roots.isdisjoint({first, second})
        by_id = {row["id"]: row for row in after}
        assert all(
            (by_id[row["id"]]["pre_pt_root_id"] == row["pre_pt_root_id"])
            == (row["pre_pt_root_id"] not in (first, second))
            for row in before
        )


def test_a_killed_process_is_missed_by_nobody_else(serving: Serving) -> None:
    for victim in serving.pids():
        os.kill(victim, signal.SIGKILL)
        assert serving.live()
        assert wait_until(
            lambda gone=victim: len(serving.pids()) == PROCESSES and gone not in serving.pids(),
            PATIENCE_S,
        )
    for number in range(PROCESSES):
        with serving.only(number):
            assert serving.live()


def test_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "MATENGINE_SERVER_PROCESSES"
    for cores, processes in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        for text in ("", " "):
            monkeypatch.setenv(name, text)
            assert settings.server_processes() == processes
    monkeypatch.setenv(name, " 7 ")
    assert settings.server_processes() == 7
    for wrong in ("0", "-1", "two", "1.5", "²"):
        monkeypatch.setenv(name, wrong)
        with pytest.raises(Invalid, match=rf"{name} cannot be '{wrong}'"):
            settings.server_processes()
