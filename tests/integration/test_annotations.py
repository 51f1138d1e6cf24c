"""Annotation tables and their rows, against real PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier, Event
from typing import Any

import numpy as np
import pytest

from matengine.engine import schemas
from matengine.engine.annotations import ids, rows, tables
from matengine.errors import Conflict, Gone, Invalid, MatengineError, NotFound
from matengine.storage import writers
from matengine.storage.connections import Connection

NM = (4.0, 4.0, 40.0)


def make(
    conn: Connection, name: str = "cells", schema: str = "cell_type_local", **more: Any
) -> None:
    tables.create_table(conn, name, schema, voxel_resolution_nm=NM, description="d", **more)


def cell(x: float, kind: str = "BC", **more: Any) -> dict[str, Any]:
    return {
        "pt": {"position": [x, 2, 3]},
        "cell_type": kind,
        "classification_system": "manual",
        **more,
    }


def columns_of(conn: Connection, table: str) -> dict[str, str]:
    return dict(
        conn.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
            (table,),
        ).fetchall()
    )


def indexes_of(conn: Connection, table: str) -> dict[str, str]:
    return dict(
        conn.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", (table,)
        ).fetchall()
    )


class TestTables:
    def test_layout_is_caves(self, conn: Connection) -> None:
        make(conn, "synapses", "synapse")
        assert list(columns_of(conn, "synapses").items()) == [
            ("id", "bigint"),
            ("created", "timestamp with time zone"),
            ("deleted", "timestamp with time zone"),
            ("superceded_id", "bigint"),
            ("valid", "boolean"),
            ("pre_pt_position", "geometry(PointZ)"),
            ("post_pt_position", "geometry(PointZ)"),
            ("ctr_pt_position", "geometry(PointZ)"),
            ("size", "double precision"),
        ]
        found = indexes_of(conn, "synapses")
        assert sorted(found) == [
            "idx_synapses_ctr_pt_position",
            "idx_synapses_post_pt_position",
            "idx_synapses_pre_pt_position",
            "ix_synapses_created",
            "ix_synapses_deleted",
            "synapses_pkey",
        ]
        assert (
            "gist (ctr_pt_position gist_geometry_ops_nd)" in found["idx_synapses_ctr_pt_position"]
        )

    @pytest.mark.parametrize("schema", schemas.names())
    def test_every_schema_takes_a_table(self, conn: Connection, schema: str) -> None:
        make(conn, "targets")
        reference = "targets" if schemas.get(schema).is_reference else None
        make(conn, "t", schema, reference_table=reference)
        wanted = {c.name: c.sql_type for c in schemas.annotation_columns(schemas.get(schema))}
        found = columns_of(conn, "t")
        assert (
            wanted.items()
            <= {k: v.replace("character varying", "varchar") for k, v in found.items()}.items()
        )
        assert "valid" in found

    def test_metadata_reads_back(self, conn: Connection) -> None:
        make(conn, "targets")
        make(
            conn,
            "tags",
            "reference_tag",
            reference_table="targets",
            user_id="7",
            read_permission="GROUP",
            write_permission="PUBLIC",
            notice_text="cite us",
            flat_segmentation_source="precomputed://x",
        )
        got = tables.get_metadata(conn, "tags")
        assert got.voxel_resolution_nm == NM
        assert (got.name, got.schema_type, got.reference_table) == (
            "tags",
            "reference_tag",
            "targets",
        )
        assert (got.user_id, got.read_permission, got.write_permission) == ("7", "GROUP", "PUBLIC")
        assert (got.notice_text, got.flat_segmentation_source) == ("cite us", "precomputed://x")
        assert got.deleted is None
        assert got.valid
        assert tables.list_tables(conn) == ["tags", "targets"]

    def test_update_metadata(self, conn: Connection) -> None:
        make(conn, notice_text="old")
        before = tables.get_metadata(conn, "cells")
        got = tables.update_metadata(conn, "cells", description="new", notice_text="None")
        assert (got.description, got.notice_text) == ("new", None)
        assert got.last_modified > before.last_modified
        with pytest.raises(Invalid, match="Did you mean 'description'"):
            tables.update_metadata(conn, "cells", descripton="x")
        with pytest.raises(Invalid, match="cannot be changed"):
            tables.update_metadata(conn, "cells", schema_type="synapse")
        with pytest.raises(Invalid, match="no permission"):
            tables.update_metadata(conn, "cells", read_permission="ALL")

    def test_deleted_table_keeps_rows_and_name(self, conn: Connection) -> None:
        make(conn)
        (one,) = rows.insert(conn, "cells", [cell(1)])
        assert tables.delete_table(conn, "cells").deleted is not None
        assert tables.list_tables(conn) == []
        assert tables.list_tables(conn, deleted=True) == ["cells"]
        assert rows.get(conn, "cells", [one])[0]["cell_type"] == "BC"
        with pytest.raises(Conflict, match="deleted table"):
            make(conn)
        for act in (
            lambda: rows.insert(conn, "cells", [cell(1)]),
            lambda: rows.update(conn, "cells", [{"id": one, "cell_type": "x"}]),
            lambda: rows.delete(conn, "cells", [one]),
            lambda: tables.update_metadata(conn, "cells", description="x"),
            lambda: tables.delete_table(conn, "cells"),
        ):
            with pytest.raises(Gone, match="was deleted"):
                act()

    @pytest.mark.parametrize(
        ("arguments", "error", "reason"),
        [
            ({"name": "Cells"}, Invalid, "cannot name"),
            ({"name": 'x"; drop table y; --'}, Invalid, "cannot name"),
            ({"name": "c" * 49}, Invalid, "at most 48"),
            ({"name": "cells"}, Conflict, "exists already"),
            ({"name": "spatial_ref_sys"}, Conflict, "something else"),
            ({"name": "permission"}, Conflict, "something else"),
            ({"schema": "synapses"}, NotFound, "Did you mean 'synapse'"),
            ({"schema": "reference_tag"}, Invalid, "about rows of another table"),
            ({"schema": "reference_tag", "reference_table": "cell"}, NotFound, "'cells'"),
            ({"schema": "reference_tag", "reference_table": "t"}, Invalid, "own reference"),
            ({"reference_table": "cells"}, Invalid, "no target_id"),
            ({"read_permission": "public"}, Invalid, "no permission"),
        ],
    )
    def test_refused(
        self, conn: Connection, arguments: dict[str, Any], error: type[MatengineError], reason: str
    ) -> None:
        make(conn)
        with pytest.raises(error, match=reason):
            make(conn, **{"name": "t", **arguments})
        assert tables.list_tables(conn) == ["cells"]  # the transaction lives on

    @pytest.mark.parametrize("resolution", [(4, 4), (4, 4, 0), (4, 4, float("nan")), "abc", None])
    def test_bad_resolution(self, conn: Connection, resolution: Any) -> None:
        with pytest.raises(Invalid, match="voxel resolution"):
            tables.create_table(
                conn, "t", "synapse", voxel_resolution_nm=resolution, description=""
            )

    def test_index_names_that_meet(self, conn: Connection) -> None:
        make(conn, "a_pre", "bound_tag")  # idx_a_pre_pt_position
        make(conn, "a", "synapse")
        assert "idx_a_pre_pt_position_2" in indexes_of(conn, "a")
        make(conn, "l" * 48, "synapse")
        assert len(indexes_of(conn, "l" * 48)) == 6

    def test_nothing_stays_of_a_creation_rolled_back(self, conn: Connection) -> None:
        make(conn)
        conn.rollback()
        assert tables.list_tables(conn) == []


class TestInsert:
    def test_reads_back(self, conn: Connection) -> None:
        make(conn)
        new = rows.insert(conn, "cells", [cell(1.5, "é"), cell(-1, "")])
        got = rows.get(conn, "cells", new[::-1])
        assert [r["id"] for r in got] == new[::-1]
        assert got[1] == {
            "id": new[0],
            "created": got[0]["created"],
            "deleted": None,
            "superceded_id": None,
            "valid": True,
            "classification_system": "manual",
            "cell_type": "é",
            "pt_position": [1.5, 2.0, 3.0],
        }

    def test_optional_values_are_null(self, conn: Connection) -> None:
        make(conn, "nuclei", "nucleus_detection")
        new = rows.insert(conn, "nuclei", [{"pt": {"position": [1, 2, 3]}, "volume": None}])
        (got,) = rows.get(conn, "nuclei", new)
        assert (got["volume"], got["bb_start_position"]) == (None, None)

    def test_given_ids_advance_the_sequence(self, conn: Connection) -> None:
        make(conn)
        assert rows.insert(conn, "cells", [cell(1, id=40), cell(2), cell(3, id=np.int64(7))]) == [
            40,
            41,
            7,
        ]
        assert rows.insert(conn, "cells", [cell(1)]) == [42]
        rows.insert(conn, "cells", [cell(1, id=0), cell(1, id=5)])
        assert rows.insert(conn, "cells", [cell(1)]) == [43]
        rows.insert(conn, "cells", [cell(1, id=44)])
        assert rows.insert(conn, "cells", [cell(1)]) == [45]

    def test_first_id_given_is_one(self, conn: Connection) -> None:
        make(conn)
        assert rows.insert(conn, "cells", [cell(1, id=1)]) == [1]
        assert rows.insert(conn, "cells", [cell(1)]) == [2]

    def test_all_or_none(self, conn: Connection) -> None:
        make(conn)
        rows.insert(conn, "cells", [cell(1, id=3), cell(1, id=5)])
        with pytest.raises(Conflict, match="id 3, 5"):
            rows.insert(conn, "cells", [cell(1, id=2), cell(1, id=3), cell(1, id=5), cell(9)])
        with pytest.raises(Invalid, match="Row 2: pt"):
            rows.insert(conn, "cells", [cell(1), cell(1, pt={"position": [1, 2]})])
        with pytest.raises(Invalid, match="more than once"):
            rows.insert(conn, "cells", [cell(1, id=8), cell(1, id=8)])
        assert rows.count(conn, "cells") == 2

    @pytest.mark.parametrize("bad", [-1, 2**63, "1", 1.0, True, 2**62 + 1])
    def test_bad_ids(self, conn: Connection, bad: Any) -> None:
        make(conn)
        with pytest.raises(Invalid, match="An id must"):
            rows.insert(conn, "cells", [cell(1, id=bad)])

    def test_targets(self, conn: Connection) -> None:
        make(conn)
        make(conn, "tags", "reference_tag", reference_table="cells")
        rows.insert(conn, "cells", [cell(1, id=1)])
        rows.insert(conn, "tags", [{"target_id": 1, "tag": "x"}] * 3)
        with pytest.raises(Invalid, match="'cells' has no row of id 2, 9"):
            rows.insert(conn, "tags", [{"target_id": i, "tag": "x"} for i in (1, 9, 2)])
        assert rows.count(conn, "tags") == 3

    def test_user_is_filled(self, conn: Connection) -> None:
        make(conn, "tags", "bound_tag_user")
        row = {"pt": {"position": [1, 2, 3]}, "tag": "x"}
        new = rows.insert(conn, "tags", [row, row | {"user_id": 5}], user=9)
        assert [r["user_id"] for r in rows.get(conn, "tags", new)] == [9, 5]
        moved = rows.update(conn, "tags", [{"id": new[1], "tag": "y"}], user=9)
        assert rows.get(conn, "tags", list(moved.values()))[0]["user_id"] == 9

    def test_ten_thousand_at_once(self, conn: Connection) -> None:
        make(conn)
        new = rows.insert(conn, "cells", [cell(i) for i in range(10_000)])
        assert [r["pt_position"][0] for r in rows.get(conn, "cells", new)] == list(range(10_000))
        assert rows.insert(conn, "cells", []) == []

    def test_the_insert_is_a_writer_before_it_reads_the_clock(self, av: Any) -> None:
        with av.connect() as one, av.connect() as other:
            make(one)
            one.commit()
            (new,) = rows.insert(one, "cells", [cell(1)])
            assert len(writers.listed(other)) == 1
            (row,) = rows.get(one, "cells", [new])
            one.commit()
            assert writers.listed(other) == []
            assert row["created"] <= datetime.now(UTC)

    def test_two_at_once_that_give_the_same_id(self, av: Any) -> None:
        with av.connect() as setup:
            make(setup)
        barrier = Barrier(4)

        def work(_: int) -> str:
            with av.connect() as conn:
                barrier.wait()
                try:
                    rows.insert(conn, "cells", [cell(1, id=7), cell(2)])
                except Conflict as error:
                    return error.message[-5:]
                return "done"

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(work, range(4))) == ["done"] + ["id 7."] * 3
        with av.connect() as conn:
            assert rows.count(conn, "cells") == 2

    def test_no_id_is_taken_twice_while_the_sequence_is_advanced(self, av: Any) -> None:
        with av.connect() as setup:
            make(setup)
        taken: list[int] = []

        def advance() -> None:
            with av.connect() as conn:
                while not done.is_set():
                    ids.advance(conn, "cells", (taken[-1] if taken else 0) + 20)
                    conn.commit()

        done = Event()
        with ThreadPoolExecutor(1) as pool, av.connect() as conn:
            advancing = pool.submit(advance)
            for _ in range(1500):
                taken += ids.take(conn, "cells", 40).tolist()
                conn.commit()
            done.set()
            advancing.result()
        assert len(set(taken)) == len(taken)
        assert max(taken) > len(taken)  # it was advanced in between


class TestUpdate:
    def test_supersedes_at_one_time(self, conn: Connection) -> None:
        make(conn)
        old = rows.insert(conn, "cells", [cell(1), cell(2)])
        pairs = rows.update(
            conn,
            "cells",
            [{"id": old[1], "cell_type": "MC"}, {"id": old[0], "pt": {"position": [9, 9, 9]}}],
        )
        assert list(pairs) == [old[1], old[0]]
        before = rows.get(conn, "cells", list(pairs))
        after = rows.get(conn, "cells", list(pairs.values()))
        times = {r["deleted"] for r in before} | {r["created"] for r in after}
        assert len(times) == 1
        assert [r["superceded_id"] for r in before] == list(pairs.values())
        assert [(r["valid"], s["valid"]) for r, s in zip(before, after, strict=True)] == [
            (False, True)
        ] * 2
        assert [(r["cell_type"], r["pt_position"]) for r in after] == [
            ("MC", [2.0, 2.0, 3.0]),
            ("BC", [9.0, 9.0, 9.0]),
        ]
        assert [r["cell_type"] for r in before] == ["BC", "BC"]

    def test_null_clears_an_optional_value(self, conn: Connection) -> None:
        make(conn, "nuclei", "nucleus_detection")
        point = {"position": [1, 2, 3]}
        (old,) = rows.insert(conn, "nuclei", [{"pt": point, "bb_start": point, "volume": 3}])
        (new,) = rows.update(conn, "nuclei", [{"id": old, "volume": None}]).values()
        (got,) = rows.get(conn, "nuclei", [new])
        assert (got["volume"], got["bb_start_position"]) == (None, [1.0, 2.0, 3.0])
        with pytest.raises(Invalid, match="pt: is required"):
            rows.update(conn, "nuclei", [{"id": new, "pt": None}])

    def test_refused(self, conn: Connection) -> None:
        make(conn)
        one, two, three = rows.insert(conn, "cells", [cell(1), cell(2), cell(3)])
        (second,) = rows.update(conn, "cells", [{"id": one, "cell_type": "x"}]).values()
        (third,) = rows.update(conn, "cells", [{"id": second, "cell_type": "y"}]).values()
        rows.delete(conn, "cells", [two])
        fine = {"id": three, "cell_type": "z"}
        for bad, error, reason in [
            ({"id": one}, Conflict, f"newest id is {third}"),
            ({"id": two}, Conflict, "was deleted at"),
            ({"id": 999}, NotFound, "no row of id 999"),
            ({"id": three}, Invalid, "more than once"),
            ({"cell_type": "x"}, Invalid, "must be an integer"),
            ({"id": third, "cell_type": 5}, Invalid, "Row 2: cell_type"),
        ]:
            with pytest.raises(error, match=reason):
                rows.update(conn, "cells", [fine, bad])
        assert rows.get(conn, "cells", [three])[0]["deleted"] is None
        assert rows.count(conn, "cells") == 2
        assert rows.count(conn, "cells", ended=True) == 5

    def test_two_updates_at_once_supersede_once(self, av: Any) -> None:
        with av.connect() as setup:
            make(setup)
            (old,) = rows.insert(setup, "cells", [cell(1)])
        barrier = Barrier(4)

        def work(number: int) -> str:
            with av.connect() as conn:
                barrier.wait()
                try:
                    rows.update(conn, "cells", [{"id": old, "cell_type": str(number)}])
                except Conflict:
                    return "conflict"
                return "done"

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(work, range(4))) == ["conflict"] * 3 + ["done"]


class TestDelete:
    def test_ends_once(self, conn: Connection) -> None:
        make(conn)
        one, two = rows.insert(conn, "cells", [cell(1), cell(2)])
        assert rows.delete(conn, "cells", [one, 999, one]) == [one]
        (first,) = rows.get(conn, "cells", [one])
        assert first["valid"] is False
        assert rows.delete(conn, "cells", [one, two]) == [two]
        assert rows.get(conn, "cells", [one]) == [first]
        assert rows.count(conn, "cells") == 0
        with pytest.raises(NotFound, match="no row of id 998, 999"):
            rows.delete(conn, "cells", [999, 998])
        assert rows.delete(conn, "cells", []) == []

    def test_unknown_table(self, conn: Connection) -> None:
        make(conn)
        for act in (rows.get, rows.delete, rows.insert, rows.update):
            with pytest.raises(NotFound, match="Did you mean 'cells'"):
                act(conn, "cell", [])


def test_ids_are_named_shortly() -> None:
    assert ids.named(list(range(30))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 20 more"


def test_autocommit_calls_are_whole(av: Any) -> None:
    with av.connect() as conn:
        make(conn)
        conn.commit()
        conn.autocommit = True
        rows.insert(conn, "cells", [cell(1, id=1)])
        with pytest.raises(Conflict):
            rows.insert(conn, "cells", [cell(1), cell(1, id=1)])
        assert rows.count(conn, "cells") == 1


def test_library_calls_never_commit(av: Any) -> None:
    with av.connect() as conn:
        make(conn)
        rows.insert(conn, "cells", [cell(1)])
        conn.rollback()
        assert tables.list_tables(conn) == []
