"""The recipe of docs/fingerprint.md gives the fingerprints of real versions."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_world import Pair, write_volume

from matengine.engine.annotations import rows, tables
from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.engine.versions import catalogue
from matengine.storage.connections import Connection

PAGE = Path(__file__).parents[2] / "docs" / "fingerprint.md"
Recipe = Callable[[pa.Table], int]


@pytest.fixture(scope="module")
def fingerprint() -> Recipe:
    """The function that the page defines."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    defined: dict[str, Any] = {}
    exec(code, defined)
    recipe: Recipe = defined["fingerprint"]
    return recipe


REFERRING = "func_unit_ext_coreg"
# a schema for each type of column, with awkward values
ROWS: dict[str, list[dict[str, Any]]] = {
    "cell_type_local": [
        {
            "pt": {"position": (1, 2, 3)},
            "cell_type": "Übergang – 細胞 🧠",
            "classification_system": "",
        },
        {"pt": {"position": (3, 3, 3)}, "cell_type": "b", "classification_system": "x\n'\\"},
    ],
    "proofreading_boolstatus_user": [
        {"pt": {"position": (5, 5, 5)}, "proofread": True, "valid_id": 2**62, "user_id": 7},
        {"pt": {"position": (-2, 90, 0)}, "proofread": False, "valid_id": -1, "user_id": 0},
    ],
    "microns_func_coreg": [{"pt": {"position": (7, 7, 7)}, "func_id": -(2**31)}],
    REFERRING: [
        {"session": 1, "scan_idx": 2, "unit_id": 3, "residual": -0.0, "score": 1e-300},
        {"session": 1, "scan_idx": 2, "unit_id": 3, "field": 4, "score": 123456.789},
    ],
}


@pytest.fixture
def world(conn: Connection, tmp_path: Path) -> Iterator[Pair]:
    """Two versions of tables with all types of columns, NULLs, edits of rows and of roots."""
    pair = Pair(conn, write_volume(tmp_path / "volume"))
    for schema, given in ROWS.items():
        refers = pair.table if schema == REFERRING else None
        tables.create_table(
            conn,
            schema,
            schema,
            voxel_resolution_nm=(1, 1, 1),
            description="",
            reference_table=refers,
        )
        if refers is None:
            rows.insert(conn, schema, given)
    conn.commit()
    pair.insert([(1, 1, 1), (2, 5, 9), (0, 0, 0)], 1.5)
    pair.insert([(4, 4, 5), (-1, 5, 9), (0, 0, 0)], None)
    targets = sorted(pair.world.tables[pair.table])
    rows.insert(conn, REFERRING, [row | {"target_id": targets[0]} for row in ROWS[REFERRING]])
    pair.note(0)
    conn.commit()
    pair.epoch()
    pair.merge(0, 40)
    pair.split(3)
    pair.move(0, (9, 9, 10))
    pair.epoch()
    yield pair
    pair.leave()


def told(world: Pair, version: int) -> dict[str, int]:
    """The fingerprints in the catalogue, of tables with rows and without gaps."""
    epoch = catalogue.version(world.conn, world.name, version).epoch
    found = catalogue.tables_at(world.conn, world.name, epoch)
    assert not any(table.gaps for table in found)
    return {table.table_name: table.fingerprint for table in found if table.row_count}


def test_rows_of_a_query_give_the_fingerprint(
    world: Pair, fingerprint: Recipe, tmp_path: Path
) -> None:
    for version in (1, 2):
        known = told(world, version)
        assert len(known) == 6
        for table, expected in known.items():
            rows = answer.ask(world.conn, world.name, version, Query(table))
            assert fingerprint(rows) == expected, table
            pq.write_table(rows, tmp_path / "rows.parquet")
            assert fingerprint(pq.read_table(tmp_path / "rows.parquet")) == expected, table


def test_other_rows_give_another(world: Pair, fingerprint: Recipe) -> None:
    rows = answer.ask(world.conn, world.name, 2, Query(world.table))
    whole = told(world, 2)[world.table]
    assert told(world, 1)[world.table] != whole
    assert fingerprint(rows.slice(1)) != whole
    assert fingerprint(pa.concat_tables([rows, rows])) != whole
    assert fingerprint(rows.take([1, 0])) == whole  # in any order
    roots = rows["pre_pt_root_id"].to_pylist()
    place = rows.schema.get_field_index("pre_pt_root_id")
    changed = rows.set_column(
        place, "pre_pt_root_id", pa.array([roots[0] + 1, *roots[1:]], pa.int64())
    )
    assert fingerprint(changed) != whole
