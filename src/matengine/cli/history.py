"""The history of one row."""

from typing import TYPE_CHECKING, Annotated

import typer

from matengine.cli import console
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place

if TYPE_CHECKING:
    from matengine.engine.query.row_history import Life, RowHistory


def add_to(app: typer.Typer) -> None:
    app.command("history")(history)


def history(
    table: Annotated[str, typer.Argument(help="An annotation table.")],
    row: Annotated[int, typer.Argument(metavar="ID", help="The id of a row.")],
    data: Data = None,
    datastack: Datastack = None,
    as_json: Json = False,
) -> None:
    """All that was ever known of one row: its life, and its roots in each version.

    Example: matengine history synapses 17 --data box
    """
    from matengine.engine.query.row_history import row_history

    with place(data, datastack) as where:
        found = row_history(where.conn, where.datastack, table, row)
    if as_json:
        console.show_json(found)
        return
    for life in found.chain:
        console.show(_words(life, found.id))
    _show(found)


def _words(life: "Life", asked: int) -> str:
    words = f"{'→' if life.id == asked else ' '} {life.id} created {console.iso(life.created)}"
    if life.next is not None:
        words += f", superseded by {life.next}"
    elif life.deleted is not None:
        words += ", deleted"
    return words + (f" {console.iso(life.deleted)}" if life.deleted else "")


def _show(found: "RowHistory") -> None:
    columns = list(found.shown[0].ids) if found.shown else []
    console.show_table(
        ["from", "until", "versions", *columns],
        [
            (
                shown.from_time,
                shown.to_time or "now",
                ", ".join(map(str, shown.versions)),
                *("not known" if i is None else i for i in shown.ids.values()),
            )
            for shown in found.shown
        ],
    )
