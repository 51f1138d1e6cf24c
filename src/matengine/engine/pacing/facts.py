"""What there is to know of a datastack's newest epoch, and of what has changed since."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.datastacks import Segmentation
from matengine.engine.pacing import choice
from matengine.engine.pacing.rule import FEW, Pace, Seen
from matengine.engine.versions import layout, planner
from matengine.engine.versions.layout import Layout
from matengine.segmentation.chunkedgraph.protocol import Ids
from matengine.storage.connections import Connection

# How often rows with ended roots are counted: by a chunkedgraph that must be asked over the
# network, and by the embedded one
LOOK_REMOTE = timedelta(minutes=15)
LOOK_LOCAL = timedelta(seconds=30)
# Changes in the queue that are counted, and lookups that failed; beyond it makes no difference.
_MOST = 100_000
# An epoch of an earlier time than this before it was made is one of the past.
_PAST = timedelta(hours=1)
# Runs that are looked at for those that were in vain
_RUNS = 20


@dataclass(frozen=True)
class Newest:
    """The newest sealed epoch."""

    epoch: int
    time: datetime
    sealed: datetime
    rows: int
    gaps: int


@dataclass(frozen=True)
class Facts:
    """What the rule goes by; `busy`: a run makes an epoch or waits to; `now`: the server's time."""

    seen: Seen
    newest: Newest | None
    busy: bool
    now: datetime


def gather(conn: Connection, datastack: str, pace: Pace, *, look: bool = True) -> Facts:
    """Read the catalogue; now and then, if to `look`, ask the chunkedgraph. Commits where it does.

    Each statement costs what has changed, up to a bound. Raises NotFound, and Unavailable where
    the chunkedgraph does not answer.
    """
    segmentation = datastacks.get(conn, datastack).segmentation
    newest = _newest(conn, datastack)
    now, created = _clock(conn, datastack)
    queued = _queued(conn, datastack)
    busy, took, past, tries, tried = _runs(conn, datastack, newest)
    look = look and not busy
    ended = _ended(conn, datastack, segmentation, newest, pace, now, look=look) if newest else 0
    if newest is not None and newest.gaps:
        tries = max(tries, _attempts(conn, datastack))
    since = newest.sealed if newest else created
    seen = Seen(
        rows=newest.rows if newest else 0,
        pending=queued + ended,
        since=since,
        first=newest is None,
        past=past and "active" not in choice.settled(conn, datastack),
        took=took,
        tries=tries,
        tried=max(tried or since, since),
    )
    return Facts(seen, newest, busy, now)


def _newest(conn: Connection, datastack: str) -> Newest | None:
    row = conn.execute(
        "SELECT e.epoch, e.time, e.sealed, coalesce(sum(t.row_count), 0)::bigint,"
        " coalesce(sum(t.gaps), 0)::bigint"
        " FROM (SELECT * FROM matengine.epoch WHERE datastack = %s AND sealed IS NOT NULL"
        "       ORDER BY epoch DESC LIMIT 1) AS e"
        " LEFT JOIN matengine.epoch_table AS t USING (datastack, epoch)"
        " GROUP BY e.epoch, e.time, e.sealed",
        (datastack,),
    ).fetchone()
    return None if row is None else Newest(*row)


