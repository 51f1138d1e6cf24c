"""`matengine demo`: the whole way on this machine, with its figures."""

import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matengine.cli import console
from matengine.cli.watching import watching
from matengine.errors import Conflict

if TYPE_CHECKING:
    from matengine.demo.story import Told


def add_to(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    dataset: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A dataset; default: a sample made now.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Make the box here and leave it.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the box where it was made, to look around.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the figures to a file.")
    ] = None,
) -> None:
    """See it work: a datastack from files, proofreading, versions, and what they cost.

    Runs a box of its own, compares all ids with the truth where the dataset brings it, and ends
    with 1 where anything differs.

    Examples:

      matengine demo

      matengine demo --dataset snemi3d --data box --json figures.json
    """
    from matengine.demo.story import tell

    with _folder(data, keep) as folder:
        with watching("demo") as progress:
            told = tell(folder, dataset, console.say, progress)
        if json:
            json.write_bytes(console.to_json(_figures(told)))
        _show(told)
        _show_next(told, folder if data or keep else None)
    if not told.ok:
        raise typer.Exit(1)


@contextmanager
def _folder(data: Path | None, keep: bool) -> Iterator[Path]:
    """An empty folder for the box; one of our own goes again, unless it is kept."""
    if data is not None:
        if data.exists() and any(data.iterdir()):
            raise Conflict(f"{data} is not empty.", "The demo begins with a new folder.")
        data.mkdir(parents=True, exist_ok=True)
        yield data.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="matengine-demo-"))
    folder.chmod(0o711)  # PostgreSQL may run as another user
    try:
        yield folder
    finally:
        if not keep:
            _remove(folder)


def _remove(folder: Path) -> None:
    from matengine.box import accounts
    from matengine.box.folder import BoxFolder

    accounts.remove(BoxFolder(folder).services)
    accounts.remove(folder)


def _figures(told: "Told") -> dict[str, Any]:
    versions = [
        asdict(v) | {"rows": v.rows, "rows_added": v.rows_added, "rows_closed": v.rows_closed}
        for v in told.versions
    ]
    checks = [asdict(check) | {"ok": check.ok} for check in told.checks]
    return asdict(told) | {"ok": told.ok, "versions": versions, "checks": checks}


def _show(told: "Told") -> None:
    if told.versions:
        _show_versions(told)
    if told.answers:
        _show_answers(told)
    compared = sum(check.compared for check in told.checks)
    console.show("")
    for check in told.checks:
        if not check.ok:
            console.show(f"DIFFERENT: {check.what}: {check.differences} of {check.compared}")
            for example in check.examples:
                console.show(f"  {example}")
    if told.ok:
        console.show(f"ok: {len(told.checks)} comparisons of {compared} values, no difference")
    steps = ", ".join(f"{what} {seconds:.1f}" for what, seconds in told.steps.items())
    console.show(f"{told.seconds:.0f} seconds in all ({steps})")


def _show_versions(told: "Told") -> None:
    console.show("")
    console.show_table(
        ["version", "of", "operations", "rows", "written", "closed", "seconds", "disk", "log"],
        [
            (
                v.version,
                v.note,
                v.operations,
                v.rows,
                v.rows_added,
                v.rows_closed,
                f"{v.seconds:.1f}",
                _bytes(v.bytes),
                _bytes(v.wal_bytes),
            )
            for v in told.versions
        ],
        title="What each version cost",
    )


def _show_answers(told: "Told") -> None:
    console.show("")
    console.show_table(
        ["version", "root id then", "synapses", "partners", "strongest"],
        [
            (a.version, a.root_id, a.synapses, a.partners, " ".join(map(str, a.strongest)))
            for a in told.answers
        ],
        title=f"The partners of one neuron, the one of supervoxel {told.neuron}",
    )


def _bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count} B"


def _show_next(told: "Told", folder: Path | None) -> None:
    command = os.environ.get("MATENGINE_COMMAND", "matengine")
    console.show("")
    if folder is None:
        console.show("To look around in it, keep it:")
        console.show(f"  {command} demo --data demo-box")
        return
    box = f"--data {shlex.quote(str(folder))}"
    console.show("What to type next:")
    console.show(f"  {command} up {box}")
    console.show(f"  {command} versions {box}")
    if told.answers:
        first = told.answers[0]
        console.show(
            f"  {command} query {told.table} --version {first.version}"
            f" --where pre_pt_root_id={first.root_id} {box}"
        )
    console.show(f"  {command} --help")
