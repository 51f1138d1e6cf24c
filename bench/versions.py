"""A version of synapses of which 1 % changed, beside one made by copying everything."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

from bench import synapses
from bench.figure import Figure
from bench.measure import Cost, cost
from bench.place import Place
from matengine.storage import connections


def run(place: Place) -> list[Figure]:
    """Load, take over supervoxels, first version, proofread, second version."""
    folder = synapses.made(place.cache, place.rows)
    costs: list[Cost] = []
    with place.server() as server:
        connections.create_aligned_volume(synapses.NAME)
        with connections.connect(synapses.NAME) as conn:

            @contextmanager
            def step(name: str) -> Iterator[None]:
                place.progress(len(costs), 4, name)
                conn.execute("CHECKPOINT")
                conn.commit()
                with cost(name, conn, server.pid) as found:
                    yield
                costs.append(found)

            synapses.create(conn, folder)
            table = pq.read_table(folder / "synapses.parquet")
            with step("load"):
                synapses.load(conn, table)
            with step("take over supervoxels"):
                synapses.give_supervoxels(conn, table)
            with step("first version"):
                synapses.materialize(conn)
            synapses.proofread(conn, folder)
            with step("second version"):
                synapses.materialize(conn)
    return [Figure(f"{c.name}: CPU", c.cpu_s, None, "s", place.rows) for c in costs]
