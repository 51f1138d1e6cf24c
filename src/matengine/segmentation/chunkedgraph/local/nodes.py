"""Nodes of any layer of an embedded chunkedgraph: supervoxels, level-2 nodes, roots.

There are no other layers. As in a PyChunkedGraph, where a node with one child may be left out,
what is asked for at a layer between is answered with the next layer that there is: upwards the
root, downwards level-2 nodes.
"""

from datetime import datetime

import numpy as np

from matengine.errors import NotFound
from matengine.segmentation.chunkedgraph.ids import (
    DEFAULT_N_LAYERS,
    SUPERVOXEL_LAYER,
    is_supervoxel,
    layer_of,
)
from matengine.segmentation.chunkedgraph.local import level2
from matengine.segmentation.chunkedgraph.local.graph import LocalGraph
from matengine.segmentation.chunkedgraph.protocol import Ids


def climb(graph: LocalGraph, ids: Ids, at: datetime, stop_layer: int | None = None) -> Ids:
    """The root of each node at a time, or the first node on the way up from `stop_layer` on.

    Same length, same order. Ids at that layer or above stay as they are, also expired ones; 0 is
    for what has no root at that time, and for level-2 nodes that are not there then.
    """
    top = graph.n_layers or DEFAULT_N_LAYERS
    stop = top if stop_layer is None else stop_layer
    if stop <= SUPERVOXEL_LAYER:
        return ids
    layers = layer_of(ids)
    if stop == level2.LAYER:
        found = graph.level2().of_supervoxels(ids, at)
    else:
        found = graph.roots(ids, at)
        nodes = (layers == level2.LAYER) & (found == 0)
        if nodes.any() and graph.by_edges:
            found[nodes] = graph.roots(graph.level2().alive(ids[nodes], at), at)
    return np.where(layers >= stop, ids, found)


def leaves(graph: LocalGraph, node: int, stop_layer: int = SUPERVOXEL_LAYER) -> Ids:
    """The supervoxels of a node, sorted, or its nodes of a layer; raises NotFound."""
    (layer,) = layer_of([node]).tolist()
    itself = np.array([node], np.int64)
    if layer == SUPERVOXEL_LAYER:
        return itself
    if layer == level2.LAYER and graph.by_edges:
        if stop_layer >= level2.LAYER:
            return itself
        found = graph.level2().leaves(itself)
        if node not in found:
            raise NotFound(f"There is no level-2 node {node}.")
        return found[node]
    supervoxels = graph.leaves(node)
    if stop_layer >= (graph.n_layers or DEFAULT_N_LAYERS):
        return itself
    if stop_layer < level2.LAYER or not _has_level2(graph, supervoxels):
        return supervoxels
    return np.unique(graph.level2().of_root(node, supervoxels).nodes)


def children(graph: LocalGraph, node: int) -> Ids:
    """The nodes right below a node, sorted; raises NotFound."""
    (layer,) = layer_of([node]).tolist()
    if layer == SUPERVOXEL_LAYER:
        return np.empty(0, np.int64)
    return leaves(graph, node, layer - 1)


def existing(graph: LocalGraph, ids: Ids, until: datetime) -> Ids:
    """Those of the ids, sorted, that are nodes of the graph and were made until a time."""
    ids = np.unique(ids)
    found = [ids[graph.roots(ids, until) != 0], graph.made(ids, until)]
    nodes = ids[layer_of(ids) == level2.LAYER]
    if len(nodes) and graph.by_edges:
        found.append(np.array(list(graph.level2().leaves(nodes, until)), np.int64))
    return np.unique(np.concatenate(found))


def cover(graph: LocalGraph, nodes: Ids, at: datetime) -> Ids:
    """The fewest nodes of a time that together have the supervoxels of `nodes`, and no others."""
    asked = [leaves(graph, node) for node in np.unique(nodes).tolist()]
    left = np.unique(np.concatenate([np.empty(0, np.int64), *asked]))
    roots = graph.roots(left, at)
    whole = [
        root
        for root, count in zip(*np.unique(roots[roots != 0], return_counts=True), strict=True)
        if len(graph.leaves(root)) == count
    ]
    left = left[~np.isin(roots, whole)]
    if len(left) and _has_level2(graph, left):
        parts = graph.level2().of_supervoxels(left, at)
        members = graph.level2().leaves(np.unique(parts[parts != 0]))
        for part, count in zip(*np.unique(parts[parts != 0], return_counts=True), strict=True):
            if len(members[int(part)]) == count:
                whole.append(part)
        left = left[~np.isin(parts, whole)]
    return np.concatenate([np.array(whole, np.int64), left])


def _has_level2(graph: LocalGraph, supervoxels: Ids) -> bool:
    return graph.by_edges is not False and bool(is_supervoxel(supervoxels).all())
