"""Real workers and a real scheduler on a private PostgreSQL and Redis, to be killed."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from celery import Celery
from redis import Redis

from matengine.box.accounts import remove
from matengine.box.postgres import PrivatePostgres
from matengine.box.process import kill_group, spawn
from matengine.box.programs import QUEUES
from matengine.box.redis import PrivateRedis
from matengine.settings import Settings
from matengine.storage.connections import Connection, database_url, open_connection

# no run of these tests takes long, even where two processors serve many
DEADLINE_S = 60.0


@dataclass
class Works:
    """An aligned volume's services. Workers are started and killed by the test."""

    folder: Path
    settings: Settings
    postgres: PrivatePostgres
    redis: PrivateRedis
    running: list[Popen[bytes]] = field(default_factory=list)

    def worker(self) -> Popen[bytes]:
        """A worker of two processes."""
        return self._start(
            "worker",
            "--concurrency=2",
            "--loglevel=INFO",
            "-Q",
            QUEUES,
            "--without-gossip",
            "--without-mingle",
        )

    def scheduler(self) -> Popen[bytes]:
        """What sends the sweeps."""
        return self._start("beat", "--schedule", str(self.folder / "schedule"))

    def _start(self, *words: str) -> Popen[bytes]:
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        process = spawn(
            [sys.executable, "-m", "celery", "--app", "brisk_app", *words],
            log=self.folder / f"{words[0]}.log",
            cwd=self.folder,
            death_signal=signal.SIGKILL,
            env=os.environ | environment | self.settings.environment(),
        )
        self.running.append(process)
        return process

    def kill(self, process: Popen[bytes]) -> None:
        """SIGKILL to a worker and its children."""
        kill_group(process.pid)
        process.wait()
        self.running.remove(process)

    def send(self, task: str, *arguments: object, queue: str = "orchestration") -> None:
        with Celery(broker=self.settings.broker_url) as app:
            app.send_task(f"matengine.{task}", arguments, queue=queue)

    def lose_messages(self) -> None:
        assert self.settings.broker_url
        with Redis.from_url(self.settings.broker_url) as client:
            client.flushall()

    def connect(self, aligned_volume: str) -> Connection:
        return open_connection(database_url(aligned_volume, self.settings.database_url))


@contextmanager
def works(folder: Path) -> Iterator[Works]:
    """PostgreSQL, Redis and the scheduler; all processes end with the context."""
    # a server of its own: the sweeper would work on the databases of other tests too
    postgres, redis = (
        PrivatePostgres(folder / "postgres", durable=False),
        PrivateRedis(folder / "redis"),
    )
    with postgres:
        redis.start()
        found = Works(folder, Settings(postgres.url, redis.url), postgres, redis)
        try:
            found.scheduler()
            yield found
        finally:
            for process in [*found.running]:
                found.kill(process)
            redis.stop()
            remove(redis.folder)


def until(condition: Callable[[], bool], what: str, pause_s: float = 0.01) -> None:
    """Poll until the condition holds; fails where it does not in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(pause_s)
