"""Proof: whether a version is what it was when it was published."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from matengine.cli import console
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.cli.watching import watching
from matengine.errors import MatengineError

if TYPE_CHECKING:
    from matengine.engine.versions.verify import Checked


def add_to(app: typer.Typer) -> None:
    app.command("verify")(verify)


def verify(
    version: Annotated[str, typer.Argument(help="A version: its number, name, or 'newest'.")],
    data: Data = None,
    datastack: Datastack = None,
    as_json: Json = False,
) -> None:
    """Compute a version's fingerprints anew from its rows and compare them with those recorded.

    Ends with 1 where a row, a count or a single bit is not what was published.

    Example: matengine verify 3 --data box
    """
    from matengine.engine.versions import labels
    from matengine.engine.versions.verify import verify as checked

    with place(data, datastack) as where:
        number = labels.find(where.conn, where.datastack, version).version
        with watching("verify") as progress:
            tables = checked(where.conn, where.datastack, number, progress)
        name = where.datastack
    if as_json:
        console.show_json([_plain(table) for table in tables])
    else:
        console.show_table(
            ["table", "rows", "gaps", "fingerprint", "verdict"],
            [
                (t.table, t.found.row_count, t.found.gaps, str(t.found.fingerprint), _verdict(t))
                for t in tables
            ],
        )
    wrong = [table.words for table in tables if not table.right]
    if wrong:
        raise MatengineError(
            f"Version {number} of '{name}' is not what was published: {'; '.join(wrong)}."
        )


def _verdict(table: "Checked") -> str:
    return "as published" if table.right else "DIFFERENT"


def _plain(table: "Checked") -> dict[str, Any]:
    return {
        "table": table.table,
        "right": table.right,
        "recorded": table.recorded,
        "found": table.found,
        "misplaced": table.misplaced,
    }
