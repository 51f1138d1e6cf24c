"""The annotation tables of a dataset folder: `tables/NAME.parquet`."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matengine.datasets.columns import Column, Kind, numbers, read_columns
from matengine.datasets.faults import Faults
from matengine.datasets.manifest import FILE, TablePart
from matengine.engine import schemas
from matengine.errors import NotFound

_LIFE = [
    Column("id", "integer"),
    Column("created", "time"),
    Column("deleted", "time", optional=True, nullable=True),
    Column("superceded_id", "integer", optional=True, nullable=True),
]

_KINDS: dict[schemas.Kind, Kind] = {
    schemas.Kind.REFERENCE: "integer",
    schemas.Kind.USER: "integer",
    schemas.Kind.BIGINT: "integer",
    schemas.Kind.INTEGER: "small integer",
    schemas.Kind.FLOAT: "number",
    schemas.Kind.STRING: "string",
    schemas.Kind.BOOLEAN: "boolean",
}


def check_schema(part: TablePart, has_volume: bool, faults: Faults) -> bool:
    """Whether the table's schema is known and goes with its other keys; notes why not."""
    try:
        schema = schemas.get(part.schema_name)
    except NotFound as error:
        faults.add(FILE, f"table '{part.name}': {error}")
        return False
    told = []
    has_points = any(c.kind is schemas.Kind.GEOMETRY for c in schemas.flatten(schema))
    if has_points and not has_volume:
        told.append("has points, which a folder without a volume cannot have")
    elif has_points and part.voxel_resolution_nm is None:
        told.append("needs voxel_resolution_nm, the resolution of its points")
    if schema.is_reference and part.reference_table is None:
        told.append(f"needs a reference_table, its schema '{schema.name}' has target_id")
    if not schema.is_reference and part.reference_table is not None:
        told.append(f"has a reference_table, but its schema '{schema.name}' has no target_id")
    for what in told:
        faults.add(FILE, f"table '{part.name}' {what}")
    return not told


def schema_columns(name: str) -> list[Column]:
    """The columns that a file of this schema may have, all but supervoxels and roots.

    A position comes as three columns, one an axis; what a server fills in may be absent.
    """
    columns = []
    for column in schemas.annotation_columns(schemas.get(name)):
        loose = not column.required or column.kind is schemas.Kind.USER
        if column.kind is schemas.Kind.GEOMETRY:
            columns += [Column(f"{column.name}_{axis}", "number", loose, loose) for axis in "xyz"]
        else:
            columns.append(Column(column.name, _KINDS[column.kind], loose, loose, column.choices))
    return columns


def read_rows(folder: Path, file: str, schema: str, faults: Faults) -> pa.Table | None:
    """The rows of a table; None, with faults noted, where the file cannot be read.

    Columns: id int64, created, deleted (us, UTC), superceded_id int64, then the schema's: a point
    as {point}_position_x/_y/_z float64 in the table's voxels, the others as int64, float64, bool,
    string. An optional column of the schema that the file lacks is left out.
    """
    table = read_columns(folder, file, [*_LIFE, *schema_columns(schema)], faults)
    if table is None:
        return None
    for position, column in ((2, _LIFE[2]), (3, _LIFE[3])):
        if column.name not in table.column_names:
            kind = pa.timestamp("us", tz="UTC") if column.kind == "time" else pa.int64()
            table = table.add_column(position, column.name, pa.nulls(len(table), kind))
    return table


def check_rows(file: str, rows: pa.Table, faults: Faults) -> None:
    """Note rows whose id, life or points cannot be right."""
    ids = numbers(rows, "id")
    faults.add_rows(file, "id", ids < 1, "it must be 1 or more")
    order = np.argsort(ids, kind="stable")
    repeated = np.zeros(len(ids), bool)
    repeated[order[1:]] = ids[order[1:]] == ids[order[:-1]]
    faults.add_rows(file, "id", repeated, "the id is there already")
    before = pc.fill_null(pc.less(rows["deleted"], rows["created"]), False).to_numpy()
    faults.add_rows(file, "deleted", before, "it is earlier than created")
    named = rows["superceded_id"]
    lost = pc.and_(named.is_valid(), pc.invert(pc.is_in(named, rows["id"].combine_chunks())))
    faults.add_rows(file, "superceded_id", lost.to_numpy(), "there is no such row")
    for name in rows.column_names:
        if "_position_" in name:
            finite = pc.fill_null(pc.is_finite(rows[name]), True).to_numpy()
            faults.add_rows(file, name, ~finite, "it must be a finite number")


def check_targets(
    file: str, rows: pa.Table, reference: str, known: pa.Table, faults: Faults
) -> None:
    """Note rows of a reference table whose target is no row of the table referred to."""
    found = pc.is_in(rows["target_id"], known["id"].combine_chunks()).to_numpy()
    faults.add_rows(file, "target_id", ~found, f"there is no such row in table '{reference}'")
