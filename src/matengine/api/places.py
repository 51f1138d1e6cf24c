"""Which aligned volume holds a datastack, and a connection to it for one request."""

from collections.abc import Iterator
from contextlib import contextmanager

from matengine.engine import datastacks
from matengine.engine.datastacks import Datastack
from matengine.errors import NotFound, Unavailable
from matengine.storage import connections, pools
from matengine.storage.connections import Connection

# datastack -> aligned volume; only a hint, every request checks what it finds there
_places: dict[str, str] = {}


@contextmanager
def open_datastack(name: str) -> Iterator[tuple[Connection, Datastack]]:
    """A datastack, on a connection whose transaction commits with the block.

    Raises NotFound for an unknown one.
    """
    volume = aligned_volume_of(name)
    with pools.connection(volume) as conn:
        yield conn, datastacks.get(conn, name)


def aligned_volume_of(datastack: str) -> str:
    """The aligned volume of a datastack; raises NotFound."""
    place = _places.get(datastack)
    if place is not None:
        try:
            with pools.connection(place) as conn:
                if datastack in datastacks.names(conn):
                    return place
        except (NotFound, Unavailable):
            pass
        _places.pop(datastack, None)
    place, _ = datastacks.find(datastack)
    _places[datastack] = place
    return place


def datastack_names() -> dict[str, str]:
    """All datastacks of the server, sorted, each with its aligned volume."""
    found: dict[str, str] = {}
    for volume in connections.aligned_volumes():
        try:
            with pools.connection(volume) as conn:
                found |= dict.fromkeys(datastacks.names(conn), volume)
        except (NotFound, Unavailable):
            if volume in connections.aligned_volumes():
                raise  # it was not removed meanwhile
    return dict(sorted(found.items()))
