"""`./mat bench`: the benchmarks on a private server of their own."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench import epochs
from bench.measure import Cost
from matengine import settings
from matengine.box.postgres import PrivatePostgres
from matengine.settings import Settings

CACHE = Path(".cache") / "bench"


def main(
    rows: Annotated[int, typer.Option(help="Synapses to load.")] = 1_000_000,
    data: Annotated[
        Path | None, typer.Option(help="A folder of synthetic synapses; made where not given.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here.")
    ] = None,
    plans: Annotated[
        Path | None, typer.Option(help="Write PostgreSQL's log with the plan of every statement.")
    ] = None,
) -> None:
    """Load synapses, make an epoch, change 1 % by proofreading, make the next; say what it cost."""
    folder = data or epochs.data(CACHE, rows)
    with tempfile.TemporaryDirectory(prefix="matengine-bench-") as place:
        Path(place).chmod(0o755)
        with PrivatePostgres(Path(place) / "postgres") as server:
            settings.use(Settings(server.url))
            assert server.process is not None
            costs, facts = epochs.run(
                epochs.Server(server.url, server.process.pid), folder, explain=plans is not None
            )
            if plans is not None:
                plans.write_text(server.log.read_text())
    _show(costs, facts)
    if json_file is not None:
        json_file.write_text(epochs.dumps(costs, facts))


def _show(costs: list[Cost], facts: dict[str, object]) -> None:
    table = Table(title="What each step cost")
    for heading in ("step", "CPU s, ours", "CPU s, PostgreSQL", "wall s", "WAL MB",
                    "peak MB, ours", "peak MB, a backend"):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "step" else "right")
    for c in costs:
        table.add_row(
            c.name,
            f"{c.cpu_client_s:.2f}",
            f"{c.cpu_server_s:.2f}",
            f"{c.wall_s:.2f}",
            f"{c.wal_bytes / 1e6:.1f}",
            f"{c.peak_client_bytes / 1e6:.0f}",
            f"{c.peak_server_bytes / 1e6:.0f}",
        )
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for name, value in facts.items():
        console.print(f"{name}: {value}")


if __name__ == "__main__":
    typer.run(main)
