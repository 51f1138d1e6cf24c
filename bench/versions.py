"""A version of synapses of which 1 % changed, beside one made by copying everything."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from bench import standins, synapses
from bench.figure import Figure
from bench.measure import Cost, cost
from bench.place import Place, Server
from bench.synapses import Edits
from matengine.engine.versions import catalogue, layout
from matengine.errors import Invalid
from matengine.storage import connections
from matengine.storage.connections import Connection, database_url, open_connection

# the first version after the first has so many changed rows, and at most 1 %
CHANGED = 10_000
STEPS = 16
_ONCE = ("load", "take over supervoxels", "first version")
_VERSION = "a version"
FEW, MANY = f"a version, {CHANGED:,} rows changed", "a version, 1 % changed"
COMPARED = ["id", *(f"{s}_{w}" for s in synapses.SIDES for w in ("supervoxel_id", "root_id"))]
UNITS: dict[str, tuple[str, Callable[[Cost], float]]] = {
    "CPU": ("s", lambda c: c.cpu_s),
    "wall": ("s", lambda c: c.wall_s),
    "disk": ("MB", lambda c: c.disk_bytes / 1e6),
    "WAL": ("MB", lambda c: c.wal_bytes / 1e6),
    "peak memory": ("MB", lambda c: c.peak_bytes / 1e6),
}


def run(place: Place) -> list[Figure]:
    """Load, materialize, proofread, materialize; then a version of the same rows the classic way.

    Of more than a million rows two versions are made: after about CHANGED rows changed, and after
    1 % did. Raises Invalid where the two ways do not show the same rows.
    """
    folder = synapses.made(place.cache, place.rows)
    rows = pq.read_table(folder / "synapses.parquet")
    edits = synapses.edits(folder)
    one_percent = place.rows // 100
    batches = synapses.cut(edits, rows, CHANGED) if one_percent > CHANGED else (edits,)
    with place.server() as server:
        steps = _Steps(place, server)
        shown, changed, edited = _ours(steps, folder, rows, batches)
        copied, classic = _classic(steps, rows, edited)
    if shown != copied:
        raise Invalid("The version does not show the rows that the classic way shows.")
    made = [c for c in steps.costs if c.name == _VERSION]
    names = [[FEW], [MANY]]
    if len(made) == 1:
        names = [[FEW, MANY] if one_percent == CHANGED else [MANY]]
    figures = [
        Figure(
            f"{c.name}: CPU", c.cpu_s, None, "s", place.rows, f"{c.wal_bytes / 1e6:,.0f} MB of WAL"
        )
        for c in steps.costs
        if c.name in _ONCE
    ]
    for its_names, ours, count in zip(names, made, changed, strict=True):
        each = f"{count:,} rows changed, {1e6 * ours.cpu_s / count:.0f} µs each"
        figures += [
            Figure(
                f"{name}: {what}", value(ours), value(classic), unit, place.rows,
                each if what == "CPU" else "",
            )
            for name in its_names
            for what, (unit, value) in UNITS.items()
        ]  # fmt: skip
    return figures


class _Steps:
    """Measured steps; each begins after a CHECKPOINT, as if it came days after the one before."""

    def __init__(self, place: Place, server: Server) -> None:
        self.place, self.server = place, server
        self.costs: list[Cost] = []
        self._done = 0

    def told(self, what: str) -> None:
        self.place.progress(self._done, STEPS, what)
        self._done += 1

    @contextmanager
    def step(self, name: str) -> Iterator[Cost]:
        with open_connection(self.server.url, autocommit=True) as conn:
            conn.execute("CHECKPOINT")
            with cost(name, conn, self.server.pid) as found:
                yield found
        self.costs.append(found)


def _ours(
    steps: _Steps, folder: Path, rows: pa.Table, batches: tuple[Edits, ...]
) -> tuple[tuple[int, int], list[int], list[Edits]]:
    """The checksum of the last version, how many rows each but the first changed, the edits."""
    steps.told("chunkedgraph")
    connections.create_aligned_volume(synapses.NAME)
    with connections.connect(synapses.NAME) as conn:
        synapses.create(conn, folder)
        work: tuple[Callable[[], None], ...] = (
            lambda: synapses.load(conn, rows),
            lambda: synapses.give_supervoxels(conn, rows),
            lambda: synapses.materialize(conn),
        )
        for name, do in zip(_ONCE, work, strict=True):
            steps.told(name)
            with steps.step(name):
                do()
        changed: list[int] = []
        edited: list[Edits] = []
        for batch in batches:
            steps.told("proofreading")
            edited.append(synapses.edit(conn, batch))
            _settle(conn)
            steps.told(_VERSION)
            before = _size(conn, synapses.NAME)
            with steps.step(_VERSION) as found:
                synapses.materialize(conn)
            found.disk_bytes = _size(conn, synapses.NAME) - before
            newest = catalogue.newest(conn, synapses.NAME)
            (table,) = catalogue.tables_at(conn, synapses.NAME, newest.epoch)
            changed.append(table.rows_added)
        steps.told("checksum")
        history = layout.layout_of(conn, synapses.TABLE, synapses.NAME).history
        shown = sql.SQL("{} AS h WHERE {}").format(history, layout.visible("h", newest.epoch))
        checksum = standins.checksum(conn, shown, COMPARED)
    connections.drop_aligned_volume(synapses.NAME)
    return checksum, changed, edited


def _settle(conn: Connection) -> None:
    """What the server does by itself in the days between two versions."""
    conn.commit()
    conn.autocommit = True
    conn.execute("VACUUM ANALYZE")
    conn.autocommit = False


def _classic(steps: _Steps, rows: pa.Table, edited: list[Edits]) -> tuple[tuple[int, int], Cost]:
    """The checksum of a version made the classic way, and what it cost."""
    url = steps.server.url
    steps.told("the classic live tables")
    standins.create_live(url, rows)
    with steps.step("the classic version") as found:
        for edits in edited:
            standins.update_roots(url, edits.supervoxels, edits.roots, rows)
        standins.freeze(url, lambda what: steps.told(f"the classic way, {what}"))
    with open_connection(database_url(standins.FROZEN, url)) as conn:
        found.disk_bytes = _size(conn, standins.FROZEN)
        return standins.checksum(conn, sql.Identifier("synapses"), COMPARED), found


def _size(conn: Connection, database: str) -> int:
    row = conn.execute("SELECT pg_database_size(%s)", (database,)).fetchone()
    assert row is not None
    return int(row[0])
