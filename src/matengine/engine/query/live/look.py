"""Where a moment stands among epochs and overlays, in one statement."""

from psycopg import sql

from matengine.engine.query.live.base import Ended, Epoch, Gulf
from matengine.engine.query.live.states import State
from matengine.engine.query.moments import Moment
from matengine.engine.versions.layout import Layout
from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph
from matengine.storage.connections import Connection
from matengine.times import to_ms


def look(
    conn: Connection, moment: Moment, table: Layout, graph: ChunkedGraph | None, told: Ended | None
) -> tuple[Gulf, State | None]:
    """Where a moment of a table stands, and the latest state of an overlay that shows it.

    Takes one statement. graph: None for the embedded one, of which it reads what it must know; of
    another one must be told what it said.
    """
    edits: sql.Composable = sql.SQL("%(told)s::text")
    if graph is None:
        latest = local.latest_edit(conn, table.segmentation, sql.SQL("%(roots_ms)s"))
        edits = sql.SQL("coalesce({}, 0)::text").format(latest)
    asked = {
        "datastack": moment.datastack,
        "table": table.table,
        "at": moment.annotations,
        "epoch": moment.annotation_epoch,
        "roots_at": moment.time,
        "roots_ms": to_ms(moment.time),
        "told": told and told.digest,
    }
    query = sql.SQL(_LOOK).format(live=table.live, edits=edits)
    row = conn.execute(query, asked, prepare=True).fetchone()
    assert row is not None
    before, before_time, after, after_time, frozen, since, ground, token, *state = row
    settled = None if after is None else Epoch(after, after_time)
    base = settled if before is None else Epoch(before, before_time)
    times = (moment.annotations, moment.time)
    gulf = Gulf(base, settled, *times, frozen, since, ground, token or "")
    return gulf, None if state[0] is None else State(*state)


# The annotations: the last change, and those in the queue, which are counted too, as one with an
# earlier number may commit later; and each epoch empties the queue.
_LOOK = """
WITH kept AS NOT MATERIALIZED (
  SELECT e.epoch, e.time FROM matengine.epoch AS e
  WHERE e.datastack = %(datastack)s AND e.sealed IS NOT NULL AND e.collected IS NULL
    AND EXISTS (SELECT FROM matengine.epoch_table AS t
      WHERE (t.datastack, t.epoch, t.table_name) = (e.datastack, e.epoch, %(table)s))),
around AS MATERIALIZED (
  SELECT b.epoch AS before, b.time AS before_time, a.epoch AS after, a.time AS after_time,
    coalesce(coalesce(b.epoch, a.epoch) = %(epoch)s::integer, false) AS frozen,
    coalesce(b.time, a.time, (
      -- nothing is kept: a time that is the same for many moments, and longer ago than an edit
      -- takes
      SELECT max(e.time) FROM matengine.epoch AS e WHERE e.datastack = %(datastack)s
        AND e.time <= %(roots_at)s AND e.sealed IS NOT NULL AND e.collected IS NULL),
      date_trunc('day', %(roots_at)s - interval '1 hour', 'UTC')) AS since
  FROM (SELECT) AS one
  LEFT JOIN LATERAL (
    SELECT * FROM kept WHERE time <= %(at)s ORDER BY time DESC LIMIT 1) AS b ON true
  LEFT JOIN LATERAL (
    SELECT * FROM kept WHERE time >= %(at)s ORDER BY time LIMIT 1) AS a ON true),
told AS MATERIALIZED (
  SELECT *, ROW(before, after, since, frozen)::text AS ground,
    md5(ROW(before, after, since, frozen)::text || ' ' || {edits} || ' '
      || CASE WHEN frozen THEN '' ELSE (
        SELECT ROW((SELECT max(created) FROM {live} WHERE created <= %(at)s),
          (SELECT max(deleted) FROM {live} WHERE deleted <= %(at)s), count(*), max(seq),
          (SELECT max(epoch) FROM matengine.epoch
           WHERE datastack = %(datastack)s AND sealed IS NOT NULL))::text
        FROM matengine.change
        WHERE datastack = %(datastack)s AND table_name = %(table)s AND due <= %(at)s) END) AS token
  FROM around)
SELECT before, before_time, after, after_time, frozen, since, told.ground, told.token,
  o.name, o.step, o.size, o.unresolved, o.past, now() - o.made, now() - o.used
FROM told LEFT JOIN LATERAL (
  SELECT * FROM matengine.overlay AS o
  WHERE o.datastack = %(datastack)s AND o.table_name = %(table)s AND o.token = told.token
  ORDER BY o.made DESC LIMIT 1) AS o ON true
"""
