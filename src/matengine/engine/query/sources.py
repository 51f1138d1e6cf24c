"""From names to relations: the only way for users, so that every table is authorised."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from matengine.engine import access
from matengine.engine.access import User
from matengine.engine.annotations import tables
from matengine.engine.annotations.tables import TableMetadata
from matengine.engine.query import moments, relation, remembered, shaping
from matengine.engine.query.live import again
from matengine.engine.query.live import relation as live
from matengine.engine.query.model import At, Query
from matengine.engine.query.moments import Moment
from matengine.engine.query.relation import Relation
from matengine.engine.query.shaping import Shape
from matengine.engine.query.views import catalogue, definition, finding
from matengine.engine.query.views import relation as relation_of_view
from matengine.engine.query.views.catalogue import View
from matengine.engine.versions import layout
from matengine.errors import NotFound, did_you_mean
from matengine.storage.connections import Connection

# of the same relations, asked for with other columns, names or resolutions
MOST_SHAPES = 64


@dataclass(frozen=True)
class Sources:
    """The relations of a query by name, in the order in which it names them.

    metadata: of all annotation tables that they are made from, by name. alive: root ids that were
    found to live at the moment; kept with the rest, as long as nothing changes.
    """

    moment: Moment
    relations: dict[str, Relation]
    metadata: dict[str, TableMetadata]
    shapes: dict[str, Shape] = field(default_factory=dict, compare=False, repr=False)
    alive: set[int] = field(default_factory=set, compare=False, repr=False)

    def shape(self, query: Query) -> Shape:
        """What answers to a query about these relations look like; raises as `shaping.shape`."""
        asked = (query.columns, query.suffixes, query.resolution_nm, query.with_supervoxels)
        key = repr(asked)
        known = self.shapes.get(key)
        if known is None:
            known = shaping.shape(query, self.relations)
            if len(self.shapes) < MOST_SHAPES:
                self.shapes[key] = known
        return known

    @property
    def tables(self) -> list[str]:
        """The names of these tables."""
        return list(self.metadata)


def resolve(conn: Connection, datastack: str, at: At, names: Iterable[str], user: User) -> Sources:
    """The relations of these names at a moment, each of which the user may read.

    Raises Forbidden, NotFound for an unknown name, and what `moments.find` raises.
    """
    access.check_datastack(user, datastack)
    asked = list(names)

    def make() -> Sources:
        return _resolved(conn, datastack, at, asked, user)

    if isinstance(at, int):
        found = remembered.recall(conn, datastack, at, asked, make)
    elif isinstance(at, datetime):
        found = again.recall(conn, datastack, at, asked, make)
    else:
        found = make()
    for table in found.metadata.values():
        access.check_read(user, table)
    return found


def _resolved(
    conn: Connection, datastack: str, at: At, names: Iterable[str], user: User
) -> Sources:
    moment = moments.find(conn, datastack, at)
    views = {view.name: view for view in catalogue.listed(conn, datastack)}
    found = {}
    for name in names:
        if name in views:
            found[name] = _view(conn, moment, views[name], user)
        else:
            found[name] = _table(conn, moment, name, user)
    shown = dict.fromkeys(table for relation in found.values() for table in relation.tables)
    return Sources(moment, found, {table: tables.get_metadata(conn, table) for table in shown})


def tables_at(
    conn: Connection, datastack: str, at: At, names: Iterable[str], user: User
) -> dict[str, Relation]:
    """Tables only, no views; raises as `resolve`."""
    access.check_datastack(user, datastack)
    moment = moments.find(conn, datastack, at)
    return {name: _table(conn, moment, name, user) for name in names}


def view_at(conn: Connection, datastack: str, at: At, view: View, user: User) -> Relation:
    """A view, which need not be in the catalogue; raises as `resolve`."""
    access.check_datastack(user, datastack)
    return _view(conn, moments.find(conn, datastack, at), view, user)


def _view(conn: Connection, moment: Moment, view: View, user: User) -> Relation:
    tables_of = definition.tables_of(view.definition)
    inner = {table: _table(conn, moment, table, user) for table in tables_of}
    return relation_of_view.relation_of(view.name, view.definition, inner)


def _table(conn: Connection, moment: Moment, name: str, user: User) -> Relation:
    """A table that the user may read; raises Forbidden, NotFound."""
    try:
        metadata = tables.get_metadata(conn, name)
    except NotFound:
        metadata = None
    if metadata is None or not (moment.timed or name in moment.tables):
        raise _unknown(conn, moment, name, user)
    access.check_read(user, metadata)
    return relation_at(conn, moment, metadata)


def _unknown(conn: Connection, moment: Moment, name: str, user: User) -> NotFound:
    """The error for a name that nothing has; it names only what the user may read."""
    names = tables.list_tables(conn) if moment.timed else moment.tables
    readable = [n for n in names if access.may_read(user, tables.get_metadata(conn, n))]
    views = catalogue.listed(conn, moment.datastack)
    readable += [view.name for view in views if finding.may_read(conn, view, user)]
    return NotFound(f"{moment.called} has no table '{name}'.", did_you_mean(name, readable))


def relation_at(conn: Connection, moment: Moment, table: TableMetadata) -> Relation:
    """A table at a moment, whatever moment that is."""
    if moment.epoch is None or table.name not in moment.tables:
        return live.relation_at(conn, moment, table)
    where = layout.of_metadata(table, moment.segmentation)
    return relation.of_epoch(where, moment.epoch, moment.tables[table.name].row_count)
