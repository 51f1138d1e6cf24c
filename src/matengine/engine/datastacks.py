"""Datastacks: an aligned volume with one segmentation."""

from dataclasses import dataclass
from datetime import datetime

from matengine import settings
from matengine.engine.annotations import changes, tables
from matengine.errors import Conflict, Invalid, NotFound, Unavailable, did_you_mean
from matengine.segmentation.chunkedgraph import local
from matengine.segmentation.chunkedgraph.client import HttpGraph
from matengine.segmentation.chunkedgraph.protocol import ChunkedGraph
from matengine.segmentation.volume import Volume, open_volume
from matengine.storage import connections, writers
from matengine.storage.connections import Connection
from matengine.storage.names import check_name

LOCAL = "local"
_ONE = """
SELECT d.description, d.gap_policy, s.name, s.volume, s.resolution_nm, s.chunk_size, s.graph
FROM matengine.datastack AS d JOIN matengine.segmentation AS s ON s.name = d.segmentation
WHERE d.name = %s
"""
GAP_POLICIES = ("publish-with-gaps", "refuse")


@dataclass(frozen=True)
class Segmentation:
    """Voxels and roots. `graph` is 'local' for the embedded chunkedgraph, else a server's URL."""

    name: str
    volume: str | None = None
    resolution_nm: list[float] | None = None
    chunk_size: list[int] | None = None
    graph: str = LOCAL


@dataclass(frozen=True)
class Datastack:
    """A datastack as the catalogue has it."""

    name: str
    description: str
    segmentation: Segmentation
    gap_policy: str


def create(
    conn: Connection,
    name: str,
    segmentation: Segmentation,
    *,
    description: str = "",
    gap_policy: str = "publish-with-gaps",
) -> Datastack:
    """Enter a datastack and queue all rows of all annotation tables for its first epoch.

    Waits for transactions that write to annotation tables. Raises Conflict where the name is
    taken and Invalid for a bad name or policy.
    """
    check_name(name, "a datastack")
    check_name(segmentation.name, "a segmentation")
    _check_policy(gap_policy)
    writers.keep_out(conn)
    if name in names(conn):
        raise Conflict(f"The datastack '{name}' exists already.")
    _refuse_taken(conn, segmentation.name)
    conn.execute(
        "INSERT INTO matengine.segmentation (name, volume, resolution_nm, chunk_size, graph)"
        " VALUES (%s, %s, %s, %s, %s)",
        (
            segmentation.name,
            segmentation.volume,
            segmentation.resolution_nm,
            segmentation.chunk_size,
            segmentation.graph,
        ),
    )
    conn.execute(
        "INSERT INTO matengine.datastack (name, description, segmentation, gap_policy)"
        " VALUES (%s, %s, %s, %s)",
        (name, description, segmentation.name, gap_policy),
    )
    for table in tables.list_tables(conn):
        changes.enqueue_all(conn, table, name)
    return Datastack(name, description, segmentation, gap_policy)


def _check_policy(policy: str) -> None:
    if policy not in GAP_POLICIES:
        raise Invalid(
            f"'{policy}' is no gap policy.",
            did_you_mean(policy, GAP_POLICIES) or f"Use one of {', '.join(GAP_POLICIES)}.",
        )


def set_gap_policy(conn: Connection, name: str, policy: str) -> Datastack:
    """Settle whether versions with gaps are published, from the next publishing on.

    Versions that there are stay as they are. Raises NotFound, and Invalid for what is no policy.
    """
    _check_policy(policy)
    lock(conn, name)
    conn.execute("UPDATE matengine.datastack SET gap_policy = %s WHERE name = %s", (policy, name))
    return get(conn, name)


def _refuse_taken(conn: Connection, segmentation: str) -> None:
    found = conn.execute(
        "SELECT name FROM matengine.datastack WHERE segmentation = %s", (segmentation,)
    ).fetchone()
    if found is not None:
        raise Conflict(
            f"The segmentation '{segmentation}' belongs to the datastack '{found[0]}'.",
            "A datastack has a segmentation of its own; name this one otherwise.",
        )


def names(conn: Connection) -> list[str]:
    """The datastacks of this aligned volume, sorted."""
    return [n for (n,) in conn.execute("SELECT name FROM matengine.datastack ORDER BY name")]


def get(conn: Connection, name: str) -> Datastack:
    """The datastack of this name; raises NotFound."""
    row = conn.execute(_ONE, (name,)).fetchone()
    if row is None:
        raise NotFound(f"There is no datastack '{name}'.", did_you_mean(name, names(conn)))
    description, policy, *segmentation = row
    return Datastack(name, description, Segmentation(*segmentation), policy)


def lock(conn: Connection, name: str) -> Datastack:
    """The datastack, kept until the transaction ends from others who number epochs or versions.

    Raises NotFound.
    """
    conn.execute("SELECT FROM matengine.datastack WHERE name = %s FOR NO KEY UPDATE", (name,))
    return get(conn, name)


def find(name: str | None = None) -> tuple[str, str]:
    """The (aligned volume, datastack) of a datastack's name on this server.

    Without a name the only one there is. Raises NotFound, Invalid where it is not clear which
    is meant, Unavailable where it may be in an aligned volume that cannot be reached.
    """
    places: dict[str, str] = {}
    trouble: Unavailable | None = None
    for volume in connections.aligned_volumes():
        try:
            places |= dict.fromkeys(_names_in(volume), volume)
        except Unavailable as error:
            trouble = error
    if trouble and name not in places:
        raise trouble
    if name is None:
        if len(places) == 1:
            ((datastack, volume),) = places.items()
            return volume, datastack
        if places:
            raise Invalid(
                "There is more than one datastack.", f"Name one of: {', '.join(sorted(places))}."
            )
        raise NotFound("There is no datastack yet.", "Import one: matengine import FOLDER.")
    if name not in places:
        raise NotFound(f"There is no datastack '{name}'.", did_you_mean(name, places))
    return places[name], name


def _names_in(volume: str) -> list[str]:
    try:
        with connections.open_connection(connections.database_url(volume)) as conn:
            return names(conn)
    except Unavailable:
        if volume in connections.aligned_volumes():
            raise
        return []  # it was removed meanwhile


def open_graph(conn: Connection, segmentation: Segmentation) -> ChunkedGraph:
    """The chunkedgraph of a segmentation: the embedded one on `conn`, or a server's client."""
    if segmentation.graph == LOCAL:
        return local.LocalGraph(conn, segmentation.name)
    return HttpGraph(segmentation.graph, segmentation.name, token=settings.token())


def graph_of(conn: Connection, name: str) -> ChunkedGraph:
    """The chunkedgraph of a datastack; raises NotFound."""
    return open_graph(conn, get(conn, name).segmentation)


def settle(conn: Connection, segmentation: Segmentation, at: datetime) -> None:
    """Make the roots as of `at` final: the embedded chunkedgraph takes no edit of that time on.

    A server's chunkedgraph is final after its settle time.
    """
    if segmentation.graph == LOCAL:
        local.seal(conn, segmentation.name, at)


def open_segmentation_volume(segmentation: Segmentation) -> Volume:
    """The volume of supervoxels; raises Invalid where the segmentation has none."""
    if segmentation.volume is None:
        raise Invalid(
            f"The segmentation '{segmentation.name}' has no volume, "
            "so points cannot be looked up in it."
        )
    return open_volume(segmentation.volume, resolution_nm=segmentation.resolution_nm)
