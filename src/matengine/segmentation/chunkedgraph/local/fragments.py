"""The fragments in which a graph begins: parts of its objects that are likely to stay together.

An object could begin as one fragment, but then the first cut through its middle would move half of
its supervoxels to another. So a large one begins as many: each about as far as a cut reaches.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from matengine.segmentation.chunkedgraph.local.components import Index
from matengine.segmentation.chunkedgraph.protocol import Ids

# supervoxels of a fragment, about: larger ones cost the first cuts of an object more
SIZE = 1024
# fragments of an object, about: each edit of it writes a row for each
MOST = 1000


def parts(labels: Ids, a: Index, b: Index) -> Ids:
    """The fragment of each node, 0, 1, …, in the order of labels.

    `labels` are the numbers of the nodes' objects; a, b are the ends of their edges, node numbers.
    Objects of more than SIZE nodes are cut into parts: every SIZE-th node is a seed (in very large
    objects fewer are), and each node is of the seed that the fewest edges lead to.
    """
    fragment = labels.copy()
    sizes = np.bincount(labels)
    large = np.flatnonzero(sizes[labels] > SIZE)
    if len(large):
        place = np.full(len(labels), -1, np.int32)
        place[large] = np.arange(len(large))
        inner = place[a] >= 0
        seed = _nearest(len(large), place[a[inner]], place[b[inner]], _seeds(labels[large]))
        fragment[large] = len(sizes) + seed
    order = np.lexsort((fragment, labels))
    fragment[order] = np.cumsum(np.diff(fragment[order], prepend=-1) != 0) - 1
    return fragment


def _seeds(labels: Ids) -> Index:
    """Some nodes of each label, evenly in the order of nodes."""
    order = np.argsort(labels, kind="stable").astype(np.int32)
    counts = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    step = np.repeat(np.maximum(SIZE, counts // MOST), counts)
    seeds: Index = order[rank % step == 0]
    return seeds


def _nearest(n: int, a: Index, b: Index, seeds: Index) -> Index:
    """The seed nearest to each node; every connected part has one."""
    # the search begins at one more node, which leads to all seeds
    rows = np.concatenate([a, b, np.full(len(seeds), n, np.int32)])
    columns = np.concatenate([b, a, seeds])
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(n + 1, n + 1))
    parent: Index = breadth_first_order(links.tocsr(), n)[1][:n]
    parent[seeds] = seeds
    while np.any((above := parent[parent]) != parent):
        parent = above
    return parent
