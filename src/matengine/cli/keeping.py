"""Which versions stay, and what people call them."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from matengine.cli import console
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.errors import Invalid
from matengine.times import parse_time

if TYPE_CHECKING:
    from matengine.engine.versions.catalogue import Version

Reference = Annotated[
    str, typer.Argument(metavar="VERSION", help="A version's number or name, or 'newest'.")
]


def add_to(app: typer.Typer) -> None:
    app.command("pin")(pin)
    app.command("name")(name)
    app.command("drop")(drop)


def pin(
    version: Reference,
    data: Data = None,
    datastack: Datastack = None,
    off: Annotated[bool, typer.Option("--off", help="Take the pin away.")] = False,
    as_json: Json = False,
) -> None:
    """Keep a version whatever happens: while it is pinned nothing drops it.

    Versions stay anyway until they are dropped or their expiry date comes. A pin guards one
    against both.

    Examples:

      matengine pin 3 --data box

      matengine pin "v1.0 of the paper" --off --data box
    """
    from matengine.engine.versions import labels

    with place(data, datastack) as where:
        changed = labels.pin(where.conn, where.datastack, version, on=not off)
        where.conn.commit()
    _tell([changed], "pinned" if changed.pinned else "not pinned", as_json)


def name(
    version: Reference,
    new_name: Annotated[str | None, typer.Argument(metavar="NAME", help="What to call it.")] = None,
    data: Data = None,
    datastack: Datastack = None,
    off: Annotated[bool, typer.Option("--off", help="Take its name away.")] = False,
    note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What people shall know of it.")
    ] = None,
    pinned: Annotated[
        bool, typer.Option("--pin/--no-pin", help="Pin it too: names are for citing.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Give a version a name by which it can be cited and asked for.

    A name belongs to one version of a datastack and stays with it, also when the version has
    expired: it never comes to mean another. A version that is named is pinned.

    Examples:

      matengine name 3 "v1.0 of the paper" --data box

      matengine name 3 --note "before the second round of proofreading" --data box

      matengine name "v1.0 of the paper" --off --data box
    """
    from matengine.engine.versions import labels

    if off and new_name is not None:
        raise Invalid("A name is given or taken away, not both.")
    if not off and new_name is None and note is None:
        raise Invalid("What shall it be called?", 'Write: matengine name VERSION "NAME".')
    with place(data, datastack) as where:
        changed = labels.look_up(where.conn, where.datastack, version)
        if note is not None:
            changed = labels.note(where.conn, where.datastack, changed.version, note)
        if off or new_name is not None:
            changed = labels.name(where.conn, where.datastack, changed.version, new_name)
        if new_name is not None and pinned:
            changed = labels.pin(where.conn, where.datastack, changed.version)
        where.conn.commit()
    words = [f"called '{changed.name}'" if changed.name else "without a name"]
    words += ["pinned"] if changed.pinned else []
    words += [f"noted: {changed.note}"] if changed.note else []
    _tell([changed], ", ".join(words), as_json)


def drop(
    versions: Annotated[
        list[str] | None,
        typer.Argument(metavar="VERSION…", help="Numbers or names of versions."),
    ] = None,
    data: Data = None,
    datastack: Datastack = None,
    on: Annotated[
        datetime | None,
        typer.Option(
            "--on", metavar="TIME", parser=parse_time, help="Not now: let them go at this time."
        ),
    ] = None,
    never: Annotated[bool, typer.Option("--never", help="Take back the time to go.")] = False,
    due: Annotated[
        bool, typer.Option("--due", help="Drop those whose time has come, instead of naming any.")
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="With --due: also all but the newest N unpinned."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Let versions go: they cannot be read any more, at once and for good.

    The newest version, a pinned one and one that is being made are never dropped. What the other
    versions show does not change. The disk comes back with `matengine collect`.

    Examples:

      matengine drop 1 2 --data box

      matengine drop 3 --on 2027-01-01 --data box

      matengine drop --due --keep 10 --data box
    """
    from matengine.engine.versions import dropping, labels
    from matengine.engine.versions.retention import Policy

    named = versions or []
    if bool(named) == due or (keep is not None and not due) or (on is not None and never):
        raise Invalid(
            "It is not clear which versions are to go, or when.",
            "Name versions, perhaps with --on TIME or --never, or write --due, perhaps with"
            " --keep N.",
        )
    if due and (on is not None or never):
        raise Invalid("--due speaks of all versions.", "Name those that --on or --never are for.")
    with place(data, datastack) as where:
        conn, stack = where.conn, where.datastack
        if due:
            changed = dropping.expire_due(conn, stack, datetime.now(UTC), Policy(keep))
        elif on is not None or never:
            changed = [labels.expire_on(conn, stack, version, on) for version in named]
            conn.commit()
        else:
            changed = [dropping.drop(conn, stack, version) for version in named]
    if on is not None or never:
        words = f"goes on {console.iso(on)}" if on is not None else "stays"
    else:
        words = "dropped"
    _tell(changed, words, as_json)
    if not as_json and words == "dropped":
        console.say("to get their disk back: matengine collect" if changed else "none is due")


def _tell(changed: list["Version"], words: str, as_json: bool) -> None:
    if as_json:
        console.show_json([vars(version) for version in changed])
    else:
        for version in changed:
            console.show(f"version {version.version}: {words}")
