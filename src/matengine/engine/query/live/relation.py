"""A table at any moment, as a relation like that of an epoch."""

from dataclasses import replace

from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.annotations.tables import TableMetadata
from matengine.engine.query import relation
from matengine.engine.query.live import overlay
from matengine.engine.query.live.overlay import Overlay
from matengine.engine.query.moments import Moment
from matengine.engine.query.relation import Relation
from matengine.engine.versions import layout
from matengine.engine.versions.layout import Layout
from matengine.errors import NotFound
from matengine.storage.connections import Connection


def relation_at(conn: Connection, moment: Moment, metadata: TableMetadata) -> Relation:
    """A table at a moment: the rows that an epoch of it would show.

    Where the table was not made yet it has no rows. The cost is that of what changed between the
    time and an epoch that is kept, and nothing where somebody has asked for the same since.
    Raises NotFound for a table that had been deleted.
    """
    if metadata.deleted is not None and metadata.deleted <= moment.annotations:
        raise NotFound(
            f"The table '{metadata.name}' was deleted at {metadata.deleted.isoformat()}.",
            "Ask for an earlier time, or for a version that has it.",
        )
    segmentation = datastacks.get(conn, moment.datastack).segmentation
    table = layout.of_metadata(metadata, segmentation.name)
    found = overlay.at(conn, moment, table, segmentation)
    if found.epoch is not None and not found.size:
        return relation.of_epoch(table, found.epoch)
    return replace(
        relation.of_epoch(table, found.epoch or 0),
        source=_source(table, found),
        epoch=None,
        unresolved=found.unresolved,
        differing=((metadata.name, _shown(table, found)),) if found.unresolved else (),
    )


def _source(table: Layout, over: Overlay) -> sql.Composed:
    names = layout.names_of(table)
    shown = _shown(table, over)
    if over.epoch is None:
        return sql.SQL("({})").format(shown)
    return sql.SQL(
        "(SELECT {names} FROM {history} AS r WHERE {visible}"
        " AND (SELECT matengine.readable({segmentation}, {epoch}))"
        " AND NOT EXISTS (SELECT FROM {rows} AS o"
        " WHERE o.id = r.id AND o.from_step <= {step}) UNION ALL {shown})"
    ).format(
        names=names,
        history=table.history,
        visible=layout.visible("r", over.epoch),
        segmentation=sql.Literal(table.segmentation),
        epoch=sql.Literal(over.epoch),
        rows=over.rows,
        step=sql.Literal(over.step),
        shown=shown,
    )


def _shown(table: Layout, over: Overlay) -> sql.Composed:
    """The rows of the overlay that the moment shows."""
    return sql.SQL(
        "SELECT {names} FROM {rows} WHERE shown AND from_step <= {step} AND to_step > {step}"
        " AND (SELECT matengine.overlaid({name}))"
    ).format(
        names=layout.names_of(table),
        rows=over.rows,
        step=sql.Literal(over.step),
        name=sql.Literal(over.name),
    )
