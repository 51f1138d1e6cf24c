"""Bulk load: what goes in is what the source holds; what cannot go in is told before."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from bulk_rows import make, synapses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from matengine.engine.annotations import bulk, readers, rows
from matengine.engine.annotations.report import Rejected, Report, check
from matengine.errors import Invalid, NotFound
from matengine.storage.connections import Connection

T0 = datetime(2026, 1, 1, tzinfo=UTC)
T1 = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
def db(conn: Connection) -> Connection:
    make(conn, "synapses", "synapse")
    make(conn, "cells", "cell_type_local")
    make(conn, "nuclei", "nucleus_detection")
    make(conn, "compartments", "postsynaptic_compartment", reference_table="cells")
    make(conn, "matches", "cell_match")
    make(conn, "spines", "spine_with_info")
    make(conn, "plain", "pt_bool_valid")
    return conn


def cells(**columns: Any) -> dict[str, Any]:
    """Three good rows, some columns replaced."""
    good: dict[str, Any] = {
        "id": [1, 2, 3],
        "pt_position": [[1.0, 2.0, 3.0]] * 3,
        "cell_type": ["a", "b", "c"],
        "classification_system": ["manual"] * 3,
    }
    return {name: v for name, v in (good | columns).items() if v is not None}


def everything(conn: Connection, table: str) -> list[dict[str, Any]]:
    query = sql.SQL("SELECT id FROM {} ORDER BY id").format(sql.Identifier(table))
    found = conn.execute(query)
    return rows.get(conn, table, [i for (i,) in found])


def faults(report: Report) -> list[tuple[str, str, int | None]]:
    return [(f.kind, f.column, f.row) for f in report.faults.first]


class TestSources:
    @pytest.mark.parametrize("kind", ["dict", "table", "parquet", "feather", "csv", "csv.gz"])
    def test_every_source_loads_the_same(self, db: Connection, tmp_path: Path, kind: str) -> None:
        table = pa.table(synapses(500))
        path = tmp_path / f"rows.{kind}"
        source: Any = path
        if kind == "dict":
            source = synapses(500)
        elif kind == "table":
            source = table
        elif kind == "parquet":
            pq.write_table(table, path, row_group_size=100)
        elif kind == "feather":
            feather.write_feather(table, str(path))
        else:
            csv.write_csv(table, tmp_path / "rows.csv")
            if kind == "csv.gz":
                path.write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes()))
        assert bulk.load(db, "synapses", source, batch_rows=77).rows == 500
        got = everything(db, "synapses")
        wanted = table.to_pylist()
        for row, want in zip(got, wanted, strict=True):
            assert row["id"] == want["id"]
            assert row["size"] == want["size"]
            for point in ("pre_pt", "post_pt", "ctr_pt"):
                xyz = [want[f"{point}_position_{axis}"] for axis in "xyz"]
                assert row[f"{point}_position"] == xyz
        assert {(r["valid"], r["deleted"]) for r in got} == {(True, None)}
        assert len({r["created"] for r in got}) == 7  # one time a batch

    @pytest.mark.parametrize(
        "positions",
        [
            [[1.0, 2.0, 3.5]] * 3,
            np.array([[1, 2, 3.5]] * 3),
            pa.array([[1, 2, 3.5]] * 3, pa.list_(pa.float32())),
            ["1, 2, 3.5", "[1 2 3.5]", "(1,2, 3.5)"],
        ],
    )
    def test_points_in_one_column(self, db: Connection, positions: Any) -> None:
        bulk.load(db, "cells", cells(pt_position=positions))
        assert [r["pt_position"] for r in everything(db, "cells")] == [[1.0, 2.0, 3.5]] * 3

    def test_integer_lists_are_points(self, db: Connection) -> None:
        listed = pa.array([[1, 2, 3]] * 3, pa.list_(pa.int32()))
        bulk.load(db, "cells", cells(pt_position=listed))
        assert [r["pt_position"] for r in everything(db, "cells")] == [[1.0, 2.0, 3.0]] * 3

    def test_csv_values(self, db: Connection, tmp_path: Path) -> None:
        path = tmp_path / "spines.csv"
        path.write_text(
            "id,created,deleted,pt_position,volume,n_inputs\n"
            '1,2026-01-01T00:00:00Z,,"1,2,3",1e3,+4\n'
            '2,2026-01-01 05:30:00+05:30,2026-01-02 03:04:05.678901,"1,2,3", .5 ,4.0\n'
            '3,2026-01-01,,"1,2,3",,\n'
        )
        bulk.load(db, "spines", path)
        got = everything(db, "spines")
        assert [r["created"] for r in got] == [T0] * 3
        assert [r["deleted"] for r in got] == [None, T1, None]
        assert [r["valid"] for r in got] == [True, False, True]
        assert [r["volume"] for r in got] == [1000.0, 0.5, None]
        assert [r["n_inputs"] for r in got] == [4, 4, None]

    def test_csv_tells_empty_text_from_null(self, db: Connection, tmp_path: Path) -> None:
        path = tmp_path / "cells.csv"
        path.write_text(
            'id,pt_position,cell_type,classification_system\n1,"1,2,3","","a\nb"\n2,"1,2,3",,x\n'
        )
        report = check(db, "cells", path)
        assert faults(report) == [("missing", "cell_type", 2)]

    def test_categories_and_other_types(self, db: Connection) -> None:
        source = cells(
            id=pa.array([1, 2, 3], pa.uint64()),
            cell_type=pa.array(["a", "b", "a"]).dictionary_encode(),
            created=pa.array([1, 2, 3], pa.timestamp("s")),
            deleted=pa.array([None, 2_000_000_000_123, None], pa.timestamp("ns", "UTC")),
        )
        bulk.load(db, "cells", source)
        got = everything(db, "cells")
        assert [r["cell_type"] for r in got] == ["a", "b", "a"]
        assert got[2]["created"] == datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC)
        assert got[1]["deleted"] == datetime(1970, 1, 1, 0, 33, 20, tzinfo=UTC)

    def test_booleans(self, db: Connection) -> None:
        source = {"id": [1, 2], "pt_position": [[1.0, 2, 3]] * 2, "valid_id": [5, 6]}
        bulk.load(db, "plain", source | {"tag": [True, False]})
        bulk.load(db, "plain", source | {"tag": ["T", "false"], "id": [3, 4]})
        bulk.load(db, "plain", source | {"tag": [1, 0], "id": [5, 6]})
        assert [r["tag"] for r in everything(db, "plain")] == [True, False] * 3

    def test_unreadable(self, db: Connection, tmp_path: Path) -> None:
        for name, content, error, reason in [
            ("none.csv", None, NotFound, "There is no file"),
            ("x.parquet", b"junk", Invalid, "x.parquet cannot be read"),
            ("x.feather", b"junk", Invalid, "x.feather cannot be read"),
            ("x.csv", b"", Invalid, "x.csv cannot be read"),
            ("y.csv", b"id,id\n1,2\n", Invalid, "more than one column 'id'"),
            ("z.csv", b"id\n1,2\n", Invalid, "z.csv cannot be read"),
            ("x.xlsx", b"", Invalid, "Use .parquet"),
        ]:
            if content is not None:
                (tmp_path / name).write_bytes(content)
            with pytest.raises(error, match=reason):
                bulk.load(db, "cells", tmp_path / name)
        with pytest.raises(Invalid, match="cannot be read"):
            bulk.load(db, "cells", {"id": [1, 2], "cell_type": ["a"]})
        with pytest.raises(Invalid, match="from a list"):
            bulk.load(db, "cells", [1])  # type: ignore[arg-type]

    @settings(max_examples=60, deadline=None)
    @given(
        sizes=st.lists(st.integers(0, 9), max_size=8),
        rows=st.integers(1, 12),
        skip=st.integers(0, 40),
    )
    def test_batches_cut_evenly(self, sizes: list[int], rows: int, skip: int) -> None:
        numbers = pa.chunked_array(
            [
                pa.array(range(sum(sizes[:i]), sum(sizes[: i + 1])), pa.int64())
                for i in range(len(sizes))
            ],
            pa.int64(),
        )
        source = readers.open_source(pa.table({"id": numbers}))
        got = list(source.batches(rows, skip))
        assert [i for b in got for i in b["id"].to_pylist()] == list(range(skip, sum(sizes)))
        assert all(b.num_rows == rows for b in got[:-1])
        assert all(b.num_rows for b in got)


class TestColumns:
    def test_times_and_ends(self, db: Connection) -> None:
        source = cells(
            created=pa.array([T0, None, T1], pa.timestamp("us", "UTC")),
            deleted=pa.array([T1, None, None], pa.timestamp("us", "UTC")),
            superceded_id=pa.array([3, None, None], pa.int64()),
            valid=[True, False, True],
        )
        bulk.load(db, "cells", source)
        one, two, three = everything(db, "cells")
        assert (one["created"], one["deleted"], one["superceded_id"]) == (T0, T1, 3)
        assert (one["valid"], two["valid"], three["valid"]) == (False, True, True)
        assert two["created"] > T1
        assert three["created"] == T1

    def test_ids_from_the_file_advance_the_sequence(self, db: Connection) -> None:
        bulk.load(db, "cells", cells(id=[7, 90, 5]))
        point = {"position": [1, 2, 3]}
        row = {"pt": point, "cell_type": "x", "classification_system": "y"}
        assert rows.insert(db, "cells", [row]) == [91]

    def test_ids_from_the_sequence(self, db: Connection) -> None:
        bulk.load(db, "cells", cells(), ids="sequence")
        bulk.load(db, "cells", cells(id=None), ids="sequence")
        assert [r["id"] for r in everything(db, "cells")] == [1, 2, 3, 4, 5, 6]

    def test_column_map(self, db: Connection) -> None:
        source = cells(
            cell_type=None, kind=["a", "b", "c"], junk=[1, 2, 3], expected_pt_root_id=[1] * 3
        )
        bulk.load(db, "cells", source, column_map={"kind": "cell_type", "junk": None})
        assert [r["cell_type"] for r in everything(db, "cells")] == ["a", "b", "c"]

    def test_references(self, db: Connection) -> None:
        bulk.load(db, "cells", cells())
        source = {"id": [1, 2], "target_id": [3, 1], "compartment": ["soma", "axon"]}
        bulk.load(db, "compartments", source)
        assert [r["target_id"] for r in everything(db, "compartments")] == [3, 1]
        wrong = source | {"id": [3, 4], "target_id": [9, 1]}
        report = check(db, "compartments", wrong)
        assert faults(report) == [("target", "target_id", 1)]
        assert "no id of the reference table 'cells'" in str(report)

    def test_big_load_has_its_indexes(self, db: Connection) -> None:
        listed = "SELECT indexdef FROM pg_indexes WHERE tablename = 'synapses' ORDER BY 1"
        before = db.execute(listed).fetchall()
        oids = "SELECT oid FROM pg_class WHERE relname = 'idx_synapses_ctr_pt_position'"
        old = db.execute(oids).fetchall()
        bulk.load(db, "synapses", synapses(bulk.REINDEX_ROWS))
        assert db.execute(listed).fetchall() == before
        new = db.execute(oids).fetchall()
        assert new != old  # made after the rows
        bulk.load(db, "synapses", synapses(bulk.REINDEX_ROWS, 10**6))
        assert db.execute(oids).fetchall() == new  # kept: the table had rows

    def test_one_queue_row_a_batch(self, db: Connection) -> None:
        db.execute("INSERT INTO matengine.segmentation (name) VALUES ('s')")
        db.execute("INSERT INTO matengine.datastack (name, segmentation) VALUES ('d', 's')")
        bulk.load(db, "synapses", synapses(100), batch_rows=60)
        found = db.execute("SELECT kind, first_id, last_id FROM matengine.change ORDER BY seq")
        assert found.fetchall() == [("insert", 1, 60), ("insert", 61, 100)]


NAN = float("nan")
NO_POINT = {"pt_position": None}
# columns that replace good ones, and the faults they make
VALUE_FAULTS: list[tuple[dict[str, Any], list[tuple[str, str, int | None]]]] = [
    ({"id": [1, 2, 1]}, [("repeated id", "id", 3)]),
    ({"id": [1, None, 3]}, [("missing", "id", 2)]),
    ({"id": [1, -2, 2**62 + 1]}, [("range", "id", 2), ("range", "id", 3)]),
    ({"id": pa.array([1, 2**63, 3], pa.uint64())}, [("range", "id", 2)]),
    ({"id": [1.0, 2.5, NAN]}, [("value", "id", 2), ("value", "id", 3)]),
    ({"id": [1.0, 2.0**60, 3.0]}, [("range", "id", 2)]),
    ({"id": ["1", "two", "9" * 20]}, [("value", "id", 2), ("range", "id", 3)]),
    ({"cell_type": ["a", None, "c"]}, [("missing", "cell_type", 2)]),
    ({"cell_type": ["a", "b\0", "c"]}, [("value", "cell_type", 2)]),
    ({"cell_type": [1, 2, 3]}, [("column type", "cell_type", None)]),
    (
        {"created": ["2026-01-01", "soon", "2026-13-01"]},
        [("value", "created", 2), ("value", "created", 3)],
    ),
    ({"created": [1, 2, 3]}, [("column type", "created", None)]),
    ({"created": pa.array([0, 2**62, 0], pa.timestamp("us"))}, [("range", "created", 2)]),
    ({"created": [T1] * 3, "deleted": [None, T0, T1]}, [("order", "deleted", 2)]),
    ({"superceded_id": [None, 3, None]}, [("order", "superceded_id", 2)]),
    (
        {"pt_position": [[1.0, 2.0, 3.0], None, [1.0, 2.0]]},
        [("point", "pt_position", 3), ("missing", "pt_position", 2)],
    ),
    (
        {"pt_position": [[1.0, NAN, 3.0], [1.0, None, 3.0], [1.0, 2.0, float("inf")]]},
        [("point", "pt_position", 1), ("point", "pt_position", 2), ("point", "pt_position", 3)],
    ),
    (
        {"pt_position": ["1,2,3", "1,2", "1,2,x"]},
        [("point", "pt_position", 2), ("value", "pt_position", 3)],
    ),
    ({"pt_position": [1, 2, 3]}, [("column type", "pt_position", None)]),
    (
        NO_POINT
        | {"pt_position_x": [1, None, 3], "pt_position_y": [1, None, None]}
        | {"pt_position_z": [1.0, None, NAN]},
        [
            ("value", "pt_position_z", 3),
            ("point", "pt_position_y", 3),
            ("missing", "pt_position_x", 2),
        ],
    ),
    (
        NO_POINT | {"pt_position_x": [1, 2, 3]},
        [("missing column", "pt_position_y", None), ("missing column", "pt_position_z", None)],
    ),
    ({"pt_position_x": [1, 2, 3]}, [("repeated column", "pt_position_x", None)]),
    (
        {"cell_type": None, "celltype": ["a", "b", "c"]},
        [("missing column", "cell_type", None), ("unknown column", "celltype", None)],
    ),
    ({"pt_supervoxel_id": [1, 2, 3]}, [("unknown column", "pt_supervoxel_id", None)]),
    ({"id": None}, [("missing column", "id", None)]),
]


class TestFaults:
    @pytest.mark.parametrize(("columns", "wanted"), VALUE_FAULTS)
    def test_each_fault_is_named(
        self, db: Connection, columns: dict[str, Any], wanted: list[tuple[str, str, int | None]]
    ) -> None:
        report = check(db, "cells", cells(**columns))
        assert sorted(faults(report), key=str) == sorted(wanted, key=str)
        assert not report.ok
        with pytest.raises(Rejected, match="Nothing was loaded") as refused:
            bulk.load(db, "cells", cells(**columns))
        assert faults(refused.value.report) == faults(report)
        assert rows.count(db, "cells", ended=True) == 0

    def test_numbers_of_other_schemas(self, db: Connection) -> None:
        point = {"pt_position": [[1.0, 2, 3]] * 3, "id": [1, 2, 3]}
        spines = point | {"n_inputs": [1, 2**31, None], "volume": ["1", "nan", "1e999"]}
        assert faults(check(db, "spines", spines)) == [
            ("value", "volume", 2),
            ("value", "volume", 3),
            ("range", "n_inputs", 2),
        ]
        plain = point | {"tag": ["yes", None, "T"], "valid_id": [1, 2, 3]}
        assert faults(check(db, "plain", plain)) == [("value", "tag", 1), ("missing", "tag", 2)]
        compartments = {"id": [1], "target_id": [None], "compartment": ["sona"]}
        wanted = [
            ("missing", "target_id", 1),
            ("choice", "compartment", 1),
        ]
        assert faults(check(db, "compartments", compartments)) == wanted

    def test_existing_ids(self, db: Connection) -> None:
        bulk.load(db, "cells", cells())
        report = check(db, "cells", cells(id=[3, 4, 1]))
        assert faults(report) == [("existing id", "id", 1), ("existing id", "id", 3)]

    def test_hints(self, db: Connection) -> None:
        told = str(check(db, "cells", cells(cell_typ=["x"] * 3, pt_root_id=[1] * 3)))
        assert "Did you mean 'cell_type'?" in told
        assert "pt_root_id: is found by the engine itself" in told
        told = str(check(db, "cells", cells(), column_map={"celltype": "x"}))
        assert "Did you mean 'cell_type'?" in told
        told = str(check(db, "cells", cells(pt_x=[1] * 3)))
        assert "Did you mean 'pt_position_x'?" in told

    def test_first_of_many_and_the_total(self, db: Connection) -> None:
        columns = synapses(200_000)
        columns["size"] = np.where(np.arange(200_000) % 10 == 9, np.inf, 1.0)
        columns["id"][150_000:] = 7
        report = check(db, "synapses", columns)
        assert (report.rows, report.checked) == (200_000, 200_000)
        assert faults(report) == [
            *[("value", "size", row) for row in (10, 20, 30, 40, 50)],
            *[("repeated id", "id", row) for row in range(150_001, 150_006)],
        ]
        assert report.faults.totals == {("value", "size"): 20_000, ("repeated id", "id"): 50_000}
        assert "20,000 rows in all" in str(report)

    def test_good_source_is_reported_good(self, db: Connection) -> None:
        report = check(db, "cells", cells())
        assert report.ok
        assert str(report) == "The dict of arrays: 3 rows fit into 'cells'."
        assert check(db, "cells", cells()).ok  # nothing is left behind

    def test_empty_source(self, db: Connection) -> None:
        empty = pa.table(synapses(1)).slice(1)
        assert bulk.load(db, "synapses", empty).rows == 0

    def test_sequence_ids_cannot_be_superseded(self, db: Connection) -> None:
        with pytest.raises(Rejected, match="names rows by ids"):
            bulk.load(db, "cells", cells(superceded_id=[None] * 3), ids="sequence")


finite = st.floats(allow_nan=False, allow_infinity=False)
maybe_text = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8)
spine = st.fixed_dictionaries(
    {
        "pt_position": st.tuples(finite, finite, finite).map(list),
        "volume": st.none() | finite,
        "n_inputs": st.none() | st.integers(-(2**31), 2**31 - 1),
    }
)
WRITERS: dict[str, Callable[[pa.Table, Path], object]] = {
    "parquet": pq.write_table,
    "arrow": lambda table, path: feather.write_feather(table, str(path)),
}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    wanted=st.lists(spine, max_size=9),
    numbers=st.lists(st.integers(0, 2**62), min_size=9, max_size=9, unique=True),
    kind=st.sampled_from(["parquet", "arrow", "csv", "rows"]),
)
def test_load_equals_insert(
    db: Connection, tmp_path: Path, wanted: list[dict[str, Any]], numbers: list[int], kind: str
) -> None:
    """A file and the rows API make the same table."""
    db.execute("TRUNCATE spines")
    listed = [{"id": i, **row} for i, row in zip(numbers, wanted, strict=False)]
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("pt_position", pa.list_(pa.float64())),
            ("volume", pa.float64()),
            ("n_inputs", pa.int32()),
        ]
    )
    path = tmp_path / f"rows.{kind}"
    table = pa.Table.from_pylist(listed, schema)
    if kind == "rows":
        nested = [r | {"pt": {"position": r["pt_position"]}} for r in listed]
        rows.insert(db, "spines", nested)
    else:
        if kind == "csv":
            lines = ["id,pt_position,volume,n_inputs"]
            for r in listed:
                cells = [r["id"], f'"{json.dumps(r["pt_position"])}"', r["volume"], r["n_inputs"]]
                lines.append(",".join("" if c is None else str(c) for c in cells))
            path.write_text("\n".join(lines) + "\n")
        else:
            WRITERS[kind](table, path)
        bulk.load(db, "spines", path, batch_rows=4)
    got = everything(db, "spines")
    keys = ("id", "pt_position", "volume", "n_inputs")
    assert [{k: r[k] for k in keys} for r in got] == sorted(listed, key=lambda r: r["id"])
