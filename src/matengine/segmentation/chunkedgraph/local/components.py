"""Connected components."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Index = NDArray[np.int64] | NDArray[np.int32]
"""Numbers of nodes. SciPy's graphs number them by 32 bits."""


def components(n: int, a: Index, b: Index) -> NDArray[np.int64]:
    """The number of each node's component, 0, 1, …; a, b (m,) are the ends of undirected edges."""
    links = coo_array((np.ones(len(a), bool), (a, b)), shape=(n, n))
    labels: NDArray[np.int64] = connected_components(links, directed=False)[1].astype(np.int64)
    return labels
