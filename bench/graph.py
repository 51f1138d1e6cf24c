"""The embedded chunkedgraph: roots at past times, edits of large objects."""

import statistics
from collections.abc import Callable, Iterable
from datetime import timedelta

import numpy as np

from bench import tissue
from bench.figure import Figure
from bench.measure import Cost, cost
from bench.place import Place
from bench.tissue import END, HUB_MERGES, LARGE, MIDDLE, START, Tissue
from matengine.engine import datastacks, proofreading
from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.chunkedgraph.local import Edit, LocalGraph
from matengine.segmentation.chunkedgraph.protocol import Ids
from matengine.storage import connections
from matengine.storage.connections import Connection

NAME = "graph_bench"
REPEATS = 5
OPERATIONS = 10_000
"""Of the history, whatever the size of the graph."""


class Stage:
    """A graph on a server, and what has been measured on it."""

    def __init__(self, conn: Connection, postmaster: int) -> None:
        self.conn, self.postmaster = conn, postmaster
        self.figures: list[Figure] = []

    def once(self, action: Callable[[], object]) -> Cost:
        """What the action and its commit cost."""
        with cost("", self.conn, self.postmaster) as found:
            action()
            self.conn.commit()
        return found

    def tell(self, name: str, rows: int, costs: list[Cost]) -> None:
        """The median wall time; CPU is of this process and PostgreSQL."""
        wall = [c.wall_s for c in costs]
        cpu = statistics.median(c.cpu_s for c in costs)
        note = f"CPU {cpu:.3f} s; slowest of {len(wall)}: {max(wall):.3f} s"
        wal, peak = (
            statistics.median(getattr(c, what) for c in costs) / 1e6
            for what in ("wal_bytes", "peak_client_bytes")
        )
        if wal >= 0.1:
            note += f"; WAL {wal:.1f} MB"
        if peak >= 100:
            note += f"; peak {peak:.0f} MB"
        self.figures.append(
            Figure(f"graph: {name}", statistics.median(wall), None, "s", rows, note)
        )

    def ask(self, name: str, rows: int, action: Callable[[], object]) -> None:
        """Measure a question a few times."""
        self.tell(name, rows, [self.once(action) for _ in range(REPEATS)])

    def edit(self, name: str, edits: Iterable[Callable[[], Edit]]) -> None:
        """Measure edits of one kind, each of which is undone."""
        done, undone = [], []
        for edit in edits:
            made: list[Edit] = []
            done.append(self.once(lambda edit=edit, made=made: made.append(edit())))
            number = made[0].operation_id
            undone.append(self.once(lambda n=number: proofreading.undo(self.conn, NAME, n)))
        self.tell(name, LARGE, done)
        self.tell(f"undo: {name}", LARGE, undone)


def run(place: Place) -> list[Figure]:
    """Figures of a graph of two supervoxels a row, at least 1.5 million, with a history."""
    made = tissue.make(max(2 * place.rows, 1_500_000), OPERATIONS)
    with place.server() as server:
        connections.create_aligned_volume(NAME)
        with connections.connect(NAME) as conn:
            stage = Stage(conn, server.pid)
            _load(stage, made, place)
            stage.figures += _sizes(conn, made)
            _roots(stage, made, place.rows)
            _answers(stage, made)
            _edits(stage, made)
            return stage.figures


def _load(stage: Stage, made: Tissue, place: Place) -> None:
    conn = stage.conn
    local.create(conn, NAME, start=START, chunk_size=(tissue.CHUNK,) * 3)
    loaded = stage.once(lambda: local.load_edges(conn, NAME, made.edges, (), place.progress))
    stage.tell("load edges", made.edges.num_rows, [loaded])
    datastacks.create(conn, NAME, datastacks.Segmentation(NAME))
    conn.commit()
    played = stage.once(lambda: local.replay(conn, NAME, made.history, place.progress))
    stage.tell("replay operations", made.history.num_rows, [played])


def _sizes(conn: Connection, made: Tissue) -> list[Figure]:
    """What a supervoxel, an edge and an operation take on disk, indexes included."""
    rows = conn.execute(
        "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables"
        " WHERE schemaname = %s",
        (f"graph_{NAME}",),
    ).fetchall()
    conn.commit()
    sizes = {name: int(size) for name, size in rows}
    counts = {
        "supervoxel": (len(made.supervoxels), sizes.pop("member")),
        "edge": (made.edges.num_rows, sizes.pop("edge") + sizes.pop("packed_edges")),
        "operation": (made.history.num_rows, sum(sizes.values())),
    }
    return [
        Figure(f"graph: disk of one {what}", size / count, None, "bytes", count)
        for what, (count, size) in counts.items()
    ]


def _roots(stage: Stage, made: Tissue, count: int) -> None:
    graph = LocalGraph(stage.conn, NAME)
    wanted = np.random.default_rng(1).choice(made.supervoxels, count, replace=False)
    middle = START + (END - START) / 2
    for when, at in (("before all edits", START), ("in the middle", middle), ("now", END)):
        stage.ask(f"roots {when}", count, lambda at=at: graph.roots(wanted, at))


def _answers(stage: Stage, made: Tissue) -> None:
    graph = LocalGraph(stage.conn, NAME)
    past = START + (END - START) / 2
    future = past + timedelta(days=1)
    expired = len(graph.delta_roots(past, future).old_roots)
    stage.ask("delta_roots of a day", expired, lambda: graph.delta_roots(past, future))
    hub, large = graph.roots([made.hub, made.planes[0][0, 0, 0]], END).tolist()
    stage.ask("lineage of a root", HUB_MERGES, lambda: graph.lineage([hub]))
    stage.ask("leaves of a root", LARGE, lambda: graph.leaves(large))
    roots = np.unique(graph.roots(made.supervoxels, START))
    stage.ask("is_latest of roots", len(roots), lambda: graph.is_latest(roots, END))


def _edits(stage: Stage, made: Tissue) -> None:
    conn = stage.conn

    def cut(sources: Ids, sinks: Ids) -> Callable[[], Edit]:
        return lambda: proofreading.split(conn, NAME, sources=sources, sinks=sinks)

    def join(one: int, other: int) -> Callable[[], Edit]:
        return lambda: proofreading.merge(conn, NAME, [(one, other)])

    touching = np.stack([made.twins[MIDDLE - 1, :REPEATS, 0], made.twins[MIDDLE, :REPEATS, 0]])
    stage.edit("merge two halves", [join(one, other) for one, other in touching.T.tolist()])
    near, far = MIDDLE - 10, MIDDLE + 10
    stage.edit("split at a contact", [cut(n[near, 5:8, 5], n[far, 5:8, 5]) for n in made.necks])
    stage.edit("split across a plane", [cut(p[near, :, 20], p[far, :, 20]) for p in made.planes])
    block = made.planes[0]
    corners = [block[x, x, x : x + 1] for x in range(5, 5 + REPEATS)]
    stage.edit("split off one supervoxel", [cut(one, block[30, 30, 30:31]) for one in corners])
    stage.edit(
        f"merge with a neuron of {HUB_MERGES} merges",
        [join(made.hub, int(n[0, 0, 0])) for n in made.necks],
    )
