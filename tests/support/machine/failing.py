"""Outside services that fail: the volume of supervoxels, or the chunkedgraph."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from matengine.engine import datastacks
from matengine.engine.lookup import failures, supervoxels
from matengine.engine.versions import resolve
from matengine.errors import Unavailable
from matengine.segmentation.volume import Volume

# what a version may lack then: supervoxels and so roots, roots alone, or nothing (the run fails)
WAYS = ("volume", "part", "rootless", "graph")


@contextmanager
def failing(way: str | None, tries: int = 2) -> Iterator[None]:
    """Fail in one of WAYS, or not at all, as long as the context lasts.

    An epoch tries so often to read the volume.
    """
    if way is None:
        yield
        return
    changed = {
        "volume": (Volume, "supervoxels", _unreadable),
        "part": (Volume, "supervoxels", _partly(Volume.supervoxels)),
        "rootless": (datastacks, "open_graph", _wrapped(datastacks.open_graph, Forgetful)),
        "graph": (datastacks, "open_graph", _wrapped(datastacks.open_graph, Unreachable)),
    }[way]
    with (
        patch.object(*changed),
        patch.object(resolve, "MAX_ATTEMPTS", tries),
        patch.object(supervoxels, "_SMALLEST", 1),
        patch.object(failures, "MAX_ATTEMPTS", 1000),
    ):
        yield


def _unreadable(*_: Any, **__: Any) -> Any:
    raise Unavailable("the volume cannot be read")


def _partly(real: Any) -> Any:
    """A lookup to which a third of the volume is unreadable."""

    def supervoxels(self: Volume, points: Any, **more: Any) -> Any:
        if np.any(np.floor(points[:, 0]) % 3 == 0):
            raise Unavailable("a chunk cannot be read")
        return real(self, points, **more)

    return supervoxels


def _wrapped(real: Any, kind: type) -> Any:
    return lambda *what: kind(real(*what))


class Forgetful:
    """A chunkedgraph that has no root for a third of the supervoxels."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def __getattr__(self, name: str) -> Any:
        return getattr(self._graph, name)

    def roots(self, ids: Any, at: Any) -> Any:
        return np.where(np.asarray(ids) % 3 == 1, 0, self._graph.roots(ids, at))


class Unreachable(Forgetful):
    """A chunkedgraph on a server that is down."""

    def roots(self, *_: Any) -> Any:
        raise Unavailable("the chunkedgraph cannot be reached")

    delta_roots = roots
