"""The embedded chunkedgraph: supervoxels, edges and their edits in PostgreSQL."""

from matengine.segmentation.chunkedgraph.local import nodes
from matengine.segmentation.chunkedgraph.local.edits import (
    Edit,
    merge,
    preview_split,
    relabel,
    seal,
    split,
    undo,
)
from matengine.segmentation.chunkedgraph.local.graph import LocalGraph
from matengine.segmentation.chunkedgraph.local.history import replay
from matengine.segmentation.chunkedgraph.local.latest import latest_edit
from matengine.segmentation.chunkedgraph.local.load import (
    add_supervoxels,
    load_assignment,
    load_edges,
)
from matengine.segmentation.chunkedgraph.local.operations import Operation
from matengine.segmentation.chunkedgraph.local.store import create, drop, graphs

__all__ = [
    "Edit",
    "LocalGraph",
    "Operation",
    "add_supervoxels",
    "create",
    "drop",
    "graphs",
    "latest_edit",
    "load_assignment",
    "load_edges",
    "merge",
    "nodes",
    "preview_split",
    "relabel",
    "replay",
    "seal",
    "split",
    "undo",
]
