"""The edges of a graph's beginning, packed: they are read by thousands and never change.

Each edge belongs to the fragment in which its smaller end began. A row of the table has all edges
of the fragments from its own number up to the next row's. What edits add and remove is in the
table of changed edges (`edges.py`).
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from matengine.segmentation.chunkedgraph.local.store import Store
from matengine.segmentation.chunkedgraph.protocol import Ids

# an edge as its bytes in a row; affinity NaN: none, area -1: none
EDGE = np.dtype([("a", "<i8"), ("b", "<i8"), ("affinity", "<f4"), ("area", "<i8")])
# edges of a row, about, where fragments have fewer: little to read for one of them
ROW_EDGES = 256
# fragments asked for at once, so that memory stays bounded
READ_FRAGMENTS = 256

Edges = NDArray[np.void]
"""An array of EDGE."""


def write(store: Store, edges: Edges, fragments: Ids) -> None:
    """Pack edges, sorted by their ends; `fragments` are those in which their smaller ends begin."""
    order = np.argsort(fragments, kind="stable")
    fragments = fragments[order]
    first = np.flatnonzero(np.diff(fragments, prepend=-1))
    starts = first[np.unique(first // ROW_EDGES, return_index=True)[1]].tolist()
    statement = store.compose("COPY {g}.packed_edges FROM STDIN (FORMAT BINARY)")
    with store.conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["int8", "bytea"])
        for start, end in pairwise([*starts, len(edges)]):
            copy.write_row((int(fragments[start]), edges[order[start:end]].tobytes()))


def read(store: Store, fragments: Ids, supervoxels: Ids) -> Edges:
    """The edges whose smaller end is one of the supervoxels (sorted).

    `fragments` are all in which these supervoxels began. An edge may come twice.
    """
    found = [np.empty(0, EDGE)]
    for start in range(0, len(fragments), READ_FRAGMENTS):
        rows = store.run(
            "SELECT edges FROM {g}.packed_edges WHERE first_fragment IN ("
            " SELECT (SELECT first_fragment FROM {g}.packed_edges"
            "  WHERE first_fragment <= s.id ORDER BY 1 DESC LIMIT 1) FROM unnest(%s) AS s(id))"
            " ORDER BY first_fragment",
            fragments[start : start + READ_FRAGMENTS],
        )
        edges = np.frombuffer(b"".join(row for (row,) in rows), EDGE)
        found.append(edges[is_in(edges["a"], supervoxels)])
    return np.concatenate(found)


def is_in(ids: Ids, known: Ids) -> NDArray[np.bool_]:
    """Whether each id is one of the known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(ids), bool)
    place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    there: NDArray[np.bool_] = known[place] == ids
    return there
