"""Keeping close: see and settle how often epochs are made that nobody asks for."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from matengine.cli import console
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.errors import Invalid

if TYPE_CHECKING:
    from matengine.engine.pacing.keeping import Standing


def add_to(app: typer.Typer) -> None:
    app.command("pace")(pace)


def pace(
    data: Data = None,
    datastack: Datastack = None,
    active: Annotated[
        bool | None, typer.Option("--on/--off", help="Make such epochs, or none.")
    ] = None,
    least: Annotated[
        str | None, typer.Option(metavar="TIME", help="Between two at least: 90s, 5m, 12h, 7d.")
    ] = None,
    most: Annotated[
        str | None, typer.Option(metavar="TIME", help="Between two at most, if anything changed.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="PART", help="Rows that may differ, such as 0.5%.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long such an epoch is kept.")
    ] = None,
    usual: Annotated[
        bool, typer.Option("--usual", help="Forget what was settled for this datastack.")
    ] = False,
    as_json: Json = False,
) -> None:
    """How closely a datastack is kept up to date without anybody asking; show it, or settle it.

    A live query costs what has changed since the newest epoch. Where workers run, epochs without a
    version are made when so much has changed that they are worth it, never in the way of a version.

    Examples:

      matengine pace --data box

      matengine pace --least 5m --most 12h --data box

      matengine pace --off --data box
    """
    from matengine.engine.pacing import choice, keeping

    given = {"active": active, "least": least, "most": most, "target": target, "keep": keep}
    wanted: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if usual and wanted:
        raise Invalid("Something is settled, or all is as usual.", "Leave --usual out.")
    changes = dict.fromkeys(choice.KEYS) if usual else choice.read(wanted)
    with place(data, datastack) as where:
        if changes:
            choice.change(where.conn, where.datastack, changes)
            where.conn.commit()
        found = keeping.standing(where.conn, where.datastack)
    if as_json:
        console.show_json(keeping.told(where.datastack, found))
    else:
        console.show_table(["", where.datastack], _lines(found))


def _lines(found: "Standing") -> list[tuple[str, Any]]:
    """What there is to tell, a line each."""
    from matengine.engine.pacing import choice

    told = choice.told(found.pace)
    words = [f"{key} {told[key]}" for key in ("least", "most", "keep")]
    words.insert(2, f"target {100 * found.pace.target:g}%")
    return [
        ("kept close", "yes" if found.pace.active else "no"),
        ("pace", ", ".join(words)),
        ("settled here", ", ".join(found.own) or "nothing"),
        ("newest epoch", f"{found.epoch}, made {console.cell(found.made)}" if found.epoch else ""),
        ("rows that differ", f"{found.pending} of {found.rows}"),
        ("next epoch", _next(found)),
        *([("in vain since", found.tries)] if found.tries else []),
        *([("trouble", found.trouble)] if found.trouble else []),
    ]


def _next(found: "Standing") -> str:
    if found.busy:
        return "a run is under way"
    if not found.pace.active:
        return "none"
    if found.past:
        return "after a version of the present, as the newest is of the past; or now, with --on"
    return "when something has changed" if found.due is None else console.iso(found.due)
