"""Rows that nobody has looked up yet, beyond those that one question has looked up."""

from collections.abc import Iterator, Mapping

from psycopg import sql

from matengine.engine import schemas
from matengine.engine.annotations import tables
from matengine.engine.query.relation import Relation
from matengine.errors import Incomplete
from matengine.storage.connections import Connection

_WAITING = """
SELECT count(*) FROM ({rows}) AS o WHERE ({unknown})
  AND NOT EXISTS (SELECT FROM matengine.lookup_failure AS f
                  WHERE f.datastack = {datastack} AND f.table_name = {table} AND f.id = o.id)
"""


def told(relations: Mapping[str, Relation]) -> Iterator[str]:
    """What whoever reads the rows is to know of them."""
    unresolved = sum(relation.unresolved for relation in relations.values())
    if unresolved:
        yield f"{unresolved} rows have a supervoxel or root that is not known yet: 0 here."


def refuse(conn: Connection, datastack: str, relations: Mapping[str, Relation]) -> None:
    """Raise Incomplete where rows of the tables wait for their lookup.

    A row whose lookup has failed in an epoch does not wait: it is a gap, as in a version.
    """
    differing = dict(pair for relation in relations.values() for pair in relation.differing)
    for table, rows in differing.items():
        waiting = _waiting(conn, datastack, table, rows)
        if waiting:
            raise Incomplete(
                f"{waiting} rows of '{table}' have not been looked up yet.",
                "Ask again later, or with allow_missing_lookups to have them with root id 0.",
            )


def _waiting(conn: Connection, datastack: str, table: str, rows: sql.Composed) -> int:
    points = schemas.bound_columns(schemas.get(tables.get_metadata(conn, table).schema_type))
    unknown = sql.SQL(" OR ").join(
        sql.SQL("o.{} IS NULL").format(sql.Identifier(point.supervoxel_id)) for point in points
    )
    row = conn.execute(
        sql.SQL(_WAITING).format(
            rows=rows,
            unknown=unknown,
            datastack=sql.Literal(datastack),
            table=sql.Literal(table),
        )
    ).fetchone()
    assert row is not None
    return int(row[0])
