"""The tables of an embedded chunkedgraph: schema "graph_NAME" in its aligned volume's database.

What changes over time is kept in rows valid for from_ms <= t < to_ms. A *fragment* is a set of
supervoxels that have always moved together: a merge changes a row for each fragment, a split
moves only the supervoxels that leave their fragment's larger side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, LiteralString

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql

from matengine.errors import Conflict, NotFound, did_you_mean
from matengine.segmentation.chunkedgraph.local.arrays import array_cursor
from matengine.storage.copy import copy_columns
from matengine.storage.names import check_name
from matengine.times import to_ms

Connection = psycopg.Connection[Any]

PREFIX = "graph_"
# the end of what has not ended
NEVER = 2**63 - 1

_TABLES: LiteralString = """
CREATE SCHEMA {g};
CREATE TABLE {g}.meta (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  start_ms bigint NOT NULL,
  sealed_ms bigint NOT NULL,       -- operations come later than this
  n_layers integer,
  chunk_size bigint[],             -- voxels
  by_edges boolean,                -- NULL while empty; false: objects were given as labels
  next_segment bigint NOT NULL DEFAULT 1,
  next_fragment bigint NOT NULL DEFAULT 1);
CREATE TABLE {g}.edge (            -- that an edit has added or removed (edges.py)
  a bigint NOT NULL, b bigint NOT NULL, affinity real, area bigint,
  from_ms bigint NOT NULL, to_ms bigint NOT NULL,
  PRIMARY KEY (a, b, from_ms), CHECK (a < b), CHECK (from_ms < to_ms)) WITH (fillfactor = 90);
CREATE TABLE {g}.packed_edges (    -- of the beginning (packed.py)
  first_fragment bigint PRIMARY KEY, edges bytea NOT NULL);
ALTER TABLE {g}.packed_edges ALTER edges SET STORAGE EXTERNAL;
CREATE TABLE {g}.touch (           -- an edit added or removed edges of the supervoxel
  number bigint PRIMARY KEY, supervoxel_id bigint NOT NULL, at_ms bigint NOT NULL,
  UNIQUE (supervoxel_id, at_ms));
CREATE TABLE {g}.member (
  supervoxel_id bigint NOT NULL, fragment bigint NOT NULL,
  from_ms bigint NOT NULL, to_ms bigint NOT NULL,
  PRIMARY KEY (supervoxel_id, from_ms), CHECK (from_ms < to_ms)) WITH (fillfactor = 90);
CREATE INDEX ON {g}.member (fragment);
CREATE TABLE {g}.fragment_root (
  fragment bigint NOT NULL, root_id bigint NOT NULL,
  from_ms bigint NOT NULL, to_ms bigint NOT NULL,
  PRIMARY KEY (fragment, from_ms), CHECK (from_ms < to_ms)) WITH (fillfactor = 90);
CREATE INDEX ON {g}.fragment_root (root_id);
CREATE TABLE {g}.root (
  root_id bigint PRIMARY KEY, created_ms bigint NOT NULL, expired_ms bigint NOT NULL,
  created_by bigint, retired_by bigint);
CREATE INDEX ON {g}.root (created_ms) WHERE created_by IS NOT NULL;
CREATE INDEX ON {g}.root (expired_ms) WHERE retired_by IS NOT NULL;
CREATE TABLE {g}.root_former (
  root_id bigint NOT NULL, former_id bigint NOT NULL, PRIMARY KEY (root_id, former_id));
CREATE INDEX ON {g}.root_former (former_id);
CREATE TABLE {g}.operation (
  operation_id bigint PRIMARY KEY, at_ms bigint NOT NULL UNIQUE, kind text NOT NULL,
  user_id bigint, source_ids bigint[] NOT NULL, sink_ids bigint[] NOT NULL,
  edges_a bigint[] NOT NULL, edges_b bigint[] NOT NULL, undo_of bigint);
CREATE INDEX ON {g}.operation (user_id, at_ms);
"""


@dataclass(frozen=True)
class Meta:
    """The one row of the graph's own facts; times in ms, chunk size in voxels."""

    start_ms: int
    sealed_ms: int
    n_layers: int | None
    chunk_size: tuple[int, int, int] | None
    by_edges: bool | None
    next_segment: int
    next_fragment: int


