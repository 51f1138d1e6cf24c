"""The lineage of one root: what it came from, what it became."""

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matengine.cli import console
from matengine.cli.options import Data, Datastack, Json
from matengine.cli.services import place
from matengine.times import from_ms

if TYPE_CHECKING:
    from rich.tree import Tree

    from matengine.segmentation.chunkedgraph.protocol import Lineage, Node

# of either direction; a neuron may have thousands
SHOWN_ROOTS = 100

Neighbours = Mapping[int, list[int]]


def add_to(app: typer.Typer) -> None:
    app.command("lineage")(lineage)


def lineage(
    root: Annotated[int, typer.Argument(help="A root id, also of an object that is no more.")],
    data: Data = None,
    datastack: Datastack = None,
    as_json: Json = False,
) -> None:
    """What a root id came from and what it became, with times and operations.

    Example: matengine lineage 360287970189639680 --data box
    """
    from rich.tree import Tree

    from matengine.engine import datastacks

    with place(data, datastack) as where:
        segmentation = datastacks.get(where.conn, where.datastack).segmentation
        found = datastacks.open_graph(where.conn, segmentation).lineage([root])
    if as_json:
        console.show_json(_plain(root, found))
        return
    tree = Tree(_words(root, found.nodes[root]))
    left = 0
    for title, neighbours in zip(("came from", "became"), _neighbours(found), strict=True):
        if root in neighbours:
            left += _grow(tree.add(title), root, neighbours, found)
        else:
            tree.add(f"{title} nothing else")
    console.out.print(tree)
    if left:
        console.say(f"… and {left} more root ids; --json tells all.")


def _neighbours(found: "Lineage") -> tuple[Neighbours, Neighbours]:
    """The former and the new roots of each root."""
    former: dict[int, list[int]] = {}
    new: dict[int, list[int]] = {}
    for before, after in found.links:
        former.setdefault(after, []).append(before)
        new.setdefault(before, []).append(after)
    return former, new


def _grow(tree: "Tree", root: int, neighbours: Neighbours, found: "Lineage") -> int:
    """Hang the relatives of a root into a tree, the nearest first; returns how many are left."""
    waiting = deque((tree, relative) for relative in neighbours.get(root, []))
    seen: set[int] = set()
    while waiting and len(seen) < SHOWN_ROOTS:
        parent, relative = waiting.popleft()
        words = _words(relative, found.nodes.get(relative))
        if relative in seen:
            parent.add(f"{words} (see above)")
            continue
        seen.add(relative)
        branch = parent.add(words)
        waiting.extend((branch, further) for further in neighbours.get(relative, []))
    return len(_reached(neighbours, root) - seen)


def _reached(neighbours: Neighbours, root: int) -> set[int]:
    reached: set[int] = set()
    waiting = list(neighbours.get(root, []))
    while waiting:
        relative = waiting.pop()
        if relative not in reached:
            reached.add(relative)
            waiting.extend(neighbours.get(relative, []))
    return reached


def _words(root: int, node: "Node | None") -> str:
    if node is None:
        return str(root)
    end = "alive" if node.operation_id is None else f"ended by operation {node.operation_id}"
    return f"{root} since {console.iso(from_ms(node.created_ms))}, {end}"


def _plain(root: int, found: "Lineage") -> dict[str, Any]:
    """JSON of a lineage: root ids with their times, and who came from whom."""
    return {
        "root_id": root,
        "roots": [
            {
                "root_id": relative,
                "created": from_ms(node.created_ms),
                "ended_by_operation": node.operation_id,
            }
            for relative, node in sorted(found.nodes.items(), key=lambda n: (n[1].created_ms, n[0]))
        ],
        "links": [{"former": former, "new": new} for former, new in found.links],
    }
