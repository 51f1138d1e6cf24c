"""Where a benchmark runs: how much data, where made data are kept, a server of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matengine import settings
from matengine.box.postgres import PrivatePostgres
from matengine.progress import Progress, quiet
from matengine.settings import Settings
from matengine.storage import connections

CACHE = Path(".cache") / "bench"


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server to measure: its URL, and the process id of its postmaster."""

    url: str
    pid: int


@dataclass(frozen=True)
class Place:
    """What a benchmark is given.

    rows: how many rows to measure with. cache: a folder for made data, kept between runs.
    plans: a file for the plan of every statement that the servers run; it slows them.
    """

    rows: int
    cache: Path = CACHE
    progress: Progress = quiet
    plans: Path | None = None

    @contextmanager
    def server(self) -> Iterator[Server]:
        """A private PostgreSQL with the settings of a box, fully durable; ours talks to it."""
        with tempfile.TemporaryDirectory(prefix="matengine-bench-") as folder:
            Path(folder).chmod(0o755)  # the server may run as another user
            with PrivatePostgres(Path(folder) / "postgres") as postgres:
                assert postgres.process is not None
                settings.use(Settings(postgres.url))
                try:
                    if self.plans is not None:
                        _explain(postgres.url)
                    yield Server(postgres.url, postgres.process.pid)
                finally:
                    if self.plans is not None:
                        self.plans.write_text(postgres.log.read_text())


def _explain(url: str) -> None:
    """Log the plan of every statement of new connections."""
    with connections.open_connection(url, autocommit=True) as conn:
        conn.execute("LOAD 'auto_explain'")  # else its settings are unknown
        for setting, value in (
            ("session_preload_libraries", "auto_explain"),
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_nested_statements", "on"),
        ):
            conn.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
        conn.execute("SELECT pg_reload_conf()")
