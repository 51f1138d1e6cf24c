"""A private Redis in a folder of its own, from the system's packages: the broker of a box."""

from pathlib import Path

import redis

from matengine.box.accounts import give, place, service_account
from matengine.box.binaries import redis_server
from matengine.box.endpoint import (
    LOOPBACK,
    read_endpoint,
    usable_endpoint,
)
from matengine.box.private import write_private_text
from matengine.box.process import await_predecessor, clean_environment, spawn
from matengine.box.service import Service

# every write is appended to a file, and nothing is evicted: messages are not a cache
CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir "{folder}"
pidfile "{folder}/redis.pid"
save ""
appendonly yes
maxmemory-policy noeviction
"""
ANSWER_PATIENCE_S = 2.0


class PrivateRedis(Service):
    """A Redis server of ours, on loopback only, with a password of its own."""

    name = "redis"

    def __init__(self, folder: Path, *, log: Path | None = None) -> None:
        self.folder = folder
        self.log = log or folder / "redis.log"

    @property
    def url(self) -> str:
        """Celery broker URL of database 0."""
        endpoint = read_endpoint(self.folder / "endpoint.json")
        return f"redis://:{endpoint.password}@{LOOPBACK}:{endpoint.port}/0"

    def launch(self) -> None:
        account = service_account(self.folder)
        home = place(self.folder, account)
        self._end_predecessor(home)
        endpoint = usable_endpoint(home / "endpoint.json")
        configuration = home / "redis.conf"
        write_private_text(
            configuration,
            CONFIGURATION.format(
                host=LOOPBACK, port=endpoint.port, password=endpoint.password, folder=_quoted(home)
            ),
        )
        give(configuration, account)
        self.process = spawn(
            [redis_server(), configuration],
            log=self.log,
            cwd=home,
            account=account,
            env=clean_environment(),
        )

    def ready(self) -> bool:
        """Whether the server answers to our password; another one on the port would not."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=ANSWER_PATIENCE_S) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _end_predecessor(self, home: Path) -> None:
        file = home / "redis.pid"
        if file.exists():
            port = read_endpoint(home / "endpoint.json").port
            await_predecessor(int(file.read_text()), f"{LOOPBACK}:{port}", self.name, home)


def _quoted(path: Path) -> str:
    """A path for use between double quotes in a Redis configuration."""
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
