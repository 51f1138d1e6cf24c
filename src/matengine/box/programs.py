"""Our own processes of a box: worker, scheduler and HTTP server."""

import os
import signal
import sys
import urllib.error
import urllib.request
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path

from celery import Celery
from kombu.exceptions import KombuError
from redis import RedisError

from matengine.box.process import Command, spawn
from matengine.box.service import Service
from matengine.settings import Settings

CELERY = ("-m", "celery", "--app", "matengine.workflows.app")
SERVING = "python:matengine.api.serving"
WORKER_NODE = "worker@box"
QUEUES = "orchestration,lookup,bulk,export"
WORKER_PROCESSES = 2
MEMORY_FOLDER = Path("/dev/shm")
PROBE_PATIENCE_S = 2.0


class Program(Service):
    """A Python process of ours that reads its settings from the environment."""

    death_signal = signal.SIGTERM

    def __init__(self, folder: Path, log: Path, settings: Callable[[], Settings]) -> None:
        self.folder = folder
        self.log = log
        self.settings = settings

    @abstractmethod
    def arguments(self) -> Command:
        """What follows `python` on the command line."""

    def launch(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = spawn(
            # -P: the data folder, where it runs, is no place to import from
            [sys.executable, "-P", *self.arguments()],
            log=self.log,
            cwd=self.folder,
            death_signal=self.death_signal,
            env=os.environ | self.settings().environment(),
        )


class Worker(Program):
    """Celery worker: SIGTERM lets running tasks end, SIGQUIT gives them back to the broker."""

    name = "worker"
    stop_steps = ((signal.SIGTERM, 10), (signal.SIGQUIT, 5))
    death_signal = signal.SIGQUIT

    def arguments(self) -> Command:
        return [
            *(*CELERY, "worker", "--hostname", WORKER_NODE, "--loglevel", "INFO"),
            *("--concurrency", str(WORKER_PROCESSES), "--queues", QUEUES),
            *("--without-gossip", "--without-mingle"),
        ]

    def ready(self) -> bool:
        return worker_answers(self.settings().broker_url)


class Scheduler(Program):
    """Celery beat, which remembers in the data folder what it last sent."""

    name = "scheduler"

    def arguments(self) -> Command:
        return [*CELERY, "beat", "--schedule", self._schedule, "--loglevel", "INFO"]

    def ready(self) -> bool:
        """Whether it has come as far as opening its memory."""
        return self.running and any(self.folder.glob(f"{self._schedule.name}*"))

    @property
    def _schedule(self) -> Path:
        return self.folder / "schedule"


class Server(Program):
    """gunicorn with processes of many threads, as `matengine.api.serving` says."""

    name = "server"
    stop_steps = ((signal.SIGTERM, 10), (signal.SIGINT, 5))
    death_signal = signal.SIGINT

    def __init__(
        self, folder: Path, log: Path, settings: Callable[[], Settings], host: str, port: int
    ) -> None:
        super().__init__(folder, log, settings)
        self.url = f"http://{host}:{port}"
        self._bind = f"{host}:{port}"

    def arguments(self) -> Command:
        memory = MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK | os.X_OK) else self.folder
        return [
            *("-m", "gunicorn", "--config", SERVING, "--bind", self._bind),
            *("--worker-tmp-dir", memory, "--no-control-socket"),
        ]

    def ready(self) -> bool:
        """Whether it answers over HTTP, whatever it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/health/live", timeout=PROBE_PATIENCE_S):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            return False


def worker_answers(broker_url: str | None) -> bool:
    """Whether the worker of the box answers a ping through the broker."""
    with Celery(broker=broker_url) as app:
        try:
            return bool(app.control.ping(destination=[WORKER_NODE], timeout=PROBE_PATIENCE_S))
        except (KombuError, RedisError, OSError):
            return False
