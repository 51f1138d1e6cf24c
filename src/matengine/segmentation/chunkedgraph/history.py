"""Lineages as servers tell them, cut to the engine's half-open rule."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from matengine.segmentation.chunkedgraph.protocol import Lineage, Node


@dataclass(frozen=True)
class History:
    """Roots and how they came from each other; times in milliseconds."""

    nodes: dict[int, Node] = field(default_factory=dict)
    formers: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    successors: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def lineage(self, roots: Iterable[int], past_ms: int | None, future_ms: int | None) -> Lineage:
        """Back to roots that were alive at `past_ms`, on to the first made after `future_ms`."""
        found, links = set(roots), set()
        for root in tuple(found):
            for node in self._backwards(root, past_ms):
                found.add(node)
                if past_ms is None or self.nodes[node].created_ms > past_ms:
                    links |= {(former, node) for former in self.formers[node]}
            for node in self._forwards(root, future_ms):
                found.add(node)
                if future_ms is None or self.nodes[node].created_ms <= future_ms:
                    links |= {(node, new) for new in self.successors[node]}
        return Lineage({root: self.nodes[root] for root in sorted(found)}, sorted(links))

    def ancestors_at(self, root: int, at_ms: int) -> list[int]:
        """The ancestors alive at a time, the first ones of a later graph, or the root itself."""
        return sorted(
            node
            for node in self._backwards(root, at_ms)
            if self.nodes[node].created_ms <= at_ms or not self.formers[node]
        )

    def descendants_at(self, root: int, at_ms: int) -> list[int]:
        """The descendants, or the root itself, alive at a time; none where it was made later."""
        created = [
            node for node in self._forwards(root, at_ms) if self.nodes[node].created_ms <= at_ms
        ]
        return sorted(
            node
            for node in created
            if all(self.nodes[new].created_ms > at_ms for new in self.successors[node])
        )

    def _backwards(self, root: int, past_ms: int | None) -> set[int]:
        return self._walk(
            root, self.formers, lambda node: past_ms is None or node.created_ms > past_ms
        )

    def _forwards(self, root: int, future_ms: int | None) -> set[int]:
        return self._walk(
            root, self.successors, lambda node: future_ms is None or node.created_ms <= future_ms
        )

    def _walk(self, root: int, steps: Mapping[int, set[int]], goes_on: Any) -> set[int]:
        """All nodes on the way, with those at which it ends."""
        seen, waiting = {root}, [root]
        while waiting:
            node = waiting.pop()
            if goes_on(self.nodes[node]):
                new = steps[node] - seen
                seen |= new
                waiting += new
        return seen


def read_history(answers: Iterable[Mapping[str, Any]]) -> History:
    """Node-link graphs (ids as numbers or texts, times in seconds) as one history."""
    history = History()
    for answer in answers:
        for node in answer["nodes"]:
            operation = node.get("operation_id")
            history.nodes[int(node["id"])] = Node(
                round(1000 * node["timestamp"]), None if operation is None else int(operation)
            )
        for link in answer.get("links", answer.get("edges", ())):
            former, new = int(link["source"]), int(link["target"])
            history.formers[new].add(former)
            history.successors[former].add(new)
    return history
