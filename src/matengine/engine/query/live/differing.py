"""The rows that a moment and its base may differ in. Each statement costs what has changed."""

from psycopg import sql

from matengine.engine.query.live.base import Gulf
from matengine.engine.versions import layout, planner
from matengine.engine.versions.layout import Layout
from matengine.storage.connections import Connection


def collect(conn: Connection, datastack: str, table: Layout, gulf: Gulf) -> None:
    """Make the temporary table `candidate` of the ids, until the transaction ends."""
    conn.execute("CREATE TEMP TABLE candidate (id bigint PRIMARY KEY) ON COMMIT DROP")
    names: dict[str, sql.Composable] = {
        "live": table.live,
        "history": table.history,
        "datastack": sql.Literal(datastack),
        "table": sql.Literal(table.table),
        "at": sql.Literal(gulf.annotations),
    }
    if gulf.base is None:
        _add(conn, _ALL, names)
        return
    names |= {
        "epoch": sql.Literal(gulf.base.epoch),
        "since": sql.Literal(gulf.base.time),
        "low": sql.Literal(min(gulf.base.time, gulf.annotations)),
        "high": sql.Literal(max(gulf.base.time, gulf.annotations)),
        "following": sql.Literal(gulf.base.following),
        "shown": layout.visible("h", gulf.base.epoch),
    }
    planner.use_indexes(conn)
    _add(conn, _WAITING, names)
    if not gulf.frozen:
        for text in (_TIMED, _QUEUED_NEW, _QUEUED_GONE):
            _add(conn, text, names)
        if gulf.base.following is not None:
            _add(conn, _TAKEN_UP, names)
    if gulf.unrooted:
        _add(conn, _EVERY, names)
    elif gulf.roots is not None and len(gulf.roots):
        names["roots"] = sql.Literal(gulf.roots.tolist())
        for root in table.roots:
            _add(conn, _REROOTED, names | {"root": sql.Identifier(root)})


def _add(conn: Connection, text: str, names: dict[str, sql.Composable]) -> None:
    conn.execute(
        sql.SQL("INSERT INTO pg_temp.candidate ")
        + sql.SQL(text).format(**names)
        + sql.SQL(" ON CONFLICT DO NOTHING")
    )


# with nothing kept, every row is told from the live table
_ALL = "SELECT id FROM {live} WHERE created <= {at} AND (deleted IS NULL OR deleted > {at})"

_TIMED = """
SELECT id FROM {live} WHERE created > {low} AND created <= {high}
UNION SELECT id FROM {live} WHERE deleted > {low} AND deleted <= {high}
"""

# rows of before the base that committed after it
_QUEUED_NEW = """
SELECT l.id FROM matengine.change AS c JOIN {live} AS l ON l.id BETWEEN c.first_id AND c.last_id
WHERE c.datastack = {datastack} AND c.table_name = {table} AND c.kind = 'insert'
  AND c.due <= {since} AND l.created <= {since}
  AND NOT EXISTS (SELECT FROM {history} AS h WHERE h.id = l.id AND {shown})
"""

# rows deleted that late, and rows removed from the live table
_QUEUED_GONE = """
SELECT h.id FROM matengine.change AS c JOIN {history} AS h
  ON h.id BETWEEN c.first_id AND c.last_id AND {shown}
WHERE c.datastack = {datastack} AND c.table_name = {table} AND c.kind = 'delete'
  AND c.due <= {high}
"""

# points that the base has no root of, and that may have one by now
_WAITING = """
SELECT DISTINCT id FROM matengine.gap WHERE datastack = {datastack} AND table_name = {table}
  AND from_epoch <= {epoch} AND to_epoch > {epoch} AND NOT permanent
"""

# what the epoch after the base wrote: rows that committed late are among them
_TAKEN_UP = """
SELECT DISTINCT h.id FROM {history} AS h
WHERE (h.from_epoch + 0) > {epoch} AND (h.from_epoch + 0) <= {following}
"""

_EVERY = "SELECT DISTINCT h.id FROM {history} AS h WHERE {shown}"

_REROOTED = """
SELECT DISTINCT h.id FROM unnest({roots}::bigint[]) AS x (root_id)
JOIN {history} AS h ON h.{root} = x.root_id WHERE {shown}
"""
