"""A private PostgreSQL with PostGIS in a folder of its own, from the system's packages."""

import os
import secrets
import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from matengine.box.accounts import Account, give, place, remove, service_account
from matengine.box.binaries import PostgresTools, postgres_tools
from matengine.box.endpoint import LOOPBACK, Endpoint, read_endpoint, usable_endpoint
from matengine.box.process import (
    Command,
    await_predecessor,
    clean_environment,
    kill_strays,
    run,
    spawn,
)
from matengine.box.service import Service
from matengine.errors import Unavailable

USER = "mat"
READY_LINE = 7  # of postmaster.pid, counted from 0 (miscadmin.h: LOCK_FILE_LINE_PM_STATUS)

# containers often have 64 MB here, where parallel queries would run out of it
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_BYTES = 2**30

SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "maintenance_work_mem": "512MB",
    "max_parallel_maintenance_workers": "1",
    # four web processes of 32 threads that all send rows, their pools, and the workers
    "max_connections": "200",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
THROW_AWAY = {
    "shared_buffers": "128MB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}


class PrivatePostgres(Service):
    """A PostgreSQL server of ours, on loopback only, with a password of its own.

    folder: made where it is missing; holds the cluster (`data`), its endpoint and its log.
    durable: False gives a throw-away server for tests, fast and not safe against power loss, whose
        files are removed on leaving the `with` block.
    """

    name = "postgres"
    # SIGINT is PostgreSQL's fast shutdown, SIGQUIT the immediate one
    stop_steps = ((signal.SIGINT, 30), (signal.SIGQUIT, 10))

    def __init__(self, folder: Path, *, durable: bool = True, log: Path | None = None) -> None:
        self.folder = folder
        self.durable = durable
        self.log = log or folder / "postgres.log"

    @property
    def url(self) -> str:
        """libpq URL of the maintenance database."""
        endpoint = read_endpoint(self.folder / "endpoint.json")
        return f"postgresql://{USER}:{endpoint.password}@{LOOPBACK}:{endpoint.port}/postgres"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if not self.durable:
            remove(self.folder)

    def launch(self) -> None:
        account = service_account(self.folder)
        home = place(self.folder, account, keep=self.durable)
        data = home / "data"
        self._end_predecessor(data)
        endpoint = usable_endpoint(home / "endpoint.json")
        tools = postgres_tools(_cluster_major(data))
        if not data.exists():
            self._initialise(home, tools, account, endpoint)
        self._data = data
        command: Command = [
            tools.postgres,
            *("-D", data, "-p", str(endpoint.port)),
            *("-c", f"listen_addresses={LOOPBACK}", "-c", "unix_socket_directories="),
        ]
        self.process = spawn(
            command,
            log=self.log,
            cwd=home,
            account=account,
            death_signal=signal.SIGINT,
            env=clean_environment(),
        )

    def ready(self) -> bool:
        """Whether postmaster.pid names our process as ready.

        Asking the port (pg_isready) is no proof: another server may have it.
        """
        lines = _pid_file(self._data)
        return (
            self.process is not None
            and len(lines) > READY_LINE
            and lines[0] == str(self.process.pid)
            and lines[READY_LINE].strip() == "ready"
        )

    def _initialise(
        self, home: Path, tools: PostgresTools, account: Account | None, endpoint: Endpoint
    ) -> None:
        """Make the cluster under a temporary name, so that a half-made one is never started."""
        part, password = home / "data.part", home / f".password-{secrets.token_hex(4)}"
        shutil.rmtree(part, ignore_errors=True)
        descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as out:
                out.write(endpoint.password)
            give(password, account)  # initdb reads it after the change of user
            command: Command = [
                tools.initdb,
                *("-D", part, "-U", USER, "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums"),
                *("--auth-local=scram-sha-256", "--auth-host=scram-sha-256"),
                f"--pwfile={password}",
                *([] if self.durable else ["--no-sync"]),
            ]
            run(command, account=account, cwd=home)
        except RuntimeError as error:
            raise Unavailable(f"A new PostgreSQL cluster could not be made: {error}") from error
        finally:
            password.unlink()
        settings = SETTINGS | ({} if self.durable else THROW_AWAY)
        if _accepts(tools, part, account, "wal_compression=lz4"):
            settings["wal_compression"] = "lz4"
        if shutil.disk_usage(SHARED_MEMORY).total < SHARED_MEMORY_BYTES:
            settings["dynamic_shared_memory_type"] = "sysv"
        with (part / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        part.rename(home / "data")

    def _end_predecessor(self, data: Path) -> None:
        """Clear the way after a supervisor, or a server, that was killed."""
        lines = _pid_file(data)
        if lines and lines[0].isdigit():
            await_predecessor(int(lines[0]), str(data), self.name, data)
            kill_strays("postgres", data)
            # the server itself would take any process with this number for a running postmaster
            (data / "postmaster.pid").unlink(missing_ok=True)


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _cluster_major(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def _accepts(tools: PostgresTools, data: Path, account: Account | None, setting: str) -> bool:
    """Whether this build of the server knows the setting's value."""
    name = setting.partition("=")[0]
    try:
        run([tools.postgres, "-D", data, "-C", name, "-c", setting], account=account, cwd=data)
    except RuntimeError:
        return False
    return True
