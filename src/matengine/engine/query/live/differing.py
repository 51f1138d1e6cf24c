"""The rows that a moment and what it is told from may differ in; each statement costs what changed.

A moment is told from its base, or from a state of an overlay over the same base.
"""

from psycopg import sql

from matengine.engine.query.live import base
from matengine.engine.query.live.base import Gulf
from matengine.engine.query.live.states import State
from matengine.engine.versions import layout, planner
from matengine.engine.versions.layout import OPEN, Layout
from matengine.errors import Unavailable
from matengine.segmentation.chunkedgraph.protocol import Ids
from matengine.storage.connections import Connection

# rows of a table that no epoch has: they take 15 s of CPU a million, once
MOST_WHOLE = 3_000_000
# rows whose lookup has failed, or was too many for one question, that the next one tries again
MOST_RETRIED = 5_000


def collect(
    conn: Connection,
    datastack: str,
    table: Layout,
    gulf: Gulf,
    before: State | None,
    gone: Ids,
    *,
    retry: bool,
) -> None:
    """Make the temporary table `candidate` of the ids, until the transaction ends.

    gone: the roots that ended since what it is told from. retry: lookups that failed then, too.
    Raises Unavailable for a large table that no epoch has.
    """
    conn.execute("CREATE TEMP TABLE candidate (id bigint PRIMARY KEY) ON COMMIT DROP")
    names = _names(datastack, table, gulf)
    if before is None and gulf.base is None:
        _refuse_many(conn, table)
        _add(conn, _ALL, names)
        return
    planner.use_indexes(conn)
    if before is None:
        texts = [_WAITING, *([] if gulf.frozen else _since_base(gulf))]
    else:
        names |= _names_before(before)
        texts = [] if gulf.frozen else [_TIMED, _UNSEEN_NEW, _UNSEEN_GONE, _UNSEEN_REMOVED]
        if retry:
            texts.append(_RETRIED)
    for text in texts:
        _add(conn, text, names)
    if len(gone):
        names["roots"] = sql.Literal(gone.tolist())
        for root in table.roots:
            of_root = names | {"root": sql.Identifier(root)}
            if gulf.base is not None:
                _add(conn, _REROOTED, of_root)
            if before is not None:
                _add(conn, _REROOTED_AGAIN, of_root)


def _refuse_many(conn: Connection, table: Layout) -> None:
    """Raise Unavailable where a whole table is too much for a question."""
    limited = sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS l")
    row = conn.execute(limited.format(table.live, sql.Literal(MOST_WHOLE + 1))).fetchone()
    if row and row[0] > MOST_WHOLE:
        raise Unavailable(
            f"No epoch has the table '{table.table}' yet, and it has more than {MOST_WHOLE} rows.",
            "Make an epoch: matengine materialize.",
        )


def _names(datastack: str, table: Layout, gulf: Gulf) -> dict[str, sql.Composable]:
    names = base.names(datastack, table, gulf)
    if gulf.base is None:
        return names | {"shown": sql.SQL("false")}
    return names | {
        "epoch": sql.Literal(gulf.base.epoch),
        "since": sql.Literal(gulf.base.time),
        "shown": layout.visible("h", gulf.base.epoch),
    }


def _names_before(before: State) -> dict[str, sql.Composable]:
    state = sql.SQL("(SELECT {} FROM matengine.overlay WHERE name = {} AND step = {})")
    column = {
        name: state.format(sql.Identifier(name), sql.Literal(before.name), sql.Literal(before.step))
        for name in ("annotations", "seen")
    }
    return {
        "since": column["annotations"],
        "seen": column["seen"],
        "rows": sql.Identifier("live", before.name),
        "step": sql.Literal(before.step),
        "open": sql.Literal(OPEN),
        "most": sql.Literal(MOST_RETRIED),
    }


def _since_base(gulf: Gulf) -> list[str]:
    """How annotations differ from a base's."""
    if gulf.settled is None:
        return [_TIMED, _QUEUED_NEW, _QUEUED_GONE]
    if gulf.settled == gulf.base:
        return [_YOUNGER, _ENDED_YOUNGER, _REMOVED_YOUNGER]
    return [_TAKEN_UP, _TIMED, _ENDED_YOUNGER]


