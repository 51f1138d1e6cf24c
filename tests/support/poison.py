"""Points whose supervoxel cannot be read, or has no root, as long as a block lasts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from matengine.engine import datastacks
from matengine.engine.lookup import supervoxels
from matengine.engine.versions import resolve
from matengine.errors import Unavailable
from matengine.segmentation.volume import Volume

Mask = Callable[[NDArray[Any]], NDArray[np.bool_]]
UNREADABLE = "the chunk cannot be read"
_REAL = Volume.supervoxels


def nowhere(points: NDArray[Any]) -> NDArray[np.bool_]:
    """All can be read."""
    return np.zeros(len(points), np.bool_)


@contextmanager
def unreadable(where: Mask, asked: list[int] | None = None) -> Iterator[None]:
    """Points (N, 3) for which `where` is true cannot be read; `asked` counts points read.

    Within another such block this one counts alone.
    """

    def read(volume: Volume, points: NDArray[np.float64], **how: Any) -> NDArray[np.int64]:
        if asked is not None:
            asked.append(len(points))
        if where(points).any():
            raise Unavailable(UNREADABLE)
        return _REAL(volume, points, **how)

    with (
        patch.object(Volume, "supervoxels", read),
        patch.object(resolve, "MAX_ATTEMPTS", 1),  # the first try is the last
        patch.object(supervoxels, "_SMALLEST", 1),
    ):
        yield


@contextmanager
def rootless(which: Mask) -> Iterator[None]:
    """Supervoxels (N,) for which `which` is true have no root."""
    real = datastacks.open_graph

    class Graph:
        def __init__(self, graph: Any) -> None:
            self._graph = graph

        def __getattr__(self, name: str) -> Any:
            return getattr(self._graph, name)

        def roots(self, ids: Any, at: Any) -> Any:
            return np.where(which(np.asarray(ids)), 0, self._graph.roots(ids, at))

    with patch.object(datastacks, "open_graph", lambda *what: Graph(real(*what))):
        yield
