"""The registry of annotation schemas and the columns they become."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from matengine.engine import schemas
from matengine.engine.schemas import page
from matengine.errors import NotFound
from matengine.storage.names import check_name

ARROW_OF_SQL = {
    "geometry(PointZ)": pa.list_(pa.float64(), 3),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "double precision": pa.float64(),
    "varchar": pa.string(),
    "boolean": pa.bool_(),
}
every_schema = pytest.mark.parametrize("name", schemas.names())


def test_there_are_57_schemas() -> None:
    assert len(schemas.names()) == len(set(schemas.names())) == 57
    assert schemas.names() == sorted(schemas.names())


def test_subjects_hold_each_schema_once() -> None:
    listed = [schema.name for group in schemas.subjects().values() for schema in group]
    assert sorted(listed) == schemas.names()


def test_an_unknown_schema_gives_the_nearest_name() -> None:
    with pytest.raises(NotFound, match="no schema 'synapze'") as caught:
        schemas.get("synapze")
    assert caught.value.hint == "Did you mean 'synapse'?"


def test_synapse_columns_in_order() -> None:
    synapse = schemas.get("synapse")
    assert [(c.name, c.sql_type, c.indexed, c.point) for c in schemas.flatten(synapse)] == [
        ("valid", "boolean", False, None),
        ("pre_pt_position", "geometry(PointZ)", True, "pre_pt"),
        ("pre_pt_supervoxel_id", "bigint", False, "pre_pt"),
        ("pre_pt_root_id", "bigint", True, "pre_pt"),
        ("post_pt_position", "geometry(PointZ)", True, "post_pt"),
        ("post_pt_supervoxel_id", "bigint", False, "post_pt"),
        ("post_pt_root_id", "bigint", True, "post_pt"),
        ("ctr_pt_position", "geometry(PointZ)", True, "ctr_pt"),
        ("size", "double precision", False, None),
    ]
    assert synapse.bound_points == ("pre_pt", "post_pt")
    assert [point.name for point in synapse.points] == ["pre_pt", "post_pt", "ctr_pt"]


def test_a_schema_that_is_a_point_has_columns_without_prefix() -> None:
    point = schemas.get("derived_spatial_point")
    assert schemas.bound_columns(point) == (
        schemas.BoundColumns("", "position", "supervoxel_id", "root_id"),
    )
    assert [column.name for column in schemas.segmentation_columns(point)] == [
        "supervoxel_id",
        "root_id",
    ]


def test_parts_of_an_optional_point_are_optional() -> None:
    columns = {c.name: c for c in schemas.flatten(schemas.get("contact"))}
    assert columns["sidea_pt_position"].required
    assert not columns["ctr_pt_position"].required


@every_schema
def test_bound_points_are_the_segmentation_columns(name: str) -> None:
    schema = schemas.get(name)
    flat = {column.name: column for column in schemas.flatten(schema)}
    points = schemas.bound_columns(schema)
    assert [point.point for point in points] == list(schema.bound_points)
    expected = [column for point in points for column in (point.supervoxel_id, point.root_id)]
    assert [column.name for column in schemas.segmentation_columns(schema)] == expected
    assert schema.needs_segmentation == bool(points)
    for point in points:
        assert flat[point.position].sql_type == "geometry(PointZ)"
        assert flat[point.root_id].indexed
        assert {flat[c].point for c in (point.position, point.root_id)} == {point.point}


@every_schema
def test_annotation_and_segmentation_side_make_up_the_flat_table(name: str) -> None:
    schema = schemas.get(name)
    sides = (*schemas.annotation_columns(schema), *schemas.segmentation_columns(schema))
    flat = schemas.flat_columns(schema)
    assert sorted(c.name for c in sides) == sorted(c.name for c in flat)
    assert len({column.name for column in flat}) == len(flat)
    assert not {c.name for c in flat} & {"id", "created", "deleted", "superceded_id"}


@every_schema
def test_types_agree(name: str) -> None:
    for column in schemas.flatten(schemas.get(name)):
        assert column.arrow_type == str(ARROW_OF_SQL[column.sql_type])


@every_schema
def test_the_name_is_a_safe_identifier(name: str) -> None:
    assert check_name(name, "schema") == name


@every_schema
def test_a_reference_schema_has_one_indexed_target(name: str) -> None:
    schema = schemas.get(name)
    targets = [c for c in schemas.flatten(schema) if c.kind is schemas.Kind.REFERENCE]
    assert [(c.name, c.sql_type, c.required, c.indexed) for c in targets] == (
        [("target_id", "bigint", True, True)] if schema.is_reference else []
    )


@every_schema
def test_choices_are_of_the_type_of_their_column(name: str) -> None:
    python_types = {"varchar": str, "integer": int}
    for column in schemas.flatten(schemas.get(name)):
        for choice in column.choices:
            assert isinstance(choice, python_types[column.sql_type])


def test_only_these_schemas_need_no_segmentation_beside_the_references() -> None:
    outside = {n for n in schemas.names() if not schemas.get(n).needs_segmentation}
    references = {n for n in schemas.names() if schemas.get(n).is_reference}
    assert outside - references == {"pt_bool_valid"}
    assert references - outside == {"reference_point"}
    assert len(references) == 19


def test_the_package_imports_no_heavy_library() -> None:
    code = (
        "import sys, matengine.engine.schemas;"
        "print(sorted({'numpy', 'pyarrow', 'psycopg', 'sqlalchemy'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.strip() == "[]"


def test_the_reference_page_is_current() -> None:
    written = Path(__file__).parents[2] / "docs" / "schemas.md"
    assert written.read_text(encoding="utf-8") == page.page(), (
        "write it anew: python -m matengine.engine.schemas.page > docs/schemas.md"
    )
