"""Minimum cuts of supervoxel graphs, exact for 32-bit affinities.

SciPy's maximum flow takes 32-bit capacities only (larger ones overflow silently). Here
capacities are 64-bit integers, and the flow is found in a few rounds of capacity scaling
(Gabow 1985; Ahuja, Magnanti, Orlin, "Network Flows", 7.3): each round sends what fits into 32
bits, then works on the residual graph with finer steps, until the step is one. What has more room
left than can be sent any more is merged between rounds, so later ones are small.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, maximum_flow

from matengine.errors import Invalid
from matengine.segmentation.chunkedgraph.local.components import components

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

# capacities of one 32-bit round; the sum of flows into a node stays below 2**31
_ROUND_BITS = 30
# the sum of all 64-bit capacities stays below 2**61
_TOTAL_BITS = 60
_SOURCE, _SINK = 0, 1


def minimum_cut(
    n: int, a: Index, b: Index, weights: NDArray[np.float64], sources: Index, sinks: Index
) -> Mask:
    """Which edges to remove so that no source is connected to a sink, at the least weight.

    Parameters
    ----------
    n: number of nodes
    a, b: the ends of undirected edges, node numbers, shape (m,)
    weights: shape (m,), not negative; an edge of infinite weight is never cut
    sources, sinks: node numbers, not empty

    Of several minimum cuts it is the one nearest to the sources; a part that hangs on by
    weightless edges alone stays on the sources' side. Sums of weights are exact as long as they
    need no more than 60 bits, which is so for 32-bit affinities between 1e-5 and 1 on a million
    edges.

    Raises Invalid where a node is source and sink, or infinite edges join the two.
    """
    if np.intersect1d(sources, sinks).size:
        raise Invalid("A supervoxel cannot be both a source and a sink of a split.")
    node = _contract(n, a, b, np.isinf(weights), sources, sinks)
    a, b = node[a], node[b]
    inner = a == b
    count = int(node.max()) + 1
    capacity = _integers(np.where(inner, 0.0, np.nan_to_num(weights, posinf=0.0)))
    near = _near_side(_symmetric(count, a[~inner], b[~inner], capacity[~inner]))
    # what is neither reached nor connected to the sinks was cut off for nothing
    loose = near[a] | near[b]
    parts = components(count, a[~loose], b[~loose])
    near |= parts != parts[_SINK]
    cut: Mask = near[a] != near[b]
    return cut


def _contract(n: int, a: Index, b: Index, solid: Mask, sources: Index, sinks: Index) -> Index:
    """New node numbers: the sources are 0, the sinks 1, nodes joined by `solid` edges one."""
    body = components(n, a[solid], b[solid]) if solid.any() else np.arange(n)
    if np.intersect1d(body[sources], body[sinks]).size:
        raise Invalid(
            "The sources and sinks lie in pieces of one supervoxel, which no cut can part."
        )
    return _numbered(body, sources, sinks)


def _numbered(body: Index, sources: Index, sinks: Index) -> Index:
    """Bodies 0, 1, … numbered anew: that of the sources is 0, that of the sinks 1."""
    number = np.full(int(body.max()) + 1, -1, np.int64)
    number[body[sources]] = _SOURCE
    number[body[sinks]] = _SINK
    others = np.flatnonzero(number < 0)
    # SciPy's flow tries low numbers first, and neighbours have near ones: the sinks lie downhill
    if body[sinks].mean() > body[sources].mean():
        others = others[::-1]
    number[others] = 2 + np.arange(len(others))
    numbered: Index = number[body]
    return numbered


def _integers(weights: NDArray[np.float64]) -> Index:
    """Weights times the largest power of two that keeps their sum below 2**61."""
    total = float(weights.sum())
    exponent = int(np.frexp(total)[1])
    return np.rint(np.ldexp(weights, _TOTAL_BITS - exponent)).astype(np.int64)


def _symmetric(n: int, a: Index, b: Index, capacity: Index) -> csr_array:
    both = (np.concatenate([capacity, capacity]), (np.r_[a, b], np.r_[b, a]))
    return csr_array(coo_array(both, shape=(n, n)))  # parallel edges add up


def _near_side(capacity: csr_array) -> Mask:
    """The nodes that a maximum flow from node 0 to node 1 leaves reachable from node 0."""
    left, node = capacity, np.arange(capacity.shape[0])
    bound = int(min(left[[_SOURCE], :].sum(), left[:, [_SINK]].sum()))
    while bound:
        shift = max(0, bound.bit_length() - _ROUND_BITS)
        step = left.copy()
        step.data = (np.minimum(left.data, bound) >> shift).astype(np.int32)
        found = maximum_flow(step, _SOURCE, _SINK)
        near = _reached(step - found.flow)
        sent = found.flow.astype(np.int64)
        sent.data <<= shift
        left = csr_array(left - sent)
        # no more fits through the cut that is full at this step
        room = left.data[np.repeat(near, np.diff(left.indptr)) & ~near[left.indices]].sum()
        bound = min(bound - (int(found.flow_value) << shift), int(room))
        group, left = _merged(left, bound)
        node = group[node]
    near_side: Mask = _reached(left)[node]
    return near_side


def _merged(left: csr_array, bound: int) -> tuple[Index, csr_array]:
    """The graph without what no cut of at most `bound` parts, and the new number of each node.

    Nodes that reach each other by edges with more room than that are on one side of such a cut.
    """
    wide = left.copy()
    wide.data = left.data > bound
    wide.eliminate_zeros()
    count, body = connected_components(wide, directed=True, connection="strong")
    group = _numbered(body, np.array([_SOURCE]), np.array([_SINK]))
    ends = left.tocoo()
    a, b = group[ends.row], group[ends.col]
    kept = a != b
    return group, csr_array(coo_array((ends.data[kept], (a[kept], b[kept])), shape=(count,) * 2))


def _reached(residual: csr_array) -> Mask:
    """The nodes that flow can still reach from the source."""
    residual.eliminate_zeros()
    near = np.zeros(residual.shape[0], bool)
    near[breadth_first_order(residual, _SOURCE, return_predecessors=False)] = True
    return near
