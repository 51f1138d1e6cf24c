"""Questions to a version, answered as a table, JSON, Arrow, Parquet or CSV."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matengine.cli import console
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.errors import Invalid

if TYPE_CHECKING:
    from matengine.engine.query.model import Filter

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
        str, typer.Option(metavar="VERSION", help="A version: its number or its name.")
    ] = "newest",
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Keep rows of this value; again for more columns or values.",
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Only these columns, in this order.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help=f"At most so many rows; default: all, {SHOWN_ROWS} as a table."),
    ] = None,
    format: Annotated[
        Format | None, typer.Option(help="Default: by the name of --out, else table.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file, not to stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Rows of a table as a version has them, with supervoxel and root ids.

    Examples:

      matengine query synapses --where pre_pt_root_id=360287970189639680 --data box

      matengine query synapses --version 1 --columns id,size --out sizes.parquet --data box
    """
    from matengine.cli import rows_out
    from matengine.engine.query import answer
    from matengine.engine.query.model import Query

    chosen = chosen_format(format, out, as_json)
    with place(data, datastack) as there:
        asked = Query(
            table,
            filters=conditions(table, where or []),
            columns=[c.strip() for c in columns.split(",")] if columns else None,
            limit=SHOWN_ROWS if limit is None and chosen is Format.table else limit,
        )
        found = answer.plan(there.conn, there.datastack, version, asked)
        with answer.stream(there.conn, found) as reader:
            if chosen is Format.table:
                rows_out.as_table(reader, title=f"{table}, version {version} of {there.datastack}")
                return
            count = rows_out.save(reader, chosen.value, out)
    if out:
        console.say(f"{count} rows in {out}")


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


def conditions(table: str, texts: list[str]) -> "tuple[Filter, ...]":
    """COLUMN=VALUE texts as filters, several values of a column as one; raises Invalid."""
    from matengine.engine.query.model import Filter, Op

    among: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise Invalid(f"'{text}' is no condition.", "Write --where COLUMN=VALUE.")
        among.setdefault(name.strip(), []).append(value.strip())
    return tuple(Filter(table, name, Op.IN, values) for name, values in among.items())
