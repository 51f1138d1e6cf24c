"""What differs between two versions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matengine.cli import console
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.query import SHOWN_ROWS, Format, chosen_format
from matengine.cli.services import Place, place
from matengine.errors import Invalid

if TYPE_CHECKING:
    import pyarrow as pa

    from matengine.engine.query.diff import Difference

NOW = "now"
_VERSION = "a number, a name, 'newest', or 'now' for the newest epoch, which may have no version."


def add_to(app: typer.Typer) -> None:
    app.command("diff")(diff)


def diff(
    table: Annotated[str, typer.Argument(help="An annotation table.")],
    old: Annotated[str, typer.Argument(metavar="A", help=f"A version: {_VERSION}")],
    new: Annotated[str, typer.Argument(metavar="B", help="The version to compare with, likewise.")],
    data: Data = None,
    datastack: Datastack = None,
    root: Annotated[
        list[int] | None,
        typer.Option(
            metavar="ID", help="Only rows that show this root id in A or B; again for more."
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="With --root: also what it was in A and what it is in B."),
    ] = False,
    format: Annotated[
        Format | None, typer.Option(help="Default: by the name of --out, else table.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file, not to stdout.")] = None,
    as_json: Json = False,
) -> None:
    """The rows added, removed and changed from A to B, with old and new root ids.

    The cost is what changed, not the size of the table. An id is empty where the row is not
    there, and 0 where it has none or none is known. Files and --json also have supervoxel ids.

    Examples:

      matengine diff synapses 1 2 --data box

      matengine diff synapses 1 now --root 360287970189639680 --follow --data box

      matengine diff synapses 1 2 --out changed.parquet --data box
    """
    from matengine.cli import rows_out
    from matengine.engine.query import diff as differences

    chosen = chosen_format(format, out, as_json)
    if follow and not root:
        raise Invalid("--follow is for --root.", "Name a root id: --root ID.")
    with place(data, datastack) as where:
        asked = _question(where, table, old, new, root, follow=follow)
        with differences.stream(where.conn, asked) as reader:
            if chosen is Format.table:
                _show(reader, f"{table} of {where.datastack}, from {old} to {new}")
                return
            count = rows_out.save(reader, chosen.value, out)
    if out:
        console.say(f"{count} rows in {out}")


def _question(
    where: Place, table: str, old: str, new: str, roots: list[int] | None, *, follow: bool
) -> "Difference":
    from dataclasses import replace

    from matengine.engine.query import diff as differences

    found = differences.between(
        where.conn, where.datastack, table, _version(where, old), _version(where, new), roots
    )
    if roots and follow:
        family = differences.related(where.conn, where.datastack, roots, found.old, found.new)
        return replace(found, roots=tuple(family))
    return found


def _version(where: Place, text: str) -> int | None:
    from matengine.engine.versions import labels

    return None if text == NOW else labels.find(where.conn, where.datastack, text).version


def _show(reader: "pa.RecordBatchReader", title: str) -> None:
    """How many rows differ, and the first of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = dict.fromkeys(("added", "removed", "changed"), 0)
    first: list[pa.RecordBatch] = []
    for batch in reader:
        for entry in pc.value_counts(batch["change"]).to_pylist():
            counts[entry["values"]] += entry["counts"]
        if sum(kept.num_rows for kept in first) < SHOWN_ROWS:
            first.append(batch)
    console.show(f"{title}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    shown = pa.Table.from_batches(first, reader.schema).slice(0, SHOWN_ROWS)
    if shown.num_rows:
        # supervoxels of a row hardly ever change, and four more columns are too wide to read
        columns = [c for c in shown.column_names if not c.endswith("_supervoxel_id")]
        console.show_table(columns, zip(*shown.select(columns).to_pydict().values(), strict=True))
    if sum(counts.values()) > shown.num_rows:
        console.say(f"the first {shown.num_rows}; --format and --out give all.")
