"""Dataset folders: what is read back, and that every fault is found and named."""

import json
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matengine.datasets import open_dataset
from matengine.errors import Invalid, NotFound

START = datetime(2026, 1, 1, tzinfo=UTC)
IDS = pa.list_(pa.int64())
TOML = """
[datastack]
name = "small"
description = "a small one"

[aligned_volume]
name = "small_av"

[segmentation]
name = "small_seg"
volume = "segmentation"
resolution_nm = [8.0, 8.0, 40.0]
chunk_size = [16, 16, 16]
start_time = 2026-01-01T00:00:00.000Z
edges = "edges.parquet"
edits = "edits.parquet"

[[table]]
name = "nuclei"
schema = "nucleus_detection"
file = "tables/nuclei.parquet"
voxel_resolution_nm = [4.0, 4.0, 40.0]

[[table]]
name = "types"
schema = "cell_type_reference"
file = "tables/types.parquet"
reference_table = "nuclei"
"""


def sv(segment: int, x: int = 0, y: int = 0, z: int = 0) -> int:
    return (1 << 56) | (x << 46) | (y << 36) | (z << 26) | segment


def day(number: int, ms: int = 0) -> datetime:
    return datetime(2026, 1, number, 12, 0, 0, ms * 1000, tzinfo=UTC)


def edits() -> pa.Table:
    rows = [
        (1, day(2), "merge", [sv(2)], [sv(3)], None, None),
        (2, day(3), "split", [sv(1)], [sv(2)], [sv(1)], [sv(2)]),
        (3, day(3, 1), "split", [], [], [sv(2)], [sv(3)]),
    ]
    names = ["operation_id", "timestamp", "kind", "edges_a", "edges_b", "source_ids", "sink_ids"]
    types = [pa.int64(), pa.timestamp("ms", tz="UTC"), pa.string(), IDS, IDS, IDS, IDS]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(list(c), t) for c, t in zip(columns, types, strict=True)]
    return pa.table(arrays, names)


def edges() -> pa.Table:
    return pa.table(
        {
            "supervoxel_a": pa.array([sv(2), sv(3)]),
            "supervoxel_b": pa.array([sv(1), sv(1, x=1)]),
            "affinity": pa.array([0.5, float("inf")], pa.float32()),
            "area": pa.array([4, 7]),
            "note": pa.array(["a", "b"]),
        }
    )


def nuclei() -> pa.Table:
    return pa.table(
        {
            "id": pa.array([1, 2, 4]),
            "created": pa.array([day(1), day(1, 1), day(2)], pa.timestamp("ms", tz="UTC")),
            "deleted": pa.array([None, day(2), None], pa.timestamp("ms", tz="UTC")),
            "superceded_id": pa.array([None, 4, None], pa.int64()),
            "pt_position_x": pa.array([1, 2, 3], pa.int32()),
            "pt_position_y": pa.array([1.5, 2, 3]),
            "pt_position_z": pa.array([1, 2, 3]),
            "volume": pa.array([1.0, None, 3.0]),
            "expected_pt_supervoxel_id": pa.array([sv(1), 0, sv(2)]),
            "remark": pa.array(["", "", ""]),
        }
    )


def types() -> pa.Table:
    return pa.table(
        {
            "id": pa.array([1, 2]),
            "created": pa.array([day(1), day(2)], pa.timestamp("us", tz="UTC")),
            "target_id": pa.array([1, 4]),
            "classification_system": pa.array(["s", "s"]),
            "cell_type": pa.array(["p", "q"]),
        }
    )


