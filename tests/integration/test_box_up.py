"""A whole box, `matengine up`: it starts, survives the death of any child, and ends cleanly."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from matengine.box.box import attach
from matengine.box.endpoint import free_port
from matengine.box.process import alive, wait_until
from matengine.box.programs import WORKER_PROCESSES, worker_answers
from matengine.settings import Settings, server_processes

PATIENCE_S = 45
CHILDREN = {
    "postgres": "/postgres -D",
    "redis": "redis-server",
    "worker": "workflows.app worker",
    "scheduler": "workflows.app beat",
    "server": "gunicorn",
}


def children(parent: int) -> dict[int, str]:
    """The direct children of a process, with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, ppid = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(ppid) == parent and state != "Z":
                found[int(entry.name)] = command
    return found


@dataclass
class Up:
    """A running `matengine up`."""

    folder: Path
    port: int
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, folder: Path, port: int) -> "Up":
        command = [Path(sys.executable).with_name("matengine"), "up"]
        process = subprocess.Popen(
            [*command, "--data", str(folder), "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            assert process.stderr is not None
            error = process.stderr.read()
            process.communicate()
            raise AssertionError(error)
        assert line == f"ready http://127.0.0.1:{port}\n"
        return cls(folder, port, process)

    def pids(self) -> dict[str, int]:
        """The children by name."""
        return {
            name: pid
            for pid, command in children(self.process.pid).items()
            for name, mark in CHILDREN.items()
            if mark in command
        }

    def settings(self) -> Settings:
        with attach(self.folder) as box:
            assert box.url == f"http://127.0.0.1:{self.port}"
            return box.settings

    def works(self) -> bool:
        """Whether all children are there and answer."""
        settings = self.settings()
        try:
            psycopg.connect(settings.database_url, connect_timeout=2).close()
            url = f"http://127.0.0.1:{self.port}/health/ready"
            with urllib.request.urlopen(url, timeout=2) as answer:
                ready = answer.status == 200
        except (psycopg.OperationalError, OSError):
            return False
        everyone = self.pids().keys() == CHILDREN.keys()
        return everyone and ready and worker_answers(settings.broker_url)

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; returns the exit code and what else was said on stdout."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, output


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="matengine-test-"))
    path.chmod(0o755)
    yield path / "box"
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def box(folder: Path) -> Iterator[Up]:
    up = Up.start(folder, free_port())
    yield up
    up.process.terminate()
    up.process.communicate()


@pytest.mark.parametrize("name", CHILDREN)
def test_any_child_that_is_killed_comes_back(box: Up, name: str) -> None:
    assert wait_until(box.works, PATIENCE_S)
    before = box.pids()
    os.kill(before[name], signal.SIGKILL)
    assert wait_until(lambda: box.pids().get(name, before[name]) != before[name], PATIENCE_S)
    assert wait_until(box.works, PATIENCE_S)


@pytest.mark.parametrize("name", ["worker", "server"])
def test_a_killed_grandchild_is_replaced(box: Up, name: str) -> None:
    assert wait_until(box.works, PATIENCE_S)
    parent = box.pids()[name]
    before = children(parent).keys()
    victim = max(before)
    os.kill(victim, signal.SIGKILL)

    def replaced() -> bool:
        now = children(parent).keys()
        return victim not in now and len(now) == len(before)

    assert wait_until(replaced, PATIENCE_S)
    assert len(before) == (WORKER_PROCESSES if name == "worker" else server_processes())
    assert wait_until(box.works, PATIENCE_S)
    assert box.pids()[name] == parent


def test_a_second_up_says_that_the_box_is_up(box: Up) -> None:
    with pytest.raises(AssertionError, match=f"already up at http://127.0.0.1:{box.port}"):
        Up.start(box.folder, free_port())
    assert box.works()


def test_a_taken_port_is_said(box: Up) -> None:
    with pytest.raises(AssertionError, match=f"Port {box.port} is taken.*--port"):
        Up.start(box.folder.with_name("second"), box.port)


def test_a_killed_supervisor_takes_all_along_and_the_next_up_recovers(box: Up) -> None:
    with psycopg.connect(box.settings().database_url) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 1 AS value")
    pids = box.pids()
    box.process.kill()
    os.kill(pids["postgres"], signal.SIGKILL)
    box.process.communicate()
    box.process = Up.start(box.folder, box.port).process
    assert not any(alive(pid) for pid in pids.values())
    with psycopg.connect(box.settings().database_url) as conn:
        assert conn.execute("SELECT value FROM kept").fetchall() == [(1,)]


def test_a_signal_ends_everything(box: Up) -> None:
    pids = box.pids()
    assert pids.keys() == CHILDREN.keys()
    family = [*pids.values(), *(g for pid in pids.values() for g in children(pid))]
    assert box.end(signal.SIGTERM) == (0, "")
    assert not any(alive(pid) for pid in family)
