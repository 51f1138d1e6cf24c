"""The relation that a table is at an epoch, and its columns as users see them."""

from dataclasses import dataclass

from psycopg import sql

from matengine.engine import datastacks
from matengine.engine.versions import catalogue, layout
from matengine.engine.versions.layout import Layout
from matengine.errors import NotFound, did_you_mean
from matengine.storage.connections import Connection

_POINT = "geometry(PointZ)"


@dataclass(frozen=True)
class Relation:
    """A table at an epoch: `source` is SQL to select from, under the alias `h`.

    `columns` maps each column that users see, in order, to the SQL expression over `h`.
    """

    table: Layout
    epoch: int
    source: sql.Composed
    columns: dict[str, sql.Composed]


def at_version(conn: Connection, datastack: str, table: str, version: int) -> Relation:
    """A table in a version. Raises NotFound where either is not there, Gone for an expired one."""
    found = catalogue.version(conn, datastack, version)
    names = [t.table_name for t in catalogue.tables_at(conn, datastack, found.epoch)]
    if table not in names:
        raise NotFound(
            f"Version {version} of '{datastack}' has no table '{table}'.",
            did_you_mean(table, names),
        )
    segmentation = datastacks.get(conn, datastack).segmentation.name
    return at_epoch(layout.layout_of(conn, table, segmentation), found.epoch)


def at_epoch(table: Layout, epoch: int) -> Relation:
    """A table at a sealed epoch.

    Its SQL fails where the epoch has been collected: checked once a statement, and as of the
    moment of its reading, so that no answer can lack rows.
    """
    source = sql.SQL(
        "(SELECT * FROM {history} AS r WHERE {visible}"
        " AND (SELECT matengine.readable({segmentation}, {epoch}))) AS h"
    ).format(
        history=table.history,
        visible=layout.visible("r", epoch),
        segmentation=sql.Literal(table.segmentation),
        epoch=sql.Literal(epoch),
    )
    return Relation(table, epoch, source, _columns(table))


def _columns(table: Layout) -> dict[str, sql.Composed]:
    columns = {name: sql.SQL("{}").format(sql.Identifier("h", name)) for name in ("id", "created")}
    for column in table.columns:
        value = sql.SQL("{}").format(sql.Identifier("h", column.name))
        if column.sql_type == _POINT:
            for axis in "xyz":
                columns[f"{column.name}_{axis}"] = sql.SQL("ST_{}({})").format(
                    sql.SQL(axis.upper()), value
                )
        elif column.in_segmentation:
            # 0 on the wire is "no root", as clients of CAVE know it
            columns[column.name] = sql.SQL("coalesce({}, 0)").format(value)
        else:
            columns[column.name] = value
    return columns
