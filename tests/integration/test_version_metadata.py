"""A version says of its tables what was true when it was made."""

from dataclasses import asdict

import pytest
from psycopg import sql
from psycopg.errors import ObjectNotInPrerequisiteState
from small_world import Pair

from matengine.engine.annotations import tables
from matengine.engine.runs import engine
from matengine.engine.versions import catalogue, dropping, freeze, garbage
from matengine.errors import Gone, NotFound

CURRENT = {"read_permission", "write_permission", "notice_text"}


def said(pair: Pair, version: int) -> dict[str, object]:
    """The synapse table's metadata as the version has them."""
    found = asdict(catalogue.table_metadata(pair.conn, pair.name, version, pair.table))
    pair.conn.commit()
    return found


def test_what_was_true_stays_and_what_protects_is_current(pair: Pair) -> None:
    """Every field of the live table is changed, some by a program that writes by itself."""
    live = asdict(tables.get_metadata(pair.conn, pair.table))
    before = said(pair, 3)
    assert {name: before[name] for name in live} == live
    told = {t.table_name: t for t in catalogue.tables_at(pair.conn, pair.name, 4)}[pair.table]
    assert (before["row_count"], before["gaps"], before["fingerprint"], before["epoch"]) == (
        told.row_count,
        told.gaps,
        told.fingerprint,
        4,
    )
    assert before["time"] == pair.versions[3][0]
    changed = {
        "description": "described anew",
        "user_id": "42",
        "read_permission": "GROUP",
        "write_permission": "GROUP",
        "notice_text": "do not cite",
        "flat_segmentation_source": "precomputed://elsewhere",
    }
    tables.update_metadata(pair.conn, pair.table, **changed)
    pair.conn.execute(
        "UPDATE public.annotation_table_metadata SET voxel_resolution_x = 8,"
        " reference_table = 'other' WHERE table_name = %s",
        (pair.table,),
    )
    after = said(pair, 3)
    assert {name for name in after if after[name] != before[name]} == CURRENT
    assert {name: after[name] for name in CURRENT} == {name: changed[name] for name in CURRENT}
    pair.epoch()
    live = asdict(tables.get_metadata(pair.conn, pair.table))
    assert {name: said(pair, 4)[name] for name in live} == live
    assert said(pair, 3) == after
    assert said(pair, 1)["description"] == before["description"]


def test_a_line_is_written_only_where_something_changed(pair: Pair) -> None:
    lines = sql.SQL("SELECT table_name, epoch FROM matengine.table_metadata ORDER BY 1, 2")
    once = [(pair.notes, 1), (pair.table, 1)]
    assert pair.conn.execute(lines).fetchall() == once
    tables.update_metadata(pair.conn, pair.notes, description="changed")
    pair.conn.commit()
    run_id = pair.begin()
    engine.advance(pair.conn, run_id)
    assert pair.conn.execute(lines).fetchall() == [(pair.notes, 1), (pair.notes, 5), once[1]]
    engine.cancel(pair.conn, run_id)
    assert pair.conn.execute(lines).fetchall() == once
    for statement in (
        "UPDATE matengine.table_metadata SET description = 'forged'",
        "DELETE FROM matengine.table_metadata",
        "TRUNCATE matengine.table_metadata",
        "INSERT INTO matengine.table_metadata SELECT datastack, table_name, 3, schema_type,"
        " 'forged', user_id, 1, 1, 1, NULL, NULL, created, last_modified"
        " FROM matengine.table_metadata",
    ):
        with pytest.raises(ObjectNotInPrerequisiteState):
            pair.conn.execute(sql.SQL(statement))
        pair.conn.rollback()


def test_tables_that_come_and_go(pair: Pair) -> None:
    """A version has the tables that there were, deleted since or not, and none made later."""
    tables.create_table(
        pair.conn, "late", "synapse", voxel_resolution_nm=(4, 4, 40), description="made later"
    )
    pair.conn.commit()
    pair.epoch()
    tables.delete_table(pair.conn, "late")
    pair.conn.commit()
    pair.epoch()
    names = {
        version: {t.name for t in catalogue.tables_metadata(pair.conn, pair.name, version)}
        for version in (3, 4, 5)
    }
    both = {pair.table, pair.notes}
    assert names == {3: both, 4: both | {"late"}, 5: both}
    told = catalogue.table_metadata(pair.conn, pair.name, 4, "late")
    assert (told.deleted, told.valid, told.voxel_resolution_nm) == (None, True, (4.0, 4.0, 40.0))
    assert tables.get_metadata(pair.conn, "late").deleted is not None
    with pytest.raises(NotFound, match=r"Version 5 of .* has no table 'late'"):
        catalogue.table_metadata(pair.conn, pair.name, 5, "late")
    with pytest.raises(NotFound, match="no version 9"):
        catalogue.table_metadata(pair.conn, pair.name, 9, "late")
    frozen = freeze.create_frozen(pair.conn, pair.name)
    assert catalogue.tables_metadata(pair.conn, pair.name, frozen.version) == (
        catalogue.tables_metadata(pair.conn, pair.name, 5)
    )
    dropping.drop(pair.conn, pair.name, 4)
    assert len(catalogue.tables_metadata(pair.conn, pair.name, 4)) == 3
    garbage.collect(pair.conn, pair.name)
    with pytest.raises(Gone):
        catalogue.tables_metadata(pair.conn, pair.name, 4)
