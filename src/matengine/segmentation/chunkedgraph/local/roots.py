"""Roots of many supervoxels at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import numpy as np
import pyarrow as pa

from matengine.segmentation.chunkedgraph.local.store import Store
from matengine.segmentation.chunkedgraph.protocol import Ids

# ids of one query: their join fits into PostgreSQL's smallest memory, and few round trips remain
BLOCK_IDS = 100_000
# fewer are looked up one by one whatever the planner is told
MANY_IDS = 5_000

_FRAGMENTS: LiteralString = """
SELECT coalesce(array_agg(m.supervoxel_id), '{{}}'), coalesce(array_agg(m.fragment), '{{}}')
FROM (SELECT unnest(%s) OFFSET 0) AS s(id)
JOIN {g}.member m ON m.supervoxel_id = s.id
WHERE m.supervoxel_id BETWEEN %s AND %s AND m.from_ms <= %s AND m.to_ms > %s"""

_ROOTS: LiteralString = """
SELECT coalesce(array_agg(f.fragment), '{{}}'), coalesce(array_agg(f.root_id), '{{}}')
FROM (SELECT unnest(%s) OFFSET 0) AS s(id)
JOIN {g}.fragment_root f ON f.fragment = s.id
WHERE f.fragment BETWEEN %s AND %s AND f.from_ms <= %s AND f.to_ms > %s"""


def roots_at(store: Store, supervoxels: Ids, at_ms: int) -> Ids:
    """The root of each supervoxel at a time, 0 where there is none; same length, same order."""
    wanted, place = np.unique(supervoxels, return_inverse=True)
    fragment = fragments_at(store, wanted, at_ms)
    with _in_order(store, len(wanted)):
        # by hashing: a few fragments for very many supervoxels
        coded = pa.array(fragment).dictionary_encode()
        fragments: Ids = coded.dictionary.to_numpy()
        order = np.argsort(fragments)
        roots = np.empty(len(fragments), np.int64)
        roots[order] = _values_at(store, _ROOTS, fragments[order], at_ms)
    found: Ids = roots[coded.indices.to_numpy()][place]
    return found


def fragments_at(store: Store, supervoxels: Ids, at_ms: int) -> Ids:
    """The fragment of each of the sorted, distinct supervoxels at a time, 0 where there is none."""
    with _in_order(store, len(supervoxels)):
        return _values_at(store, _FRAGMENTS, supervoxels, at_ms)


def _values_at(store: Store, query: LiteralString, keys: Ids, at_ms: int) -> Ids:
    """The value of each of the sorted, distinct keys at a time, 0 where there is none."""
    values = np.zeros(len(keys), np.int64)
    for start in range(0, len(keys), BLOCK_IDS):
        block = keys[start : start + BLOCK_IDS]
        found, value = store.row(query, block, int(block[0]), int(block[-1]), at_ms, at_ms)
        values[start + np.searchsorted(block, found)] = value
    return values


@contextmanager
def _in_order(store: Store, count: int) -> Iterator[None]:
    """Tell the planner to join by order or one by one: hash joins of sorted ids take twice that.

    What it was told before holds again afterwards.
    """
    if count < MANY_IDS:
        yield
        return
    (before,) = store.row("SELECT current_setting('enable_hashjoin')")
    store.run("SET LOCAL enable_hashjoin = off")
    yield
    store.run("SELECT set_config('enable_hashjoin', %s, true)", before)
