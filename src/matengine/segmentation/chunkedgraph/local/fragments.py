"""The fragments in which a graph begins: parts of its objects that are likely to stay together.

An object could begin as one fragment, but then the first cut through its middle would move half of
its supervoxels to another. So a large one begins as many: each about as far as a cut reaches.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from matengine.segmentation.chunkedgraph.protocol import Ids

# supervoxels of a fragment, about: smaller ones cost each edit of a large object more rows,
# larger ones its first cuts
SIZE = 1024


def parts(labels: Ids, a: Ids, b: Ids) -> Ids:
    """The fragment of each node, 0, 1, …, in the order of labels.

    `labels` are the numbers of the nodes' objects; a, b are the ends of their edges, node numbers.
    Objects of more than SIZE nodes are cut into parts: every SIZE-th node is a seed, and each node
    is of the seed that the fewest edges lead to.
    """
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    seeds = np.sort(order[rank % SIZE == 0])
    seed = _nearest(len(labels), a, b, seeds) if len(seeds) > len(sizes) else labels
    keys = np.lexsort((seed, labels))
    new = np.ones(len(labels), bool)
    new[1:] = (np.diff(labels[keys]) != 0) | (np.diff(seed[keys]) != 0)
    fragment = np.empty(len(labels), np.int64)
    fragment[keys] = np.cumsum(new) - 1
    return fragment


def _nearest(n: int, a: Ids, b: Ids, seeds: Ids) -> Ids:
    """The seed nearest to each node; every connected part has one."""
    # the search begins at one more node, which leads to all seeds
    rows = np.concatenate([a, b, np.full(len(seeds), n)])
    columns = np.concatenate([b, a, seeds])
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(n + 1, n + 1))
    parent: Ids = breadth_first_order(links.tocsr(), n)[1][:n].astype(np.int64)
    parent[seeds] = seeds
    while np.any((above := parent[parent]) != parent):
        parent = above
    return parent
