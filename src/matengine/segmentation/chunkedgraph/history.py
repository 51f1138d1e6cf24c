"""Lineages as servers tell them, cut to the engine's half-open rule."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matengine.segmentation.chunkedgraph.protocol import Lineage, Node

Steps = Mapping[int, set[int]]


@dataclass(frozen=True)
class History:
    """Roots and how they came from each other; times in milliseconds."""

    nodes: dict[int, Node] = field(default_factory=dict)
    formers: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    successors: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def lineage(self, roots: Sequence[int], past_ms: int | None, future_ms: int | None) -> Lineage:
        """Back to roots that were alive at `past_ms`, on to the first made after `future_ms`."""
        before, after = self._backwards(roots, past_ms), self._forwards(roots, future_ms)
        links = {
            (former, node)
            for node in before
            if past_ms is None or self.nodes[node].created_ms > past_ms
            for former in self.formers[node]
        } | {
            (node, new)
            for node in after
            if future_ms is None or self.nodes[node].created_ms <= future_ms
            for new in self.successors[node]
        }
        found = before | after
        return Lineage({root: self.nodes[root] for root in sorted(found)}, sorted(links))

    def ancestors_at(self, root: int, at_ms: int) -> list[int]:
        """The ancestors alive at a time, the first ones of a later graph, or the root itself."""
        return sorted(
            node
            for node in self._backwards([root], at_ms)
            if self.nodes[node].created_ms <= at_ms or not self.formers[node]
        )

    def descendants_at(self, root: int, at_ms: int) -> list[int]:
        """The descendants, or the root itself, alive at a time; none where it was made later."""
        created = [
            node for node in self._forwards([root], at_ms) if self.nodes[node].created_ms <= at_ms
        ]
        return sorted(
            node
            for node in created
            if all(self.nodes[new].created_ms > at_ms for new in self.successors[node])
        )

    def _backwards(self, roots: Sequence[int], past_ms: int | None) -> set[int]:
        def goes_on(node: Node) -> bool:
            return past_ms is None or node.created_ms > past_ms

        return self._walk(roots, self.formers, goes_on)

    def _forwards(self, roots: Sequence[int], future_ms: int | None) -> set[int]:
        def goes_on(node: Node) -> bool:
            return future_ms is None or node.created_ms <= future_ms

        return self._walk(roots, self.successors, goes_on)

    def _walk(
        self, roots: Sequence[int], steps: Steps, goes_on: Callable[[Node], bool]
    ) -> set[int]:
        """All nodes on the way, with those at which it ends."""
        seen, waiting = set(roots), list(roots)
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
