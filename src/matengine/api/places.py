"""Which aligned volume holds a datastack, and a connection to it for one request."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

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
    with ExitStack() as held:
        found = _where_it_was(held, name)
        if found is None:
            conn = held.enter_context(pools.connection(_look_up(name)))
            found = conn, datastacks.get(conn, name)
        yield found


def aligned_volume_of(datastack: str) -> str:
    """The aligned volume of a datastack; raises NotFound."""
    with ExitStack() as held:
        if _where_it_was(held, datastack):
            return _places[datastack]
    return _look_up(datastack)


def _where_it_was(held: ExitStack, name: str) -> tuple[Connection, Datastack] | None:
    """A datastack where it was found before, on a connection that is held open; None elsewhere."""
    place = _places.get(name)
    if place is None:
        return None
    with ExitStack() as trying:
        try:
            conn = trying.enter_context(pools.connection(place))
            found = conn, datastacks.get(conn, name)
        except (NotFound, Unavailable):
            _places.pop(name, None)
            return None
        held.push(trying.pop_all())
        return found


def _look_up(name: str) -> str:
    _places[name], _ = datastacks.find(name)
    return _places[name]


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
