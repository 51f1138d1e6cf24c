"""The embedded chunkedgraph: merge, split, look up roots."""

from datetime import datetime
from typing import Annotated, Any

import typer

from matengine import times
from matengine.cli import console
from matengine.cli.options import At, Data, Datastack, Json
from matengine.cli.services import place
from matengine.errors import Invalid

Edges = Annotated[
    list[str] | None, typer.Argument(metavar="A:B…", help="Edges between supervoxels.")
]
Ids = Annotated[
    str | None, typer.Option(metavar="ID,ID,…", help="Supervoxels on this side of the cut.")
]

group = typer.Typer(no_args_is_help=True, help="Proofread: merge and split objects; see roots.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(group, name="graph")


@group.command()
def merge(
    edges: Edges = None,
    data: Data = None,
    datastack: Datastack = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Join two objects by an edge between two of their supervoxels.

    --at gives the edit a time of its own, later than the last materialization.

    Example: matengine graph merge 72620543991349249:72620612710825985 --data box
    """
    from matengine.engine import proofreading

    pairs = [_edge(text) for text in edges or []]
    with place(data, datastack) as where:
        edit = proofreading.merge(where.conn, where.datastack, pairs, at=at)
        where.conn.commit()
    _tell(edit, as_json)


@group.command()
def split(
    edges: Edges = None,
    sources: Ids = None,
    sinks: Ids = None,
    data: Data = None,
    datastack: Datastack = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Take an object apart: remove edges, or cut between two groups of its supervoxels.

    Examples:

      matengine graph split 72620543991349249:72620612710825985 --data box

      matengine graph split --sources 72620543991349249 --sinks 72620612710825985 --data box
    """
    from matengine.engine import proofreading

    pairs = [_edge(text) for text in edges or []]
    with place(data, datastack) as where:
        edit = proofreading.split(
            where.conn,
            where.datastack,
            pairs,
            sources=_ids(sources),
            sinks=_ids(sinks),
            at=at,
        )
        where.conn.commit()
    _tell(edit, as_json)


@group.command()
def roots(
    supervoxels: Annotated[list[int], typer.Argument(help="Supervoxel ids.")],
    data: Data = None,
    datastack: Datastack = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """The root id of each supervoxel at a time, by default now; 0 where there is none.

    Example: matengine graph roots 72620543991349249 --at 2026-01-31T12:00:00 --data box
    """
    from matengine.engine import datastacks

    moment: datetime = at or times.now()
    with place(data, datastack) as where:
        segmentation = datastacks.get(where.conn, where.datastack).segmentation
        found = datastacks.open_graph(where.conn, segmentation).roots(supervoxels, moment)
    answer = list(zip(supervoxels, found.tolist(), strict=True))
    if as_json:
        console.show_json([{"supervoxel_id": s, "root_id": r} for s, r in answer])
    else:
        console.show_table(["supervoxel id", "root id"], answer)


def _edge(text: str) -> tuple[int, int]:
    a, colon, b = text.partition(":")
    try:
        if colon:
            return int(a), int(b)
    except ValueError:
        pass
    raise Invalid(f"'{text}' is no edge.", "Write two supervoxel ids as A:B.")


def _ids(text: str | None) -> list[int]:
    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError:
        raise Invalid(f"'{text}' are no supervoxel ids.", "Write them as ID,ID,ID.") from None


def _tell(edit: Any, as_json: bool) -> None:
    former, new = edit.former_roots.tolist(), edit.new_roots.tolist()
    if as_json:
        answer = {"operation_id": edit.operation_id, "time": edit.at}
        console.show_json(answer | {"former_roots": former, "new_roots": new})
        return
    console.show(f"operation {edit.operation_id} at {console.iso(edit.at)}")
    console.show(f"retired: {', '.join(map(str, former))}")
    console.show(f"new:     {', '.join(map(str, new))}")
