"""The indexes of a live annotation table, named as CAVE names them."""

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from psycopg import sql

from matengine.engine.annotations.layout import is_point
from matengine.engine.schemas import Column
from matengine.storage.connections import Connection, conninfo_of, open_connection

# PostgreSQL builds each GiST on one core, so they are built side by side
BUILDERS = min(4, os.cpu_count() or 1)

_BTREE = sql.SQL("CREATE INDEX {} ON {} ({})")
_GIST = sql.SQL("CREATE INDEX {} ON {} USING gist ({} gist_geometry_ops_nd)")
# PostgreSQL cuts names there
_NAME_BYTES = 63


def create(conn: Connection, table: str, columns: Sequence[Column]) -> None:
    """Make all indexes but the primary key's."""
    for name in ("created", "deleted"):
        _make(conn, table, name, point=False)
    for column in columns:
        if column.indexed:
            _make(conn, table, column.name, point=is_point(column))


def _make(conn: Connection, table: str, column: str, *, point: bool) -> None:
    name = _free_name(conn, f"{'idx' if point else 'ix'}_{table}_{column}")
    conn.execute(
        (_GIST if point else _BTREE).format(
            sql.Identifier(name), sql.Identifier("public", table), sql.Identifier(column)
        )
    )


def _free_name(conn: Connection, wanted: str) -> str:
    """`wanted`, numbered where another table's index has the name (`a_b` and `a` with `b_pt`)."""
    name, number = wanted[:_NAME_BYTES], 1
    while conn.execute(
        "SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = %s",
        (name,),
    ).fetchone():
        number += 1
        name = f"{wanted[: _NAME_BYTES - 1 - len(str(number))]}_{number}"
    return name


def drop(conn: Connection, table: str) -> list[str]:
    """Drop all indexes but those of constraints; returns the statements that make them anew."""
    found = conn.execute(
        "SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = %s::regclass"
        " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid) ORDER BY 1",
        (f'public."{table}"',),
    ).fetchall()
    for name, _ in found:
        conn.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier("public", name)))
    return [definition for _, definition in found]


def build(conn: Connection, definition: str) -> None:
    """Make one index that `drop` returned, unless it is there; waits for whoever makes it now."""
    with conn.transaction():
        # two may want it at once, and IF NOT EXISTS is no protection
        conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (definition,))
        conn.execute(definition.replace(" INDEX ", " INDEX IF NOT EXISTS ", 1).encode())


def rebuild(conn: Connection, definitions: Sequence[str]) -> None:
    """Make indexes anew from what `drop` returned, in the caller's transaction."""
    for definition in definitions:
        build(conn, definition)


def rebuild_beside(conn: Connection, definitions: Sequence[str]) -> None:
    """Make indexes anew, several at a time, each committed by a connection of its own.

    The caller must hold no lock on the table. What ends this early leaves the rest unmade.
    """
    todo = deque(definitions)

    def work(hand: Connection) -> None:
        while todo:
            build(hand, todo.popleft())

    with ExitStack() as stack:
        hands = [
            stack.enter_context(open_connection(conninfo_of(conn), autocommit=True))
            for _ in range(min(BUILDERS, len(todo)))
        ]
        with ThreadPoolExecutor(len(hands) or 1) as threads:
            try:
                for ended in [threads.submit(work, hand) for hand in hands]:
                    ended.result()
            except BaseException:
                todo.clear()
                for hand in hands:
                    hand.cancel()
                raise
