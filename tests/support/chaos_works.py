"""The processes of a chaos run: started again whenever they are dead, and killed at random."""

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from matengine import settings
from matengine.box.postgres import PrivatePostgres
from matengine.box.process import Command, tail
from matengine.box.programs import QUEUES, Program
from matengine.box.redis import PrivateRedis
from matengine.box.service import Service
from matengine.errors import Unavailable
from matengine.settings import Settings

HERE = Path(__file__).parent
KINDS = ("postgres", "backend", "redis", "worker", "pool process", "scheduler", "writer")
# how long a dead process is left dead, at most
LONGEST_GAP_S = 1.0
CELERY = ("-m", "celery", "--app", "brisk_app")


class Part(Program):
    """A Python process of the run: a worker, the scheduler, a writer or a reader."""

    death_signal = signal.SIGKILL

    def __init__(
        self, kind: str, number: int, folder: Path, words: Callable[[int], Command]
    ) -> None:
        self.kind, self.name = kind, f"{kind} {number}"
        self.starts = 0
        self._number, self._words = number, words
        super().__init__(folder, folder / f"{kind}.log", settings.load)

    def arguments(self) -> Command:
        self.starts += 1
        return self._words(self._number + 100 * self.starts)

    def ready(self) -> bool:
        return self.running


@dataclass
class Works:
    """PostgreSQL and Redis as a box has them, workers, scheduler, writers and readers.

    All are started by `tend`, on the main thread: a child dies with the thread that started it.
    `ended` are the clients that ended by themselves, with their last words.
    """

    folder: Path
    dice: random.Random
    ended: list[str] = field(default_factory=list)
    _due: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.postgres = PrivatePostgres(self.folder / "postgres")
        self.redis = PrivateRedis(self.folder / "redis")
        self.servers: list[Service] = [self.postgres, self.redis]
        self.parts: list[Part] = []

    def start_servers(self) -> None:
        for server in self.servers:
            server.start()
        self._tell()

    def _tell(self) -> None:
        settings.use(Settings(self.postgres.url, self.redis.url))

    def add_workers(self) -> None:
        """Two workers of one process each, and what sends the sweeps."""
        common = ("--queues", QUEUES, "--concurrency=1", "--without-gossip", "--without-mingle")
        for number in (1, 2):
            host = f"--hostname=worker{number}@chaos"
            words = (*CELERY, "worker", host, "--loglevel=INFO", *common)
            self._add("worker", number, lambda start, words=words: words)
        schedule = str(self.folder / "schedule")
        self._add("scheduler", 1, lambda start: (*CELERY, "beat", "--schedule", schedule))

    def add_clients(self, writers: int = 2, readers: int = 1) -> None:
        """Each start of a client has a number of its own, so a ledger of its own."""
        for kind, what, count in (("writer", "write", writers), ("reader", "read", readers)):
            for number in range(1, count + 1):
                program = (str(HERE / "chaos_clients.py"), what, str(self.folder))
                self._add(kind, number, lambda start, program=program: (*program, str(start)))

    def _add(self, kind: str, number: int, words: Callable[[int], Command]) -> None:
        self.parts.append(Part(kind, number, self.folder, words))

    def tend(self) -> None:
        """Bury the dead, and start again those whose time has come."""
        for service in (*self.servers, *self.parts):
            if service.running:
                continue
            now = time.monotonic()
            with self.lock:
                if service.process is not None:
                    self._note(service, service.bury())
                    self._due[service.name] = now + self.dice.uniform(0, LONGEST_GAP_S)
                if now >= self._due.get(service.name, now):
                    self._launch(service)

    def _launch(self, service: Service) -> None:
        with suppress(Unavailable):  # its predecessor is still dying: the next time, then
            service.launch()
        if Settings(self.postgres.url, self.redis.url) != settings.load():
            # something took the port meanwhile, so the server has another one
            self._tell()
            for part in self.parts:
                part.stop()

    def _note(self, service: Service, code: int) -> None:
        client = isinstance(service, Part) and service.kind in ("writer", "reader")
        if client and code != -signal.SIGKILL:
            self.ended.append(f"{service.name} ended with {code}: {tail(service.log)}")

    def stop(self, *kinds: str) -> None:
        """End all parts of these kinds, or of all; with all, the servers too."""
        for part in [p for p in self.parts if not kinds or p.kind in kinds]:
            if part.process is not None:
                part.process.kill()
                part.bury()
            self.parts.remove(part)
        if not kinds:
            for server in reversed(self.servers):
                server.stop()

    def victim(self, kind: str, dice: random.Random) -> int | None:
        """A process of this kind to kill, where one is there."""
        parts = [p.process.pid for p in self.parts if p.process is not None and p.kind == kind]
        children = {"backend": [self.postgres.process], "pool process": self._of("worker")}
        if kind in ("postgres", "redis"):
            process = (self.postgres if kind == "postgres" else self.redis).process
            parts = [process.pid] if process is not None else []
        elif kind in children:
            parents = [process.pid for process in children[kind] if process is not None]
            parts = [c for parent in parents for c in _children(parent, kind)]
        return dice.choice(parts) if parts else None

    def _of(self, kind: str) -> list:
        return [part.process for part in self.parts if part.kind == kind]


def _children(parent: int, kind: str) -> list[int]:
    """Child processes; of PostgreSQL only those that serve a client."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            words = (entry / "cmdline").read_bytes()
            if int(fields[1]) == parent and (kind != "backend" or b"127.0.0.1" in words):
                found.append(pid)
    return found


class Killer(threading.Thread):
    """SIGKILL to one process after the other, each kind as often as every other.

    every_s: the mean time between two. most: where it is not 0, waiting for the next one begins in
    a run, as `running` tells, and it ends when so many of each kind have hit one.
    """

    def __init__(
        self, works: Works, seed: int, every_s: float, most: int, running: Callable[[], bool]
    ) -> None:
        super().__init__(daemon=True)
        self.kills: Counter[str] = Counter()
        self.during: Counter[str] = Counter()
        self._works, self._dice, self._every_s = works, random.Random(seed), every_s
        self._most, self._running = most, running
        self._stopped = threading.Event()

    def run(self) -> None:
        while wanted := [k for k in KINDS if not self._most or self.during[k] < self._most]:
            for kind in self._dice.sample(wanted, len(wanted)):
                while self._most and not self._running() and not self._stopped.wait(0.01):
                    pass
                if self._stopped.wait(self._dice.expovariate(1 / self._every_s)):
                    return
                while not self._kill(kind):
                    if self._stopped.wait(0.05):
                        return

    def _kill(self, kind: str) -> bool:
        with self._works.lock:
            pid = self._works.victim(kind, self._dice)
            if pid is None:
                return False
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return False
        self.kills[kind] += 1
        self.during[kind] += self._running()
        return True

    def stop(self) -> None:
        self._stopped.set()
        if self.is_alive():
            self.join()


def prepare_environment(seed: int, pause_s: float, block: int, *, paced: bool = False) -> None:
    """What the processes are told beside where the servers are."""
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")])
    )
    os.environ |= {"CHAOS_SEED": str(seed), "CHAOS_PAUSE_S": str(pause_s)}
    os.environ["BRISK_BLOCK"] = str(block)
    os.environ["MATENGINE_PACE"] = "least=1s most=1s" if paced else "off"
    sys.path[:0] = [str(HERE)]
