"""Points whose supervoxel or root is not known: which, why, and what becomes of them."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from matengine.cli import console
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.errors import Invalid

Limit = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="So many at most; default: 100, in JSON all.", show_default=False
    ),
]
PEOPLE_READ = 100


def add_to(app: typer.Typer) -> None:
    app.command("lookups")(lookups)
    app.command("gaps")(gaps)
    app.command("gap-policy")(gap_policy)


def lookups(
    table: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="Default: all tables.")
    ] = None,
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="ID…", help="Some rows, point by point.")
    ] = None,
    data: Data = None,
    datastack: Datastack = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="List those that failed, and why.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Let the next epoch try again what was given up.")
    ] = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """How the lookups of points stand: counts by state, or those of some rows.

      pending            no epoch has taken the row up yet

      resolved           supervoxel and root are known

      background         looked up, and nothing is there

      failed, retryable  every epoch tries again

      failed, permanent  ten epochs have tried in vain; tried again on --retry only

    What has failed is a gap of the versions made meanwhile, never a 0.

    Examples:

      matengine lookups --data box

      matengine lookups synapses 17 18 --data box

      matengine lookups synapses --failed --data box

      matengine lookups synapses --retry --data box
    """
    from matengine.engine.annotations.tables import list_tables
    from matengine.engine.lookup import failures, states

    if ids and failed:
        raise Invalid("Rows are listed whether they failed or not.", "Leave --failed or the ids.")
    with place(data, datastack) as where:
        conn, stack = where.conn, where.datastack
        if table is not None:
            states.check(conn, stack, table)
        if retry:
            again = failures.retry(conn, stack, table, ids or None)
            conn.commit()
            _tell_retried(again, as_json)
        elif ids and table is not None:
            _tell(states.of_rows(conn, stack, table, ids), as_json, "no such rows")
        elif failed:
            limit = limit or (None if as_json else PEOPLE_READ)
            found = states.failures(conn, stack, table, limit=limit)
            _tell(found, as_json, "none has failed", limit)
        else:
            names = [table] if table else list_tables(conn)
            counts = [c for name in names for c in states.counts(conn, stack, name)]
            _tell(counts, as_json, "there are no points that have a root")


def gaps(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A version's number or name, or 'newest'.")
    ],
    table: Annotated[
        str | None, typer.Option("--table", metavar="TABLE", help="Default: all tables.")
    ] = None,
    data: Data = None,
    datastack: Datastack = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """The gaps of a version: points without a root in it, and what was known of the reason.

    The list belongs to the version and never changes, also when a later one has healed. A point
    that lies in background is no gap.

    Examples:

      matengine gaps 3 --data box

      matengine gaps newest --table synapses --json --data box
    """
    from matengine.engine.versions import gaps as recorded
    from matengine.engine.versions import labels

    with place(data, datastack) as where:
        limit = limit or (None if as_json else PEOPLE_READ)
        number = labels.find(where.conn, where.datastack, version).version
        found = recorded.of_version(where.conn, where.datastack, number, table, limit=limit)
    _tell(found, as_json, f"version {number} has no gaps", limit)


def gap_policy(
    policy: Annotated[
        str | None, typer.Argument(metavar="POLICY", help="publish-with-gaps, or refuse.")
    ] = None,
    data: Data = None,
    datastack: Datastack = None,
    as_json: Json = False,
) -> None:
    """Whether a version is published although some roots could not be found; say or change it.

    With publish-with-gaps it is, and says how many and which (see: matengine gaps). With refuse its
    run fails and takes back what it wrote; the next one tries again. Versions that there are stay.

    Examples:

      matengine gap-policy --data box

      matengine gap-policy refuse --data box
    """
    from matengine.engine import datastacks

    with place(data, datastack) as where:
        if policy is None:
            stack = datastacks.get(where.conn, where.datastack)
        else:
            stack = datastacks.set_gap_policy(where.conn, where.datastack, policy)
            where.conn.commit()
    if as_json:
        console.show_json({"datastack": stack.name, "gap_policy": stack.gap_policy})
    else:
        console.show(stack.gap_policy)


def _tell(found: list[Any], as_json: bool, none: str, limit: int | None = None) -> None:
    """Records as a table for people."""
    if as_json:
        console.show_json(found)
        return
    if not found:
        console.say(none)
        return
    rows = [asdict(record) for record in found]
    console.show_table(
        [name.replace("_", " ") for name in rows[0]], [list(r.values()) for r in rows]
    )
    if len(rows) == limit:
        console.say(f"the first {limit}; more with --limit")


def _tell_retried(count: int, as_json: bool) -> None:
    if as_json:
        console.show_json({"retried": count})
    elif count:
        console.show(
            f"{count} lookups will be tried again by the next epoch: matengine materialize"
        )
    else:
        console.show("none was given up")
