"""Annotation tables: list them, make one, load a file into one."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from matengine.cli import console, failing
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import Place, place
from matengine.cli.watching import watching
from matengine.errors import Invalid

if TYPE_CHECKING:
    import pyarrow as pa

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
    given_supervoxels: Annotated[
        bool,
        typer.Option(
            "--given-supervoxels",
            help="Believe the file's POINT_supervoxel_id columns; they are not looked up.",
        ),
    ] = False,
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
    from matengine.engine.lookup import given

    if given_supervoxels and (receipt or ids != "file"):
        raise Invalid("--given-supervoxels goes by the file's ids, all at once.")
    with place(data, datastack) as where, watching(f"load {table}") as progress:
        if schema and not (receipt and table in list_tables(where.conn)):
            _create(where, table, schema, resolution, description, reference_table)
        mapping: dict[str, str | None] = dict(_pair(text) for text in column or [])
        supervoxels = _supervoxels(file) if given_supervoxels else None
        if supervoxels is not None:
            mapping |= dict.fromkeys(supervoxels.column_names[1:])
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
            if supervoxels is not None:
                given.give(where.conn, where.datastack, table, supervoxels)
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
    """The file's name of a column, and ours."""
    name, equals, source = text.partition("=")
    if not equals:
        raise Invalid(f"'{text}' maps no column.", "Write --column NAME=FILE_COLUMN.")
    return source, name


def _supervoxels(file: Path) -> "pa.Table":
    """`id` and the supervoxel columns of a file."""
    import pyarrow as pa

    from matengine.engine.annotations import readers

    source = readers.open_source(file)
    names = ["id", *(n for n in source.schema.names if n.endswith("_supervoxel_id"))]
    if len(names) < 2 or "id" not in source.schema.names:
        raise Invalid(f"{file} needs the columns id and POINT_supervoxel_id.")
    batches = [batch.select(names) for batch in source.batches()]
    found = pa.Table.from_batches(batches, pa.schema([source.schema.field(n) for n in names]))
    try:
        return found.cast(pa.schema([(name, pa.int64()) for name in names]))
    except pa.ArrowInvalid:
        raise Invalid(f"The ids of {file} must be whole numbers of 63 bits.") from None


def _resume(receipt: str | None) -> str:
    if receipt:
        return f"The same command goes on, by its receipt {shlex.quote(receipt)}."
    return "Nothing was loaded; with --receipt NAME it could be resumed."