TABLES: dict[str, Callable[[], pa.Table]] = {
    "edges.parquet": edges,
    "edits.parquet": edits,
    "tables/nuclei.parquet": nuclei,
    "tables/types.parquet": types,
}
INFO: dict[str, Any] = {
    "type": "segmentation",
    "data_type": "uint64",
    "num_channels": 1,
    "scales": [{"size": [30, 16, 16], "resolution": [8, 8, 40]}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "small")


def write(folder: Path) -> Path:
    (folder / "segmentation").mkdir(parents=True)
    (folder / "tables").mkdir()
    (folder / "segmentation/info").write_text(json.dumps(INFO))
    (folder / "datastack.toml").write_text(TOML)
    for file, make in TABLES.items():
        pq.write_table(make(), folder / file)
    return folder


def test_a_sound_folder_is_read(folder: Path) -> None:
    dataset = open_dataset(folder)
    assert dataset.datastack.name == "small"
    assert dataset.datastack.description == "a small one"
    assert dataset.aligned_volume.name == "small_av"
    assert dataset.segmentation.name == "small_seg"
    assert dataset.segmentation.start_time == START
    assert dataset.segmentation.volume == folder / "segmentation"
    assert dataset.segmentation.chunk_size == (16, 16, 16)
    assert dataset.grid == (2, 1, 1)
    assert [(t.name, t.reference_table) for t in dataset.tables] == [
        ("nuclei", None),
        ("types", "nuclei"),
    ]


def test_edges_are_put_in_order_and_notes_left_out(folder: Path) -> None:
    read = open_dataset(folder).edges()
    assert read.column_names == ["supervoxel_a", "supervoxel_b", "affinity", "area"]
    assert read["supervoxel_a"].to_pylist() == [sv(1), sv(3)]
    assert read["supervoxel_b"].to_pylist() == [sv(2), sv(1, x=1)]
    assert read["affinity"].to_pylist() == [0.5, float("inf")]


def test_edits_have_lists_in_every_row(folder: Path) -> None:
    read = open_dataset(folder).edits()
    assert read["timestamp"].to_pylist() == [day(2), day(3), day(3, 1)]
    assert read["source_ids"].to_pylist() == [[], [sv(1)], [sv(2)]]
    assert read["edges_a"].to_pylist() == [[sv(2)], [sv(1)], []]


def test_a_table_has_one_type_a_column_and_no_truth(folder: Path) -> None:
    dataset = open_dataset(folder)
    rows = dataset.table("nuclei").read()
    assert rows.column_names == [
        *("id", "created", "deleted", "superceded_id", "volume"),
        *("pt_position_x", "pt_position_y", "pt_position_z"),
    ]
    assert rows["created"].type == pa.timestamp("us", tz="UTC")
    assert rows["pt_position_x"].type == pa.float64()
    assert dataset.table("types").read()["deleted"].null_count == 2
    truth = dataset.table("nuclei").expected_supervoxels()
    assert truth.column_names == ["id", "expected_pt_supervoxel_id"]
    with pytest.raises(NotFound, match="Did you mean 'nuclei'"):
        dataset.table("nucleus")


def test_a_graph_only_folder_without_history(folder: Path) -> None:
    text = TOML[: TOML.index("[[table]]")]
    keys = ("volume =", "resolution_nm", "chunk_size", "edits")
    lines = [line for line in text.splitlines() if not line.startswith(keys)]
    (folder / "datastack.toml").write_text("\n".join(lines))
    dataset = open_dataset(folder)
    assert dataset.segmentation.volume is None
    assert dataset.edits().num_rows == 0
    assert dataset.edits().schema.names == edits().schema.names
    assert dataset.tables == []


def test_the_truth_is_read_where_it_is(folder: Path) -> None:
    assert open_dataset(folder).expected_roots() is None
    (folder / "expected").mkdir()
    pq.write_table(pa.table({"operation_id": [1]}), folder / "expected/operations.parquet")
    truth = open_dataset(folder).expected_operations()
    assert truth is not None
    assert truth["operation_id"].to_pylist() == [1]


Change = tuple[str, str, str]
TOML_FAULTS: list[Change] = [
    ('name = "small"', 'name = "Small"', "datastack.name: 'Small' cannot name"),
    ('name = "small_seg"', "", "segmentation.name is missing"),
    ("edits =", "edit =", "segmentation.edit is no known key. Did you mean 'edits'?"),
    ("[8.0, 8.0, 40.0]", "[8.0, 0.0, 40.0]", r"segmentation.resolution_nm\[2\]: input should be"),
    ("[16, 16, 16]", "[16, 16]", "segmentation.chunk_size"),
    ("chunk_size = [16, 16, 16]", "", "segmentation.chunk_size is missing beside the other"),
    ("[16, 16, 16]", "[32, 16, 16]", r"row 2: \d+ lies in a chunk outside the volume"),
    ('"edges.parquet"', '"../edges.parquet"', "must be a path inside the folder"),
    ('"edges.parquet"', '"/edges.parquet"', "must be a path inside the folder"),
    ('"edges.parquet"', '"edge.parquet"', "edge.parquet: the file is missing"),
    ('"segmentation"', '"voxels"', "voxels/info: the file is missing"),
    ("2026-01-01T00:00:00.000Z", '"never"', "segmentation.start_time"),
    ("2026-01-01T00:00:00.000Z", "2026-01-02T12:00:00.000Z", "column timestamp, row 1: it must be"),
    ('"nucleus_detection"', '"nucleus_detect"', "Did you mean 'nucleus_detection'"),
    ("voxel_resolution_nm = [4.0, 4.0, 40.0]", "", "'nuclei' needs voxel_resolution_nm"),
    ('reference_table = "nuclei"', "", "'types' needs a reference_table"),
    ('reference_table = "nuclei"', 'reference_table = "nucli"', "'nucli': Did you mean 'nuclei'"),
    ('name = "types"', 'name = "nuclei"', "two tables are named 'nuclei'"),
    ('"cell_type_reference"', '"cell_type_local"', "has no target_id"),
    ("[datastack]", "[datastack", "datastack.toml: is not TOML"),
]


@pytest.mark.parametrize(("old", "new", "told"), TOML_FAULTS)
def test_faults_of_the_toml(folder: Path, old: str, new: str, told: str) -> None:
    assert old in TOML
    (folder / "datastack.toml").write_text(TOML.replace(old, new, 1))
    with pytest.raises(Invalid, match=told):
        open_dataset(folder)


def test_a_reference_before_its_table(folder: Path) -> None:
    head, nuclei_part, types_part = TOML.split("[[table]]")
    (folder / "datastack.toml").write_text("[[table]]".join([head, types_part, nuclei_part]))
    with pytest.raises(
        Invalid, match="'types' refers to 'nuclei': table 'nuclei' must come before"
    ):
        open_dataset(folder)


def test_a_table_with_points_needs_a_volume(folder: Path) -> None:
    keys = ("volume =", "resolution_nm", "chunk_size")
    lines = [line for line in TOML.splitlines() if not line.startswith(keys)]
    (folder / "datastack.toml").write_text("\n".join(lines))
    with pytest.raises(Invalid, match="'nuclei' has points"):
        open_dataset(folder)


def put(name: str, row: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    """A change of one value."""

    def change(table: pa.Table) -> pa.Table:
        values = table[name].to_pylist()
        values[row] = value
        return table.set_column(
            table.column_names.index(name), name, pa.array(values, table[name].type)
        )

    return change


def drop(name: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop_columns([name])


def retype(name: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        cast = pc.cast(table[name], kind, safe=False)
        return table.set_column(table.column_names.index(name), name, cast)

    return change


FILE_FAULTS: list[tuple[str, Callable[[pa.Table], pa.Table], str]] = [
    ("edges.parquet", drop("supervoxel_a"), "column supervoxel_a is missing"),
    ("edges.parquet", retype("supervoxel_a", pa.float64()), "column supervoxel_a holds double"),
    ("edges.parquet", put("supervoxel_b", 1, None), "column supervoxel_b, row 2: the value is mis"),
    ("edges.parquet", put("supervoxel_a", 1, 7), "column supervoxel_a, row 2: 7 is no supervoxel"),
    ("edges.parquet", put("supervoxel_a", 0, sv(0)), "is no supervoxel id"),
    ("edges.parquet", put("supervoxel_a", 1, sv(3, z=1)), "lies in a chunk outside the volume"),
    ("edges.parquet", put("supervoxel_a", 0, sv(1)), "row 1: the edge joins a supervoxel to itse"),
    (
        "edges.parquet",
        lambda t: pa.concat_tables([t, t.slice(1)]),
        "column supervoxel_a, row 3: the edge is there already",
    ),
    ("edges.parquet", put("affinity", 0, float("nan")), "column affinity, row 1"),
    ("edges.parquet", put("affinity", 0, -1.0), "column affinity, row 1"),
    ("edits.parquet", drop("kind"), "column kind is missing"),
    ("edits.parquet", put("kind", 1, "join"), "column kind, row 2: it must be merge or split"),
    ("edits.parquet", put("operation_id", 1, 1), "column operation_id, row 2: the id is there"),
    ("edits.parquet", put("operation_id", 1, 0), "column operation_id, row 2: it must be 1"),
    ("edits.parquet", put("timestamp", 1, day(2)), "column timestamp, row 2: it must be later"),
    ("edits.parquet", put("timestamp", 0, START), "later than segmentation.start_time"),
    ("edits.parquet", retype("timestamp", pa.int64()), "column timestamp holds int64"),
    ("edits.parquet", put("edges_b", 0, []), "column edges_b, row 1: it must be as long"),
    ("edits.parquet", put("edges_b", 0, [sv(2)]), "row 1: the edge joins a supervoxel to itself"),
    ("edits.parquet", put("edges_a", 1, [5]), "column edges_a, row 2: 5 is no supervoxel"),
    ("edits.parquet", put("kind", 2, "merge"), "column edges_a, row 3: a merge needs an edge"),
    ("edits.parquet", put("sink_ids", 2, []), "column sink_ids, row 3: a split without edges"),
    ("edits.parquet", put("sink_ids", 2, [sv(2)]), "column sink_ids, row 3: a supervoxel is sou"),
    ("edits.parquet", drop("source_ids"), "column source_ids, row 3"),
    ("edits.parquet", retype("kind", pa.large_binary()), "column kind holds large_binary"),
    ("tables/nuclei.parquet", drop("pt_position_y"), "column pt_position_y is missing"),
    ("tables/nuclei.parquet", put("id", 1, 1), "column id, row 2: the id is there already"),
    ("tables/nuclei.parquet", put("id", 0, 0), "column id, row 1: it must be 1 or more"),
    ("tables/nuclei.parquet", put("created", 0, None), "column created, row 1: the value is miss"),
    ("tables/nuclei.parquet", put("deleted", 1, START), "column deleted, row 2: it is earlier"),
    ("tables/nuclei.parquet", put("superceded_id", 1, 3), "column superceded_id, row 2: there is"),
    ("tables/nuclei.parquet", put("pt_position_y", 0, float("inf")), "column pt_position_y, row 1"),
    ("tables/nuclei.parquet", retype("volume", pa.string()), "column volume holds string"),
    ("tables/types.parquet", put("target_id", 1, 3), "row 2: there is no such row in table 'nuc"),
    ("tables/types.parquet", put("cell_type", 0, None), "column cell_type, row 1"),
]


@pytest.mark.parametrize(("file", "change", "told"), FILE_FAULTS)
def test_faults_of_the_files(
    folder: Path, file: str, change: Callable[[pa.Table], pa.Table], told: str
) -> None:
    pq.write_table(change(TABLES[file]()), folder / file)
    with pytest.raises(Invalid) as error:
        open_dataset(folder)
    assert f"- {file}: " in str(error.value)
    assert told in str(error.value)


def test_times_finer_than_a_millisecond(folder: Path) -> None:
    table = retype("timestamp", pa.timestamp("us", tz="UTC"))(edits())
    table = put("timestamp", 1, day(3).replace(microsecond=1))(table)
    pq.write_table(table, folder / "edits.parquet")
    with pytest.raises(Invalid, match="finer than a millisecond"):
        open_dataset(folder)


def test_what_is_no_parquet_file(folder: Path) -> None:
    (folder / "tables/types.parquet").write_text("id,created")
    with pytest.raises(Invalid, match=r"tables/types.parquet: is no Parquet file"):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"data_type": "uint32"}, "data_type is uint32, it should be uint64"),
        ({"type": "image"}, "type is image"),
        ({"scales": []}, "no description of a Neuroglancer"),
        ({"scales": [{"size": [30, 16, 16], "resolution": [4, 8, 40]}]}, "the resolution is"),
        ({"scales": INFO["scales"] * 2}, "the number of scales is 2"),
        ({"scales": [{"size": [99999, 9, 9], "resolution": [8, 8, 40]}]}, "1024 chunks an axis"),
    ],
)
def test_faults_of_the_volume(folder: Path, change: dict[str, Any], told: str) -> None:
    (folder / "segmentation/info").write_text(json.dumps(INFO | change))
    with pytest.raises(Invalid, match=told):
        open_dataset(folder)


def test_all_faults_are_told_together(folder: Path) -> None:
    (folder / "edges.parquet").unlink()
    pq.write_table(put("id", 1, 1)(nuclei()), folder / "tables/nuclei.parquet")
    with pytest.raises(Invalid) as error:
        open_dataset(folder)
    lines = str(error.value).splitlines()
    assert lines[0] == "The dataset folder small has 2 faults:"
    assert lines[1].startswith("- edges.parquet: ")
    assert lines[2].startswith("- tables/nuclei.parquet: ")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_dataset(tmp_path / "none")


@settings(deadline=None)
@given(cut=st.integers(0, len(TOML)), put_in=st.text(max_size=3))
def test_no_toml_gives_anything_but_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, cut: int, put_in: str
) -> None:
    folder = write(tmp_path_factory.mktemp("any") / "small")
    text = TOML[:cut] + put_in + TOML[cut + 1 :]
    (folder / "datastack.toml").write_bytes(text.encode())
    try:
        named = open_dataset(folder).datastack.name
    except Invalid as error:
        named, told = None, str(error)
    if named is None:
        assert "\n- " in told
    else:
        assert named == tomllib.loads(text)["datastack"]["name"]
