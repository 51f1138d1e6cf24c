"""A box: private PostgreSQL and Redis, worker, scheduler and HTTP server in one data folder."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matengine.box.accounts import place, service_account
from matengine.box.endpoint import LOOPBACK, port_is_free
from matengine.box.folder import COMMAND, UP, BoxFolder, BoxLock, Holder
from matengine.box.postgres import PrivatePostgres
from matengine.box.process import adopt_orphans, wait_until
from matengine.box.programs import Scheduler, Server, Worker
from matengine.box.redis import PrivateRedis
from matengine.box.service import Service
from matengine.box.supervisor import Supervisor
from matengine.errors import Conflict
from matengine.settings import Settings
from matengine.storage import connections

PORT_PATIENCE_S = 5.0  # for the server of a box that was killed a moment ago


@dataclass(frozen=True)
class Attached:
    """A box that a command may use. url: of the server, where worker and server run beside it."""

    settings: Settings
    url: str | None = None

    @property
    def is_up(self) -> bool:
        return self.url is not None


class Box:
    """Everything of one data folder. port: where the HTTP server listens on loopback."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.folder = BoxFolder(data_dir.absolute())
        self.port = port
        self.postgres, self.redis = _servers(self.folder)
        self._told = Settings("")
        self.worker, self.scheduler, self.server = (
            Worker(*self._part("worker")),
            Scheduler(*self._part("scheduler")),
            Server(*self._part("server"), LOOPBACK, port),
        )
        self.programs: list[Service] = [self.worker, self.scheduler, self.server]
        self.supervisor = Supervisor(
            [[self.postgres, self.redis], self.programs], self._moved, self._update
        )

    def up(self) -> None:
        """Start everything, say so in one line on stdout, and keep it running until a signal.

        Raises Conflict where the box is up already or the port is taken, Unavailable where a part
        does not start.
        """
        self.supervisor.listen()
        lock = BoxLock(self.folder)
        if lock.take(UP, self._stop_waiting):
            return
        try:
            adopt_orphans()
            if not wait_until(lambda: port_is_free(self.port), PORT_PATIENCE_S):
                raise Conflict(
                    f"Port {self.port} is taken by another program.",
                    "Choose another one with --port.",
                )
            _prepare(self.folder)
            self.supervisor.start()
            if not self.supervisor.stopping:
                lock.tell(self.server.url)
                print(f"ready {self.server.url}", flush=True)
                self.supervisor.watch()
        finally:
            self.supervisor.stop()
            lock.release()

    def settings(self) -> Settings:
        """What the programs are told of the services as they are now."""
        return Settings(self.postgres.url, self.redis.url, self.folder.path)

    def _part(self, name: str) -> tuple[Path, Path, Callable[[], Settings]]:
        return self.folder.workplace(name), self.folder.log(name), self._tell

    def _tell(self) -> Settings:
        self._told = self.settings()
        return self._told

    def _update(self, stage: int) -> None:
        """Bring the catalogues up to date before a program of ours looks at them."""
        if stage == 0:
            connections.prepare_all(self.postgres.url)

    def _moved(self) -> Sequence[Service]:
        """The programs, where a service came back on another port."""
        return [p for p in self.programs if p.running] if self.settings() != self._told else []

    def _stop_waiting(self, holder: Holder) -> bool:
        if holder.purpose == UP:
            where = f" at {holder.url}" if holder.url else ""
            raise Conflict(f"The box in {self.folder.path} is already up{where}.")
        return self.supervisor.stopping


@contextmanager
def attach(data_dir: Path, *, broker: bool = False) -> Iterator[Attached]:
    """Use a box from a command: the one that is up, else its database alone while the block lasts.

    broker: start Redis too where the box is not up. Commands on a box that is not up take turns.
    Raises Unavailable where a server does not start.
    """
    folder = BoxFolder(data_dir.absolute())
    postgres, redis = _servers(folder)
    lock = BoxLock(folder)
    if other := lock.take(COMMAND, lambda holder: holder.url is not None):
        yield Attached(Settings(postgres.url, redis.url, folder.path), other.url)
        return
    wanted: list[Service] = [postgres, redis] if broker else [postgres]
    try:
        _prepare(folder)
        for service in wanted:
            service.start()
        connections.prepare_all(postgres.url)
        yield Attached(Settings(postgres.url, redis.url if broker else None, folder.path))
    finally:
        for service in reversed(wanted):
            service.stop()
        lock.release()


def _servers(folder: BoxFolder) -> tuple[PrivatePostgres, PrivateRedis]:
    services = folder.services
    return (
        PrivatePostgres(services / "postgres", log=folder.log("postgres")),
        PrivateRedis(services / "redis", log=folder.log("redis")),
    )


def _prepare(folder: BoxFolder) -> None:
    """Give the services a folder that the user they run as can enter."""
    place(folder.services, service_account(folder.services))
