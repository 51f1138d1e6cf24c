"""Corrections as annotators make them, on the tables that versions were made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import sql

from matengine.demo.making import Stage
from matengine.engine import datastacks, proofreading, schemas
from matengine.engine.annotations import rows, tables
from matengine.segmentation.chunkedgraph.local import Edit, LocalGraph
from matengine.times import now

SOME = 20
# how far ids of the same chunk are searched for another object
NEAR = 2000


@dataclass(frozen=True)
class Corrections:
    """Ids of annotations that were added, that superseded others, and that were deleted."""

    table: str
    added: list[int]
    corrected: dict[int, int]
    deleted: list[int]


def correct(stage: Stage, table: str) -> Corrections:
    """Add, correct and delete some annotations. Commits.

    New rows repeat old ones; a corrected row takes the first point of its neighbour.
    """
    metadata = tables.get_open(stage.conn, table)
    schema = schemas.get(metadata.schema_type)
    latest = _latest(stage, table, 3 * SOME)
    count = len(latest) // 3
    found = rows.get(stage.conn, table, latest)
    point = schema.points[0].name
    added = rows.insert(stage.conn, table, [_nested(schema, row) for row in found[:count]])
    changes = [
        {"id": row["id"], point: _nested(schema, neighbour)[point]}
        for row, neighbour in zip(found[count : 2 * count], found[:count], strict=True)
    ]
    corrected = rows.update(stage.conn, table, changes)
    deleted = rows.delete(stage.conn, table, [row["id"] for row in found[2 * count :]])
    stage.conn.commit()
    return Corrections(table, added, corrected, deleted)


def _latest(stage: Stage, table: str, count: int) -> list[int]:
    found = stage.conn.execute(
        sql.SQL("SELECT id FROM {} WHERE deleted IS NULL ORDER BY id DESC LIMIT %s").format(
            sql.Identifier("public", table)
        ),
        (count,),
    )
    return [i for (i,) in found]


def _nested(schema: schemas.Schema, row: dict[str, Any]) -> dict[str, Any]:
    """A flat row as clients send one."""
    nested: dict[str, Any] = {}
    for field in schema.fields:
        if field.kind.is_point:
            position = row.get(schemas.flat_name(field.name, "position"))
            nested[field.name] = None if position is None else {"position": position}
        elif field.name in row:
            nested[field.name] = row[field.name]
    return {name: value for name, value in nested.items() if value is not None}


def merge_nearby(stage: Stage, supervoxel: int) -> Edit | None:
    """Join an object to another one in the same chunk, as one proofreader's click does. Commits.

    None where the chunk has no other object.
    """
    name = datastacks.get(stage.conn, stage.datastack).segmentation.name
    graph = LocalGraph(stage.conn, name)
    near = supervoxel + np.array([step * sign for step in range(1, NEAR) for sign in (1, -1)])
    found = graph.roots(near, now())
    mine = graph.roots([supervoxel], now())[0]
    others = near[(found != 0) & (found != mine)]
    if not len(others):
        stage.conn.commit()
        return None
    edit = proofreading.merge(stage.conn, stage.datastack, [(supervoxel, int(others[0]))])
    stage.conn.commit()
    return edit
