"""How roots came from each other."""

from datetime import datetime

from matengine.errors import NotFound
from matengine.segmentation.chunkedgraph.local.store import NEVER, Store
from matengine.segmentation.chunkedgraph.protocol import Ids, Lineage, Node
from matengine.times import to_ms


def lineage(store: Store, roots: Ids, past: datetime | None, future: datetime | None) -> Lineage:
    """Ancestors back to those alive at `past`, descendants up to the first after `future`."""
    past_ms = -NEVER if past is None else to_ms(past)
    future_ms = NEVER if future is None else to_ms(future)
    nodes = store.run(
        """WITH RECURSIVE
        back(id) AS (
          SELECT unnest(%s)
          UNION SELECT f.former_id FROM back
            JOIN {g}.root r ON r.root_id = back.id AND r.created_ms > %s
            JOIN {g}.root_former f ON f.root_id = back.id),
        ahead(id) AS (
          SELECT unnest(%s)
          UNION SELECT f.root_id FROM ahead
            JOIN {g}.root r ON r.root_id = ahead.id AND r.created_ms <= %s
            JOIN {g}.root_former f ON f.former_id = ahead.id)
        SELECT r.root_id, r.created_ms, r.retired_by,
          r.root_id IN (SELECT id FROM back) AND r.created_ms > %s,
          r.root_id IN (SELECT id FROM ahead) AND r.created_ms <= %s
        FROM {g}.root r WHERE r.root_id IN (SELECT id FROM back UNION SELECT id FROM ahead)""",
        roots, past_ms, roots, future_ms, past_ms, future_ms,
    ).fetchall()  # fmt: skip
    found = {root: Node(created_ms, by) for root, created_ms, by, _, _ in nodes}
    require_known(roots, found)
    return Lineage(found, _links(store, nodes))


def _links(
    store: Store, nodes: list[tuple[int, int, int | None, bool, bool]]
) -> list[tuple[int, int]]:
    backwards = [root for root, _, _, back, _ in nodes if back]
    forwards = [root for root, _, _, _, ahead in nodes if ahead]
    rows = store.run(
        "SELECT former_id, root_id FROM {g}.root_former WHERE root_id = ANY(%s::bigint[])"
        " UNION SELECT former_id, root_id FROM {g}.root_former WHERE former_id = ANY(%s::bigint[])"
        " ORDER BY 1, 2",
        backwards, forwards,
    )  # fmt: skip
    return rows.fetchall()


def ancestors(graph: Lineage, past_ms: int) -> dict[int, frozenset[int]]:
    """For each node its ancestors (or itself) alive at `past_ms`, or the first where none was."""
    formers: dict[int, list[int]] = {}
    for former, root in graph.links:
        formers.setdefault(root, []).append(former)
    found: dict[int, frozenset[int]] = {}
    for root in sorted(graph.nodes, key=lambda r: graph.nodes[r].created_ms):
        before = formers.get(root)
        if graph.nodes[root].created_ms <= past_ms or not before:
            found[root] = frozenset([root])
        else:
            found[root] = frozenset().union(*(found[former] for former in before))
    return found


def descendants(graph: Lineage, at_ms: int) -> dict[int, frozenset[int]]:
    """For each node its descendants (or itself) alive at `at_ms`."""
    later: dict[int, list[int]] = {}
    for former, root in graph.links:
        later.setdefault(former, []).append(root)
    found: dict[int, frozenset[int]] = {}
    for root in sorted(graph.nodes, key=lambda r: -graph.nodes[r].created_ms):
        if graph.nodes[root].created_ms > at_ms:
            found[root] = frozenset()
            continue
        after = later.get(root, [])
        # an operation makes all its roots at its time, so the first tells when this one ended
        if not after or graph.nodes[after[0]].created_ms > at_ms:
            found[root] = frozenset([root])
        else:
            found[root] = frozenset().union(*(found[new] for new in after))
    return found


def require_known(roots: Ids, known: object) -> None:
    """Raises NotFound for the first root that is not among the known ones."""
    for root in roots.tolist():
        if root not in known:  # type: ignore[operator]
            raise NotFound(f"There is no root id {root}.")
