"""Rows as clients write them: what is stored, and that every fault is found and named."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matengine.engine import schemas
from matengine.engine.schemas import Field, Kind, Schema, validate_row
from matengine.errors import Invalid

Row = dict[str, Any]
every_schema = pytest.mark.parametrize("name", schemas.names())

_finite = st.floats(allow_nan=False, allow_infinity=False)
_number = _finite | st.integers(-(2**53), 2**53)
_int64 = st.integers(-(2**63), 2**63 - 1)
_int32 = st.integers(-(2**31), 2**31 - 1)
_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.GEOMETRY: st.lists(_number, min_size=3, max_size=3),
    Kind.SEGMENTATION: st.integers(0, 2**63 - 1),
    Kind.REFERENCE: _int64,
    Kind.USER: _int64,
    Kind.BIGINT: _int64,
    Kind.INTEGER: _int32,
    Kind.FLOAT: _number,
    Kind.STRING: _text,
    Kind.BOOLEAN: st.booleans(),
}

_NOT_INTEGERS: list[Any] = ["1", True, 1.5, [1], {}, math.nan]
WRONG: dict[Kind, list[Any]] = {
    Kind.GEOMETRY: [
        *([], [1, 2], [1, 2, 3, 4], "123", {"x": 1, "y": 2, "z": 3}, 5),
        *([1, 2, math.nan], [math.inf, 2, 3], [1, None, 3], [1, "2", 3], [True, 2, 3]),
        [[1, 2, 3], [1, 2, 3], [1, 2, 3]],
    ],
    Kind.SEGMENTATION: [*_NOT_INTEGERS, -1, 2**63, 1.0],
    Kind.REFERENCE: [*_NOT_INTEGERS, 2**63, -(2**63) - 1, 1.0],
    Kind.USER: [*_NOT_INTEGERS, 2**63, 1.0],
    Kind.BIGINT: [*_NOT_INTEGERS, 2**63, -(2**63) - 1, float(2**60)],
    Kind.INTEGER: [*_NOT_INTEGERS, 2**31, -(2**31) - 1, 1e20, math.inf],
    Kind.FLOAT: ["1", True, math.nan, -math.inf, 10**400, [1.0], {}],
    Kind.STRING: [1, True, b"bytes", ["a"], "a\0b", "\ud800", "\udfff."],
    Kind.BOOLEAN: [0, 1, "true", [], 0.0],
}


def _values(field: Field) -> st.SearchStrategy[Any]:
    if field.parts:
        return _rows(field.parts)
    return st.sampled_from(field.choices) if field.choices else VALUES[field.kind]


def _rows(fields: tuple[Field, ...]) -> st.SearchStrategy[Row]:
    """Rows with all required fields, and some others given, null or left out."""
    return st.fixed_dictionaries(
        {field.name: _values(field) for field in fields if field.required},
        optional={f.name: st.none() | _values(f) for f in fields if not f.required},
    )


@st.composite
def schemas_and_rows(draw: st.DrawFn) -> tuple[Schema, Row]:
    schema = schemas.get(draw(st.sampled_from(schemas.names())))
    return schema, draw(_rows(schema.fields))


def _expected(schema: Schema, row: Row) -> Row:
    """The flat row by the rule of names alone."""
    flat: Row = {}
    for field in schema.fields:
        given = row.get(field.name)
        for part in field.parts:
            flat[f"{field.name}_{part.name}"] = (given or {}).get(part.name)
        if not field.parts:
            flat[field.name] = given
    return {key: tuple(v) if isinstance(v, list) else v for key, v in flat.items()}


@given(schemas_and_rows())
def test_a_right_row_becomes_its_flat_values(case: tuple[Schema, Row]) -> None:
    schema, row = case
    before = deepcopy(row)
    values = validate_row(schema, row)
    assert row == before
    assert values == _expected(schema, row)
    for column in schemas.flatten(schema):
        kinds = {"bigint": int, "integer": int, "double precision": float, "boolean": bool}
        value = values[column.name]
        if value is not None and column.sql_type in kinds:
            assert type(value) is kinds[column.sql_type]
        if value is not None and column.kind is Kind.GEOMETRY:
            assert [type(number) for number in value] == [float, float, float]


def _corruptions(schema: Schema, row: Row) -> list[tuple[str, Callable[[Row], None]]]:
    """Every single thing that can be wrong with a row: (the place to be named, what to do)."""
    found: list[tuple[str, Callable[[Row], None]]] = []
    for field in schema.fields:
        if field.parts:
            point = {**row[field.name]} if row.get(field.name) else {"position": [1, 2, 3]}
            point |= {
                part.name: 1 for part in field.parts if part.required and part.name not in point
            }
            found += [
                (f"{field.name}.{place}", _set(field.name, {**point, **change}))
                for place, change in _wrong_values(field.parts)
            ]
            found += [
                (f"{field.name}.{part.name}", _set(field.name, _without(point, part.name)))
                for part in field.parts
                if part.required
            ]
            found.append((f"{field.name}.rood_id", _set(field.name, {**point, "rood_id": 1})))
            found += [(field.name, _set(field.name, value)) for value in ([1, 2, 3], "pt", 7)]
        if field.required and field.kind is not Kind.USER:
            found.append((field.name, _set(field.name, None)))
            found.append((field.name, _drop(field.name)))
    own = tuple(field for field in schema.fields if not field.parts)
    return found + [(place, _merge(change)) for place, change in _wrong_values(own)]


def _wrong_values(fields: tuple[Field, ...]) -> list[tuple[str, Row]]:
    wrong = [(f.name, {f.name: value}) for f in fields for value in WRONG[f.kind]]
    outside: dict[Kind, Any] = {Kind.STRING: "no such choice", Kind.INTEGER: 77}
    return wrong + [(f.name, {f.name: outside[f.kind]}) for f in fields if f.choices]


def _set(name: str, value: Any) -> Callable[[Row], None]:
    return _merge({name: value})


def _merge(change: Row) -> Callable[[Row], None]:
    return lambda row: row.update(change)


def _drop(name: str) -> Callable[[Row], None]:
    return lambda row: row.pop(name, None)


def _without(point: Row, name: str) -> Row:
    return {key: value for key, value in point.items() if key != name}


@every_schema
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_every_single_fault_is_refused_and_named(name: str, data: st.DataObject) -> None:
    schema = schemas.get(name)
    row = data.draw(_rows(schema.fields))
    corruptions = _corruptions(schema, row)
    assert len(corruptions) > len(schema.fields)
    for place, corrupt in corruptions:
        wrong = dict(row)
        corrupt(wrong)
        with pytest.raises(Invalid) as caught:
            validate_row(schema, wrong)
        assert caught.value.message.startswith(f"{place}: ")
        assert "\n" not in caught.value.message


@every_schema
def test_all_faults_are_told_together(name: str) -> None:
    schema = schemas.get(name)
    wrong = {f.name: [1] if f.parts else WRONG[f.kind][0] for f in schema.fields}
    with pytest.raises(Invalid) as caught:
        validate_row(schema, wrong)
    lines = caught.value.message.split("\n")
    assert [line.split(":")[0] for line in lines] == [field.name for field in schema.fields]


def test_numbers_too_long_to_print_are_refused() -> None:
    with pytest.raises(Invalid, match=r"^value: must lie between .* not a value too long to show$"):
        validate_row(schemas.get("reference_integer"), {"target_id": 1, "value": 10**5000})


@given(schemas_and_rows())
def test_unknown_keys_at_the_top_are_dropped(case: tuple[Schema, Row]) -> None:
    schema, row = case
    assert validate_row(schema, {**row, "id": 5, "my_note": "x"}) == validate_row(schema, row)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "pt: is required\ntag: is required"),
        (
            {"pt_position": [1, 2, 3], "tag": "a"},
            'pt: is required; write {"pt": {"position": [x, y, z]}} for pt_position',
        ),
        (
            {"pt": {"positon": [1, 2, 3]}, "tag": "a"},
            "pt.positon: is not part of a bound point. Did you mean 'position'?\n"
            "pt.position: is required",
        ),
        (
            {"pt": {"position": [1, 2]}, "tag": "a"},
            "pt.position: must be three numbers x, y, z in voxels, not [1, 2]",
        ),
        (
            {"pt": {"position": [1, 2, 3], "root_id": 6.485e17}, "tag": "a"},
            "pt.root_id: must be an integer, not 6.485e+17",
        ),
    ],
)
def test_the_words_of_a_refusal(row: Row, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        validate_row(schemas.get("bound_tag"), row)
    assert caught.value.message == message


def test_the_words_for_a_closed_list() -> None:
    row = {"target_id": 1, "shape": "pancakes" * 40}
    with pytest.raises(Invalid, match=r"^shape: must be one of pancake, basmati, potato, not 'pan"):
        validate_row(schemas.get("bouton_shape"), row)


@pytest.mark.parametrize("row", [None, [], "row", 5])
def test_a_row_must_be_an_object(row: Any) -> None:
    with pytest.raises(Invalid, match="must be an object"):
        validate_row(schemas.get("bound_tag"), row)


def test_a_user_id_may_be_left_to_the_server() -> None:
    row = {"pt": {"position": [1, 2, 3]}, "tag": "a"}
    assert validate_row(schemas.get("bound_tag_user"), row)["user_id"] is None


def test_numpy_values_are_taken_exactly() -> None:
    row = {
        "pt": {
            "position": np.array([1, 2, 3], dtype=np.uint32),
            "supervoxel_id": np.uint64(2**63 - 1),
            "root_id": np.int64(648518346341351429),
        },
        "valid_id": np.uint64(648518346341351429),
        "proofread": np.True_,
        "user_id": np.int32(3),
    }
    values = validate_row(schemas.get("proofreading_boolstatus_user"), row)
    assert values == {
        "valid": None,
        "pt_position": (1.0, 2.0, 3.0),
        "pt_supervoxel_id": 2**63 - 1,
        "pt_root_id": 648518346341351429,
        "valid_id": 648518346341351429,
        "proofread": True,
        "user_id": 3,
    }


def test_whole_floats_pass_as_small_integers_only() -> None:
    row: Row = {"pt": {"position": [1, 2, 3]}, "n_inputs": 4.0}
    values = validate_row(schemas.get("spine_with_info"), row)
    assert (values["n_inputs"], type(values["n_inputs"])) == (4, int)
