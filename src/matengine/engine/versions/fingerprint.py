"""The fingerprint of a version's table: a number that changes when any row does.

It is the sum, modulo 2^64, of one hash a row, so it does not depend on the order of rows and can
be kept up to date by adding and taking away the rows that changed. A row's hash is the first
eight bytes of the MD5 of its columns, each in PostgreSQL's binary wire form (big-endian), after
one byte that tells NULL (0) from a value (1); strings are preceded by their length. The recipe to
compute it outside PostgreSQL is in docs/fingerprint.md. The order of columns is: id, created,
then the flattened schema's.
"""

from psycopg import sql

from matengine.engine.schemas import Column
from matengine.engine.versions.layout import Layout

MODULUS = 2**64

_SEND = {
    "bigint": "int8send({0})",
    "integer": "int4send({0})",
    "double precision": "float8send({0})",
    "boolean": "boolsend({0})",
    "varchar": "int4send(octet_length({0})) || convert_to({0}, 'UTF8')",
    "geometry(PointZ)": "float8send(ST_X({0})) || float8send(ST_Y({0})) || float8send(ST_Z({0}))",
}


def row_hash(layout: Layout, alias: str) -> sql.Composed:
    """The SQL expression, a bigint, of a history row's hash."""
    parts = [
        sql.SQL("int8send({})").format(sql.Identifier(alias, "id")),
        sql.SQL("timestamptz_send({})").format(sql.Identifier(alias, "created")),
        *(_column(c, alias) for c in layout.columns),
    ]
    return sql.SQL("('x' || left(md5({}), 16))::bit(64)::bigint").format(
        sql.SQL(" || ").join(parts)
    )


def _column(column: Column, alias: str) -> sql.Composed:
    value = sql.SQL(_SEND[column.sql_type]).format(sql.Identifier(alias, column.name))
    return sql.SQL("coalesce('\\x01'::bytea || {}, '\\x00'::bytea)").format(value)


def gap(layout: Layout, alias: str) -> sql.Composed:
    """The SQL expression, 0 or 1, that tells a row with a supervoxel or root not known."""
    if not layout.roots:
        return sql.SQL("0").format()
    unknown = sql.SQL(" OR ").join(
        sql.SQL("{} IS NULL").format(sql.Identifier(alias, c)) for c in layout.roots
    )
    return sql.SQL("({})::int").format(unknown)