def _clock(conn: Connection, datastack: str) -> tuple[datetime, datetime]:
    """The server's time, and when the datastack was made."""
    row = conn.execute(
        "SELECT clock_timestamp(), created FROM matengine.datastack WHERE name = %s", (datastack,)
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _queued(conn: Connection, datastack: str) -> int:
    """The annotations that came or went."""
    row = conn.execute(
        "SELECT coalesce(sum(last_id - first_id + 1), 0) FROM (SELECT first_id, last_id"
        " FROM matengine.change WHERE datastack = %s AND epoch IS NULL"
        " AND due <= clock_timestamp() LIMIT %s) AS queued",
        (datastack, _MOST),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _runs(
    conn: Connection, datastack: str, newest: Newest | None
) -> tuple[bool, timedelta, bool, int, datetime | None]:
    """Whether one goes on; what the newest epoch took, and whether it is of the past.

    Then how many were in vain since, and when the last of these ended.
    """
    latest = conn.execute(
        "SELECT status, epoch, finished - started, finished,"
        " parameters ->> 'at' IS NOT NULL AND started - time > %s FROM matengine.run"
        " WHERE datastack = %s AND (epoch IS NOT NULL OR phase = 'turn') AND workflow <> 'compact'"
        " ORDER BY run_id DESC LIMIT %s",
        (_PAST, datastack, _RUNS),
    ).fetchall()
    busy = conn.execute(
        "SELECT EXISTS (SELECT FROM matengine.run WHERE datastack = %s AND status = 'running'"
        " AND (epoch IS NOT NULL OR phase = 'turn'))",
        (datastack,),
    ).fetchone()
    took, past, tries, tried = timedelta(), False, 0, None
    for status, epoch, length, finished, at in latest:
        if status == "done":
            if newest is not None and epoch == newest.epoch:
                took, past = length, at
            break
        if status != "running":
            tries, tried = tries + 1, tried or finished
    return bool(busy and busy[0]), took, past, tries, tried


def _attempts(conn: Connection, datastack: str) -> int:
    """How often a lookup has failed that epochs still try: each one brings it nearer to its end."""
    row = conn.execute(
        "SELECT coalesce(max(attempts), 0) FROM (SELECT attempts FROM matengine.lookup_failure"
        " WHERE datastack = %s AND NOT permanent LIMIT %s) AS tried",
        (datastack, _MOST),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _ended(
    conn: Connection,
    datastack: str,
    segmentation: Segmentation,
    newest: Newest,
    pace: Pace,
    now: datetime,
    *,
    look: bool,
) -> int:
    """The rows of the newest epoch whose root has ended since, as counted last."""
    every = LOOK_LOCAL if segmentation.graph == datastacks.LOCAL else LOOK_REMOTE
    row = conn.execute(
        "SELECT looked, roots, rows FROM matengine.pace WHERE datastack = %s AND looked > %s",
        (datastack, newest.sealed),
    ).fetchone()
    looked, roots, rows = row or (newest.sealed, 0, 0)
    if not look or now - looked < every:
        return int(rows)
    _note(conn, datastack, now, roots, rows)  # first: where it fails, it is not asked all the time
    graph = datastacks.open_graph(conn, segmentation)
    until = now - graph.settle
    if until <= newest.time:
        return int(rows)
    ended = graph.delta_roots(newest.time, until).old_roots
    if len(ended) != roots:
        rows = _count(conn, datastack, newest, ended, round(max(FEW, newest.rows * pace.target)))
        _note(conn, datastack, now, len(ended), rows)
    return int(rows)


def _note(conn: Connection, datastack: str, now: datetime, roots: int, rows: int) -> None:
    conn.execute(
        "INSERT INTO matengine.pace (datastack, looked, roots, rows) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (datastack) DO UPDATE SET looked = excluded.looked,"
        " roots = excluded.roots, rows = excluded.rows",
        (datastack, now, roots, rows),
    )
    conn.commit()


def _count(conn: Connection, datastack: str, newest: Newest, roots: Ids, most: int) -> int:
    """The rows of an epoch with one of the roots, up to `most` in each table."""
    with conn.transaction():
        planner.use_indexes(conn)
        tables = [t for t in layout.of_epoch(conn, datastack, newest.epoch) if t.roots]
        return sum(_count_in(conn, table, newest.epoch, roots, most) for table in tables)


def _count_in(conn: Connection, table: Layout, epoch: int, roots: Ids, most: int) -> int:
    parts = [
        sql.SQL(
            "SELECT h.id FROM unnest({roots}::bigint[]) AS x (root_id)"
            " JOIN {history} AS h ON h.{root} = x.root_id WHERE {shown}"
        ).format(
            roots=sql.Literal(roots.tolist()),
            history=table.history,
            root=sql.Identifier(root),
            shown=layout.visible("h", epoch),
        )
        for root in table.roots
    ]
    row = conn.execute(
        sql.SQL("SELECT count(DISTINCT id) FROM ({} LIMIT {}) AS found").format(
            sql.SQL(" UNION ALL ").join(parts), sql.Literal(most)
        )
    ).fetchone()
    assert row is not None
    return int(row[0])
