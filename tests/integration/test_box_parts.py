"""Parts of a box by themselves: programs found, back-off, supervision of made-up services."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from matengine.box import binaries, supervisor
from matengine.box.binaries import postgres_tools, redis_server
from matengine.box.process import alive, end, spawn, wait_until
from matengine.box.service import Service
from matengine.box.supervisor import LONGEST_PAUSE_S, STEADY_S, Supervisor, Trouble
from matengine.errors import Invalid, Unavailable


def test_missing_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "DEBIAN_VERSIONS", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda *words, **options: None)
    with pytest.raises(Invalid, match=r"No PostgreSQL 15 or later with PostGIS.*postgis-3"):
        postgres_tools()
    with pytest.raises(Invalid, match=r"No Redis server.*redis-server"):
        redis_server()


def test_a_cluster_of_another_version_is_not_opened_by_ours() -> None:
    major = postgres_tools().major
    assert postgres_tools(major).major == major
    with pytest.raises(Invalid, match=r"made with PostgreSQL 99.*postgresql-99-postgis-3"):
        postgres_tools(99)


def test_back_off_grows_to_a_bound_and_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    trouble = Trouble()
    pauses = []
    for _ in range(8):
        trouble.started()
        trouble.died()
        start = now
        while trouble.pausing():
            now += 0.5
        pauses.append(now - start)
    assert pauses == [0, 1, 2, 4, 8, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    trouble.started()
    now += STEADY_S + 1
    trouble.died()
    assert not trouble.pausing()


class Script(Service):
    """A Python one-liner as a service; ready when it has written its file."""

    stop_steps = ((signal.SIGTERM, 0.2),)

    def __init__(self, folder: Path, name: str, code: str) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.mark = folder / f"{name}.ready"
        self.launches = 0
        self._code = f"import pathlib, signal, sys, time\n{code}"

    def launch(self) -> None:
        self.launches += 1
        self.mark.unlink(missing_ok=True)
        self.process = spawn(
            [sys.executable, "-c", self._code, self.mark], log=self.log, cwd=self.folder
        )

    def ready(self) -> bool:
        return self.mark.exists()


WELL = "pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
STUBBORN = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {WELL}"


def test_a_service_that_cannot_start_is_tried_again_and_its_log_is_shown(tmp_path: Path) -> None:
    broken = Script(tmp_path, "broken", "sys.exit('no such luck')")
    with pytest.raises(Unavailable, match=r"broken ended while it started: no such luck.*log"):
        broken.start()
    assert broken.launches == 3
    assert not broken.running


def test_whoever_ignores_signals_is_ended_with_its_children(tmp_path: Path) -> None:
    child = "import subprocess; subprocess.Popen(['sleep', '600'])"
    stubborn = Script(tmp_path, "stubborn", f"{child}; {STUBBORN}")
    stubborn.start()
    assert stubborn.process is not None
    pid = stubborn.process.pid
    stubborn.stop()
    assert not stubborn.running
    # the kernel ends whom SIGKILL hit in its own time
    assert wait_until(lambda: not _alive_of(pid), 60)


def test_stages_start_in_order_and_a_signal_stops_the_start(tmp_path: Path) -> None:
    first, second = Script(tmp_path, "first", WELL), Script(tmp_path, "second", WELL)
    watch = Supervisor([[first], [second]])
    watch.start()
    assert first.ready()
    assert second.ready()
    watch.stop()
    assert not first.running
    assert not second.running
    watch.stopping = True
    watch.start()
    assert (first.launches, second.launches) == (1, 1)


def test_who_was_told_something_old_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving, told = Script(tmp_path, "moving", WELL), Script(tmp_path, "told", WELL)
    stale: list[Service] = []
    watch = Supervisor([[moving], [told]], lambda: [stale.pop()] if stale else [])
    watch.start()
    ticks = iter(range(4))
    monkeypatch.setattr(supervisor, "TICK_S", 0)

    def sleep(seconds: float) -> None:
        watch.stopping = next(ticks, None) is None

    assert moving.process is not None
    end(moving.process, 0)
    stale.append(told)
    monkeypatch.setattr(supervisor.time, "sleep", sleep)
    watch.watch()
    monkeypatch.undo()
    assert (moving.launches, told.launches) == (2, 2)
    watch.stop()


def _alive_of(group: int) -> list[int]:
    """The living processes of a process group."""
    entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [int(e.name) for e in entries if _group(e) == group and alive(int(e.name))]


def _group(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[2])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def test_supervisor_leaves_alone_what_it_did_not_start() -> None:
    """A program that runs a supervisor may have children of its own."""
    child = subprocess.Popen(["sleep", "60"])
    try:
        Supervisor([]).stop()
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()
