"""Questions to a version, answered as a table, JSON, Arrow, Parquet or CSV."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from matengine.cli import console
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.errors import Invalid

SHOWN_ROWS = 20


class Format(StrEnum):
    table = "table"
    json = "json"
    arrow = "arrow"
    parquet = "parquet"
    csv = "csv"


def add_to(app: typer.Typer) -> None:
    app.command("query")(query)


def query(
    table: Annotated[str, typer.Argument(help="An annotation table.")],
    data: Data = None,
    datastack: Datastack = None,
    version: Annotated[
        str,
        typer.Option(metavar="MOMENT", help="A version (its number or name), a time, or now."),
    ] = "newest",
    segmentation: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="Root ids as of another version or time."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Keep such rows; also with != > < >= <= and ~ (a regular expression)."
            " Again for more conditions, or more values.",
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=x,y,z,x,y,z", help="Keep rows whose position is in a box, in voxels."
        ),
    ] = None,
    join: Annotated[
        list[str] | None,
        typer.Option(
            metavar="T.COLUMN=U.COLUMN", help="With the rows of another table that fit; again."
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Only these columns, in this order.")
    ] = None,
    resolution: Annotated[
        str | None,
        typer.Option(metavar="x,y,z", help="Positions in units of so many nm; default: voxels."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help=f"At most so many rows; default: all, {SHOWN_ROWS} as a table."),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="So many rows, chosen evenly; the same each time.")
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Only say how many rows.")] = False,
    translate: Annotated[
        bool,
        typer.Option(
            "--translate-root-ids", help="Root ids of another time stand for those in their place."
        ),
    ] = False,
    allow_invalid: Annotated[
        bool,
        typer.Option("--allow-invalid-root-ids", help="Root ids of another time are in no row."),
    ] = False,
    format: Annotated[
        Format | None, typer.Option(help="Default: by the name of --out, else table.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file, not to stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Rows of a table in a version or at any time, with supervoxel and root ids.

    Examples:

      matengine query synapses --where pre_pt_root_id=360287970189639680 --data box

      matengine query synapses --version 1 --columns id,size --out sizes.parquet --data box

      matengine query synapses --where 'size>100' --box ctr_pt_position=0,0,0,500,500,50 --count

      matengine query cell_types --version now --segmentation 1 --data box

      matengine query synapses --version now --where post_pt_root_id=OLD --translate-root-ids
    """
    from matengine.cli import conditions, rows_out
    from matengine.engine.query import answer, joins, moments
    from matengine.engine.query.model import At, Axes, Query, Roots
    from matengine.engine.versions import labels

    chosen = chosen_format(format, out, as_json)
    asked = Query(
        table,
        joins=conditions.joins(join or []),
        filters=conditions.filters(table, where or [], box or []),
        limit=SHOWN_ROWS if limit is None and chosen is Format.table else limit,
        random_sample=sample,
        with_supervoxels=False,
        roots=Roots.TOLD if allow_invalid else Roots.REFUSED,
        translate_roots=translate,
    )
    if resolution:
        x, y, z = conditions.numbers(resolution, 3, "--resolution")
        asked = replace(asked, resolution_nm=(x, y, z))
    asked = replace(asked, columns=conditions.columns(columns, joins.names(asked)))
    with place(data, datastack) as there:
        moment = moments.read(version)
        if isinstance(moment, str):
            moment = labels.readable(there.conn, there.datastack, moment).version
        at: At = moment
        called = f"version {moment}" if isinstance(moment, int) else version
        if segmentation:
            at = Axes(moment, moments.read(segmentation))
            called += f", segmentation of {segmentation}"
        found = answer.plan(there.conn, there.datastack, at, asked)
        for told in found.told:
            console.say(told)
        if count:
            console.show(str(answer.count(there.conn, found)))
            return
        with answer.stream(there.conn, found) as reader:
            if chosen is Format.table:
                rows_out.as_table(reader, title=f"{table}, {called} of {there.datastack}")
                return
            written = rows_out.save(reader, chosen.value, out)
    if out:
        console.say(f"{written} rows in {out}")


def chosen_format(given: Format | None, out: Path | None, as_json: bool) -> Format:
    """The format that the options of a command mean; raises Invalid where they contradict."""
    if as_json:
        return Format.json
    if given is not None:
        if given is Format.table and out:
            raise Invalid("A table is for reading here.", "Use --format csv with --out.")
        return given
    if out is None:
        return Format.table
    ending = out.suffix.lstrip(".")
    named = {"feather": "arrow", "pq": "parquet"}.get(ending, ending)
    if named in ("json", "arrow", "parquet", "csv"):
        return Format(named)
    raise Invalid(
        f"The name {out.name} tells no format.", "Use --format json, arrow, parquet, csv."
    )
