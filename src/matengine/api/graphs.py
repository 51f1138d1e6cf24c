"""Which aligned volume holds an embedded chunkedgraph, and the graph itself for one request."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from psycopg.rows import class_row

from matengine.api.auth import current_user
from matengine.engine import access
from matengine.errors import Invalid, NotFound, Unavailable, did_you_mean
from matengine.segmentation.chunkedgraph.local import LocalGraph
from matengine.segmentation.volume import Volume, open_volume
from matengine.storage import connections, pools
from matengine.storage.connections import Connection

# table name -> aligned volume; only a hint, every request checks what it finds there
_places: dict[str, str] = {}


@dataclass(frozen=True)
class Source:
    """Whose a segmentation is and where its voxels are: its volume's address, nm of a voxel,
    chunk in voxels."""

    name: str
    datastack: str | None
    volume: str | None
    resolution_nm: list[float] | None
    chunk_size: list[int] | None

    def open_volume(self) -> Volume:
        """The volume, kept open by this process; raises Invalid where there is none."""
        if self.volume is None:
            raise Invalid(f"The segmentation '{self.name}' has no volume.")
        return _open_volume(self.volume, tuple(self.resolution_nm or ()))


@contextmanager
def open_graph(name: str, right: str = "view") -> Iterator[tuple[LocalGraph, Source]]:
    """An embedded chunkedgraph in a transaction that commits with the block.

    Raises NotFound for an unknown name and for a segmentation whose graph is on another server,
    Forbidden where the user of the request has not the right ("view" or "edit").
    """
    place = _places.get(name)
    if place is not None:
        try:
            with pools.connection(place) as conn:
                source = _source(conn, name)
                if source is not None:
                    _check(source, right)
                    yield LocalGraph(conn, name), source
                    return
        except (NotFound, Unavailable):
            _places.pop(name, None)
            raise
    _places[name] = _find(name)
    with pools.connection(_places[name]) as conn:
        source = _source(conn, name)
        assert source is not None  # it was there a moment ago
        _check(source, right)
        yield LocalGraph(conn, name), source


def names() -> list[str]:
    """The embedded chunkedgraphs of all aligned volumes, sorted."""
    return sorted(name for volume in connections.aligned_volumes() for name in _names(volume))


def _find(name: str) -> str:
    known = []
    for volume in connections.aligned_volumes():
        found = _names(volume)
        if name in found:
            return volume
        known += found
    raise NotFound(f"There is no chunkedgraph '{name}'.", did_you_mean(name, known))


def _names(volume: str) -> list[str]:
    try:
        with pools.connection(volume) as conn:
            rows = conn.execute("SELECT name FROM matengine.segmentation WHERE graph = 'local'")
            return [name for (name,) in rows]
    except (NotFound, Unavailable):
        if volume in connections.aligned_volumes():
            raise
        return []  # it was removed meanwhile


def _source(conn: Connection, name: str) -> Source | None:
    with conn.cursor(row_factory=class_row(Source)) as cursor:
        return cursor.execute(
            "SELECT s.name, d.name AS datastack, s.volume, s.resolution_nm, s.chunk_size"
            " FROM matengine.segmentation AS s"
            " LEFT JOIN matengine.datastack AS d ON d.segmentation = s.name"
            " WHERE s.name = %s AND s.graph = 'local'",
            (name,),
        ).fetchone()


def _check(source: Source, right: str) -> None:
    """A segmentation is its datastack's; one without is for administrators."""
    user = current_user()
    if source.datastack is None:
        access.check_admin(user)
    else:
        access.check_datastack(user, source.datastack, right)


@lru_cache(maxsize=16)
def _open_volume(url: str, resolution_nm: tuple[float, ...]) -> Volume:
    return open_volume(url, resolution_nm=resolution_nm or None)