@dataclass(frozen=True)
class Store:
    """One graph's tables on one connection."""

    conn: Connection
    name: str

    @property
    def schema(self) -> str:
        return PREFIX + self.name

    def run(self, query: LiteralString, *values: Any) -> psycopg.Cursor[Any]:
        """Execute; in the query {g} is the schema and {never} the end of open rows."""
        cursor = array_cursor(self.conn)
        # a prepared plan would forget how long the arrays are
        return cursor.execute(self.compose(query), values or None, prepare=False)

    def run_many(self, query: LiteralString, rows: Sequence[tuple[Any, ...]]) -> None:
        """Execute for each row of values."""
        array_cursor(self.conn).executemany(self.compose(query), rows)

    def compose(self, query: LiteralString) -> sql.Composed:
        """The query with its {g} and {never} filled in."""
        return sql.SQL(query).format(g=sql.Identifier(self.schema), never=sql.Literal(NEVER))

    def row(self, query: LiteralString, *values: Any) -> tuple[Any, ...]:
        """The only row of a query that always has one."""
        found: tuple[Any, ...] | None = self.run(query, *values).fetchone()
        if found is None:
            raise LookupError(query)
        return found

    def copy(self, table: str, columns: dict[str, Any]) -> None:
        """Append rows given as columns; nothing where they are empty."""
        rows = pa.table(columns)
        if rows.num_rows:
            copy_columns(self.conn, (self.schema, table), rows)

    def meta(self, *, lock: bool = False) -> Meta:
        """The graph's facts; with `lock` it waits for the running edit and holds others off."""
        if lock:
            self.run("SELECT FROM {g}.meta FOR UPDATE")
        row = self.row(
            "SELECT start_ms, sealed_ms, n_layers, chunk_size, by_edges, next_segment,"
            " next_fragment FROM {g}.meta"
        )
        meta = Meta(*row)
        if meta.chunk_size is None:
            return meta
        x, y, z = (int(size) for size in meta.chunk_size)
        return replace(meta, chunk_size=(x, y, z))

    def write_meta(self, meta: Meta) -> None:
        self.run(
            "UPDATE {g}.meta SET sealed_ms = %s, n_layers = %s, by_edges = %s,"
            " next_segment = %s, next_fragment = %s",
            meta.sealed_ms, meta.n_layers, meta.by_edges, meta.next_segment, meta.next_fragment,
        )  # fmt: skip

    def analyze(self) -> None:
        """Tell the planner how much there is now."""
        self.run("ANALYZE {g}.edge, {g}.member, {g}.fragment_root, {g}.root")


def graphs(conn: Connection) -> list[str]:
    """The names of all embedded chunkedgraphs in this database, sorted."""
    rows = conn.execute(
        "SELECT substr(nspname, %s) FROM pg_namespace WHERE starts_with(nspname, %s) ORDER BY 1",
        (len(PREFIX) + 1, PREFIX),
    )
    return [name for (name,) in rows]


def find(conn: Connection, name: str) -> Store:
    """The tables of a graph; raises NotFound."""
    known = graphs(conn)
    if name not in known:
        raise NotFound(f"There is no chunkedgraph '{name}'.", did_you_mean(name, known))
    return Store(conn, name)


def create(
    conn: Connection,
    name: str,
    *,
    start: datetime,
    chunk_size: tuple[int, int, int] | None = None,
    n_layers: int | None = None,
) -> None:
    """Make an empty graph that begins at `start`; chunk_size in voxels.

    Without `n_layers` the first load takes as many as its supervoxels' chunks need. Raises
    Conflict where the graph is there, Invalid for a bad name.
    """
    check_name(name, "a chunkedgraph")
    if name in graphs(conn):
        raise Conflict(f"The chunkedgraph '{name}' exists already.")
    start_ms = to_ms(start)
    chunk = None if chunk_size is None else np.array(chunk_size, np.int64)
    store = Store(conn, name)
    conn.execute(store.compose(_TABLES))
    store.run(
        "INSERT INTO {g}.meta (start_ms, sealed_ms, n_layers, chunk_size) VALUES (%s, %s, %s, %s)",
        start_ms, start_ms, n_layers, chunk,
    )  # fmt: skip


def drop(conn: Connection, name: str) -> None:
    """Remove a graph with all its history; raises NotFound."""
    find(conn, name).run("DROP SCHEMA {g} CASCADE")
