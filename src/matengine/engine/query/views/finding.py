"""The views that a user may read."""

from matengine.engine import access
from matengine.engine.access import User
from matengine.engine.annotations import tables
from matengine.engine.query.views import catalogue
from matengine.engine.query.views.catalogue import View
from matengine.engine.query.views.definition import tables_of
from matengine.errors import NotFound, did_you_mean
from matengine.storage.connections import Connection


def find(conn: Connection, datastack: str, name: str, user: User) -> View:
    """The view of this name, which the user need not be able to read.

    Raises NotFound, which names only views that the user may read.
    """
    known = {view.name: view for view in catalogue.listed(conn, datastack)}
    if name in known:
        return known[name]
    names = [view.name for view in known.values() if may_read(conn, view, user)]
    raise NotFound(f"'{datastack}' has no view '{name}'.", did_you_mean(name, names))


def may_read(conn: Connection, view: View, user: User) -> bool:
    """Whether the user may read all tables of a view."""
    try:
        found = [tables.get_metadata(conn, table) for table in tables_of(view.definition)]
    except NotFound:
        return False
    return all(access.may_read(user, table) for table in found)
