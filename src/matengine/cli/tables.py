"""Annotation tables: list them, make one, load a file into one."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from matengine.cli import console, failing
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import Place, place
from matengine.cli.watching import watching
from matengine.errors import Invalid

Resolution = Annotated[
    str | None, typer.Option(metavar="X,Y,Z", help="nm of one voxel of the table's positions.")
]
Reference = Annotated[
    str | None, typer.Option(metavar="TABLE", help="The table that target_id refers to.")
]
Schema = Annotated[str | None, typer.Option(help="Make the table first, with this schema.")]
Description = Annotated[str, typer.Option(help="What the rows are; for people.")]


def add_to(app: typer.Typer) -> None:
    app.command("tables")(tables)
    app.command("load")(load)


def tables(data: Data = None, datastack: Datastack = None, as_json: Json = False) -> None:
    """The annotation tables of a datastack's aligned volume.

    Example: matengine tables --data box
    """
    from matengine.engine.annotations import rows
    from matengine.engine.annotations.tables import get_metadata, list_tables

    with place(data, datastack) as where:
        found = [get_metadata(where.conn, name) for name in list_tables(where.conn)]
        counts = [rows.count(where.conn, table.name) for table in found]
    if as_json:
        console.show_json([vars(t) | {"rows": n} for t, n in zip(found, counts, strict=True)])
        return
    console.show_table(
        ["table", "schema", "rows", "nm/voxel", "refers to", "description"],
        [
            (
                t.name,
                t.schema_type,
                n,
                " × ".join(f"{nm:g}" for nm in t.voxel_resolution_nm),
                t.reference_table,
                t.description,
            )
            for t, n in zip(found, counts, strict=True)
        ],
    )


def load(
    table: Annotated[str, typer.Argument(help="The table; --schema makes it.")],
    file: Annotated[Path, typer.Argument(help="Parquet, Arrow IPC or CSV.")],
    data: Data = None,
    datastack: Datastack = None,
    schema: Schema = None,
    resolution: Resolution = None,
    description: Description = "",
    reference_table: Reference = None,
    ids: Annotated[
        Literal["file", "sequence"], typer.Option(help="Take ids from the file, or give new ones.")
    ] = "file",
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE_COLUMN", help="Where the file names a column otherwise."),
    ] = None,
    receipt: Annotated[
        str | None, typer.Option(help="A name under which an interrupted load goes on.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only tell whether it could be.")] = False,
    as_json: Json = False,
) -> None:
    """Load a file of annotations into a table: all of it, or with faults nothing.

    Examples:

      matengine load synapses new.parquet --data box

      matengine load bouton_shape b.csv --schema bouton_shape --resolution 4,4,40 --data box
    """
    from matengine.engine.annotations import bulk, report
    from matengine.engine.annotations.tables import list_tables

    with place(data, datastack) as where, watching(f"load {table}") as progress:
        if schema and not (receipt and table in list_tables(where.conn)):
            _create(where, table, schema, resolution, description, reference_table)
        mapping = dict(_pair(text) for text in column or [])
        if check:
            found = report.check(
                where.conn, table, file, column_map=mapping, ids=ids, progress=progress
            )
            answer = {"table": table, "ok": found.ok, "rows": found.rows, "report": str(found)}
            where.conn.rollback()
        else:
            failing.can_resume(_resume(receipt))
            done = bulk.load(
                where.conn,
                table,
                file,
                column_map=mapping,
                ids=ids,
                receipt=receipt,
                commit_batches=receipt is not None,
                progress=progress,
            )
            where.conn.commit()
            answer = {"table": table, "ok": True, "rows": done.rows, "rows_before": done.before}
    if as_json:
        console.show_json(answer)
    elif check:
        console.show(str(answer["report"]))
    else:
        console.show(f"{answer['rows']} rows loaded into {table}")
    if not answer["ok"]:
        raise typer.Exit(1)


def _create(
    where: Place,
    table: str,
    schema: str,
    resolution: str | None,
    description: str,
    reference_table: str | None,
) -> None:
    from matengine.engine.annotations.tables import create_table

    if resolution is None:
        raise Invalid("A new table needs the nm of its voxels.", "Add --resolution X,Y,Z.")
    try:
        nm = [float(part) for part in resolution.split(",")]
    except ValueError:
        raise Invalid(f"'{resolution}' is no resolution.", "Write --resolution 4,4,40.") from None
    create_table(
        where.conn,
        table,
        schema,
        voxel_resolution_nm=nm,
        description=description or table,
        reference_table=reference_table,
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, source = text.partition("=")
    if not equals:
        raise Invalid(f"'{text}' maps no column.", "Write --column NAME=FILE_COLUMN.")
    return name, source


def _resume(receipt: str | None) -> str:
    if receipt:
        return f"The same command goes on, by its receipt {shlex.quote(receipt)}."
    return "Nothing was loaded; with --receipt NAME it could be resumed."
