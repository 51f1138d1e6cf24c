"""The columns of a live annotation table: CAVE's own, in CAVE's order."""

from collections.abc import Sequence

import pyarrow as pa
from psycopg import sql

from matengine.engine import schemas
from matengine.engine.schemas import Column, Kind

# what every annotation table has before the columns of its schema
SYSTEM = {
    "id": pa.int64(),
    "created": pa.timestamp("us", "UTC"),
    "deleted": pa.timestamp("us", "UTC"),
    "superceded_id": pa.int64(),  # CAVE spells it so
    "valid": pa.bool_(),
}
POINT = pa.list_(pa.float64(), 3)

_ARROW = {
    Kind.GEOMETRY: POINT,
    Kind.REFERENCE: pa.int64(),
    Kind.USER: pa.int64(),
    Kind.BIGINT: pa.int64(),
    Kind.INTEGER: pa.int32(),
    Kind.FLOAT: pa.float64(),
    Kind.STRING: pa.string(),
    Kind.BOOLEAN: pa.bool_(),
}
_SYSTEM_SQL = """id bigserial PRIMARY KEY,
  created timestamptz NOT NULL DEFAULT clock_timestamp(),
  deleted timestamptz,
  superceded_id bigint,
  valid boolean"""


def fields(schema_type: str) -> tuple[Column, ...]:
    """The columns that the schema adds to `SYSTEM`; raises NotFound for an unknown schema."""
    columns = schemas.annotation_columns(schemas.get(schema_type))
    return tuple(column for column in columns if column.name not in SYSTEM)


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type that `storage.copy` stores as the column's SQL type."""
    return _ARROW[column.kind]


def is_point(column: Column) -> bool:
    """Whether the column is a position: x, y, z in voxels."""
    return column.kind is Kind.GEOMETRY


def target_column(columns: Sequence[Column]) -> str | None:
    """The column that names rows of the reference table, where there is one."""
    return next((c.name for c in columns if c.kind is Kind.REFERENCE), None)


def table_ddl(name: str, columns: Sequence[Column], reference_table: str | None) -> sql.Composed:
    """CREATE TABLE for a checked name."""
    lines: list[sql.Composable] = [sql.SQL(_SYSTEM_SQL)]
    for column in columns:
        line = sql.SQL("{} " + column.sql_type).format(sql.Identifier(column.name))
        if column.kind is Kind.REFERENCE and reference_table:
            line += sql.SQL(" REFERENCES {} (id) ON DELETE CASCADE").format(
                sql.Identifier("public", reference_table)
            )
        lines.append(line)
    return sql.SQL("CREATE TABLE {} (\n  {})").format(
        sql.Identifier("public", name), sql.SQL(",\n  ").join(lines)
    )


def select_list(columns: Sequence[Column]) -> sql.Composed:
    """All columns in order, a point as an array of x, y, z."""
    listed: list[sql.Composable] = [sql.Identifier(name) for name in SYSTEM]
    for column in columns:
        name = sql.Identifier(column.name)
        if is_point(column):
            # an array of a missing point would be three nulls
            listed.append(
                sql.SQL(
                    "CASE WHEN {c} IS NOT NULL THEN ARRAY[ST_X({c}), ST_Y({c}), ST_Z({c})] END"
                    " AS {c}"
                ).format(c=name)
            )
        else:
            listed.append(name)
    return sql.SQL(", ").join(listed)
