"""Dataset folders: bring one in, make one."""

import shlex
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from matengine.cli import console, failing
from matengine.cli.options import Data, Json, time_of
from matengine.cli.services import services
from matengine.cli.watching import watching


def add_to(app: typer.Typer) -> None:
    app.command("import")(import_folder)
    app.command("sample")(sample)


def import_folder(
    folder: Annotated[Path, typer.Argument(help="A dataset folder: datastack.toml and its files.")],
    data: Data = None,
    until: Annotated[
        datetime | None,
        typer.Option(metavar="TIME", parser=time_of, help="Leave out proofreading after it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring a dataset folder in: chunkedgraph, proofreading history, annotation tables.

    Interrupted, the same command goes on where it was. The volume of supervoxels is read where
    it lies, so the folder must stay.

    Example: matengine import snemi3d --data box
    """
    from matengine.datasets import importer
    from matengine.datasets.folder import open_dataset

    dataset = open_dataset(folder)
    again = ["matengine", "import", str(folder), *(["--data", str(data)] if data else [])]
    failing.can_resume(f"Go on with: {shlex.join(again)}")
    with services(data, make=True), watching("import") as progress:
        done = importer.import_dataset(dataset, until=until, progress=progress)
    if as_json:
        console.show_json(done)
        return
    for line in done.lines():
        console.show(line)


def sample(
    out: Annotated[Path, typer.Argument(help="The folder to make; it must not exist.")],
    size: Annotated[
        int | None, typer.Option(min=1, help="Voxels along each side of the volume; default: 256.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal datasets.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a synthetic dataset: neurons in a volume, synapses, nuclei, proofreading.

    Example: matengine sample small --size 128 && matengine import small --data box
    """
    from matengine.datasets.sample import DEFAULT_SIZE, make_sample

    with watching("sample") as progress:
        made = make_sample(out, size=size or DEFAULT_SIZE, seed=seed, progress=progress)
    if as_json:
        console.show_json(made)
        return
    rows = ", ".join(f"{count} {table}" for table, count in made.rows.items())
    console.show(f"{out}: {made.neurons} neurons, {made.supervoxels} supervoxels, {rows}")
    console.show(f"next: matengine import {shlex.quote(str(out))} --data DIR")