def _add(conn: Connection, text: str, names: dict[str, sql.Composable]) -> None:
    conn.execute(
        sql.SQL("INSERT INTO pg_temp.candidate ")
        + sql.SQL(text).format(**names)
        + sql.SQL(" ON CONFLICT DO NOTHING")
    )


# with nothing kept, every row is told from the live table
_ALL = "SELECT id FROM {live} WHERE created <= {at} AND (deleted IS NULL OR deleted > {at})"

_TIMED = """
SELECT id FROM {live} WHERE created > {since} AND created <= {at}
UNION SELECT id FROM {live} WHERE deleted > {since} AND deleted <= {at}
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
  AND c.due <= {at}
"""

# points that the base has no root of, and that may have one by now
_WAITING = """
SELECT DISTINCT id FROM matengine.gap WHERE datastack = {datastack} AND table_name = {table}
  AND from_epoch <= {epoch} AND to_epoch > {epoch} AND NOT permanent
"""

# what the epochs until the moment was settled wrote: rows that committed late are among them
_TAKEN_UP = """
SELECT DISTINCT h.id FROM {history} AS h
WHERE (h.from_epoch + 0) > {epoch} AND (h.from_epoch + 0) <= {settled}
"""

# rows that were there at the moment, and not any more when it was settled
_ENDED_YOUNGER = "SELECT id FROM {live} WHERE deleted > {at} AND deleted <= {end}"

# rows that a later base has, and that were not there yet
_YOUNGER = "SELECT id FROM {live} WHERE created > {at} AND created <= {end}"
_REMOVED_YOUNGER = """
SELECT h.id FROM matengine.strayed AS s JOIN {history} AS h
  ON h.id BETWEEN s.first_id AND s.last_id AND {shown}
WHERE s.table_name = {table} AND h.created > {at}
"""

_REROOTED = """
SELECT DISTINCT h.id FROM unnest({roots}::bigint[]) AS x (root_id)
JOIN {history} AS h ON h.{root} = x.root_id WHERE {shown}
"""

# the same of a state's own rows

_REROOTED_AGAIN = """
SELECT DISTINCT o.id FROM unnest({roots}::bigint[]) AS x (root_id)
JOIN {rows} AS o ON o.{root} = x.root_id WHERE o.from_step <= {step} AND o.to_step > {step}
"""

# those tried longest ago, wherever they are
_RETRIED = """
SELECT id FROM {rows} WHERE NOT known AND from_step <= {step} AND to_step > {step}
ORDER BY from_step LIMIT {most}
"""

# what was committed since, though it is of before
_UNSEEN_NEW = """
SELECT l.id FROM matengine.change AS c JOIN {live} AS l ON l.id BETWEEN c.first_id AND c.last_id
WHERE c.datastack = {datastack} AND c.table_name = {table} AND c.kind = 'insert'
  AND c.due <= {since} AND l.created <= {since}
  AND NOT pg_visible_in_snapshot(c.written, {seen})
"""

_UNSEEN_GONE = """
SELECT l.id FROM matengine.change AS c JOIN {live} AS l ON l.id BETWEEN c.first_id AND c.last_id
WHERE c.datastack = {datastack} AND c.table_name = {table} AND c.kind = 'delete'
  AND c.due <= {since} AND l.deleted <= {since}
  AND NOT pg_visible_in_snapshot(c.written, {seen})
"""

_UNSEEN_REMOVED = """
SELECT i.id FROM matengine.change AS c CROSS JOIN LATERAL (
  SELECT h.id FROM {history} AS h WHERE h.id BETWEEN c.first_id AND c.last_id AND {shown}
  UNION SELECT o.id FROM {rows} AS o WHERE o.id BETWEEN c.first_id AND c.last_id) AS i
WHERE c.datastack = {datastack} AND c.table_name = {table} AND c.kind = 'delete'
  AND c.due <= {at} AND (c.due > {since} OR NOT pg_visible_in_snapshot(c.written, {seen}))
  AND NOT EXISTS (SELECT FROM {live} AS l WHERE l.id = i.id)
"""
