"""Compare our annotation schemas with the public package, definition by definition.

Runs in the environment of requirements.lock (Python 3.11), beside that package and its old
dependencies. Prints one line a comparison; exits with 1 and the differences where there are any.
Texts that describe a field are our own and are left out; all else must be equal.
"""

import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")  # the pinned dependencies are old

import emannotationschemas as public  # noqa: E402
import marshmallow  # noqa: E402
from emannotationschemas import models  # noqa: E402
from emannotationschemas.flatten import flatten_dict  # noqa: E402
from geoalchemy2 import Geometry  # noqa: E402
from marshmallow_jsonschema import JSONSchema  # noqa: E402
from sqlalchemy import Table  # noqa: E402
from sqlalchemy.dialects import postgresql  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from matengine.engine import schemas  # noqa: E402
from matengine.errors import Invalid  # noqa: E402

PCG = "pcg"
CRUD = ("created", "deleted", "superceded_id")
SQL_TYPES = {"FLOAT": "double precision", "geometry(POINTZ,-1)": "geometry(PointZ)"}
DESCRIPTIONS = {"description", "desription"}  # one field of the public package misspells it

Comparison = dict[str, tuple[Any, Any]]  # what is compared -> (public, ours)


def compare_names() -> Comparison:
    return {"all schemas": (sorted(public.get_types()), schemas.names())}


def compare_fields(name: str) -> Comparison:
    """Name, point or not, requiredness, choices and order of the nested fields."""
    theirs = public.get_schema(name)
    ours = schemas.get(name)
    return {
        name: (
            [_public_field(key, field) for key, field in theirs._declared_fields.items()],
            [(f.name, bool(f.kind.is_point), f.required, tuple(f.choices)) for f in ours.fields],
        ),
        f"{name}: definition": (theirs.__name__, ours.definition),
        f"{name}: about other rows": ("target_id" in theirs._declared_fields, ours.is_reference),
    }


def _public_field(key: str, field: Any) -> tuple[str, bool, bool, tuple[Any, ...]]:
    choices = [c for check in field.validators for c in getattr(check, "choices", ())]
    return key, isinstance(field, marshmallow.fields.Nested), field.required, tuple(choices)


def compare_flat_fields(name: str) -> Comparison:
    """Requiredness and closed choices after flattening."""
    theirs = public.get_flat_schema(name)._declared_fields
    return {
        name: (
            [(key, *_public_field(key, field)[2:]) for key, field in theirs.items()],
            [(c.name, c.required, tuple(c.choices)) for c in schemas.flatten(schemas.get(name))],
        )
    }


def compare_models(name: str) -> Comparison:
    """Columns, SQL types and indexes of the annotation, segmentation and flat tables."""
    ours = schemas.get(name)
    options: dict[str, Any] = {"reset_cache": True}
    if ours.is_reference:
        options["table_metadata"] = {"reference_table": "target"}
    live = models.make_model_from_schema(name, name, **options)
    compared = {
        f"{name}: annotation table": _tables(live, schemas.annotation_columns(ours), CRUD),
    }
    flat = models.make_flat_model(name, name, **options)
    compared[f"{name}: flat table"] = _tables(flat, schemas.flat_columns(ours), ())
    segmentation = models.make_model_from_schema(name, name, PCG, **options)
    side = schemas.segmentation_columns(ours)
    compared[f"{name}: segmentation table"] = _tables(segmentation, side, ())
    compared[f"{name}: needs segmentation"] = (bool(side), ours.needs_segmentation)
    return compared


def _tables(model: Any, columns: Iterable[schemas.Column], crud: tuple[str, ...]) -> Any:
    """The public table and ours as lists of (name, SQL type, index), without the row's own."""
    table: Table = model.__table__
    names = [column.name for column in table.columns]
    own = ("id", *crud)
    if tuple(names[: len(own)]) != own:
        return names, list(own)
    theirs = [
        (column.name, _sql_type(column.type), _index(column))
        for column in table.columns
        if column.name not in own
    ]
    mine = [
        (c.name, c.sql_type, ("gist" if "geometry" in c.sql_type else "btree") * c.indexed)
        for c in columns
    ]
    return theirs, mine


def _sql_type(of: Any) -> str:
    told = of.compile(dialect=postgresql.dialect())
    return SQL_TYPES.get(told, told.lower())


def _index(column: Any) -> str:
    if isinstance(column.type, Geometry):
        return "gist" if column.type.spatial_index and column.type.use_N_D_index else ""
    return "btree" if column.index else ""


def compare_json_schemas(name: str) -> Comparison:
    theirs = JSONSchema().dump(public.get_schema(name)())
    return {name: (_undescribed(theirs), _undescribed(schemas.json_schema(schemas.get(name))))}


def _undescribed(told: Any) -> Any:
    """The same JSON without descriptions."""
    if not isinstance(told, dict):
        return told
    return {key: _undescribed(value) for key, value in told.items() if key not in DESCRIPTIONS}


def compare_rows(name: str) -> Comparison:
    """What loading gives for a whole row, and whether a row with one thing wrong is refused."""
    ours = schemas.get(name)
    row = {field.name: _example(field) for field in ours.fields}
    needed = [f.name for f in ours.fields if f.required and f.kind is not schemas.Kind.USER]
    wrong = {f"without {key}": {k: v for k, v in row.items() if k != key} for key in needed}
    wrong |= {f"{f.name} out of its list": row | {f.name: 77} for f in ours.fields if f.choices}
    for point in ours.points:
        wrong[f"{point.name} with more"] = row | {point.name: {**row[point.name], "more": 1}}
        wrong[f"{point.name} without position"] = row | {point.name: {"root_id": 1}}
        wrong[f"{point.name} is a list"] = row | {point.name: [1, 2, 3]}
    compared = {name: (_public_load(name, row), _our_load(ours, row))}
    for what, rows in wrong.items():
        compared[f"{name} {what}"] = (_public_load(name, rows), _our_load(ours, rows))
    return compared


def _example(field: schemas.Field) -> Any:
    """A value that the field takes, different for each kind."""
    if field.parts:
        return {part.name: _example(part) for part in field.parts}
    if field.choices:
        return field.choices[-1]
    examples: dict[schemas.Kind, Any] = {
        schemas.Kind.GEOMETRY: [1, 2.5, 3],
        schemas.Kind.SEGMENTATION: 2**63 - 1,
        schemas.Kind.INTEGER: -7,
        schemas.Kind.FLOAT: 0.25,
        schemas.Kind.STRING: "ünï",
        schemas.Kind.BOOLEAN: False,
    }
    return examples.get(field.kind, 2**60 + 1)


def _public_load(name: str, row: dict[str, Any]) -> Any:
    try:
        loaded = public.get_schema(name)().load(row)
    except marshmallow.ValidationError:
        return "refused"
    return _stored(flatten_dict(loaded))


def _our_load(schema: schemas.Schema, row: dict[str, Any]) -> Any:
    try:
        return _stored(schemas.validate_row(schema, row))
    except Invalid:
        return "refused"


def _stored(values: dict[str, Any]) -> dict[str, Any]:
    """Without `valid`, which the server sets, and with positions as lists."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if key != "valid"
    }


def main() -> int:
    names = sorted(set(public.get_types()) & set(schemas.names()))
    every: dict[str, Comparison] = {"names": compare_names()}
    for what, compare in {
        "fields": compare_fields,
        "flattened fields": compare_flat_fields,
        "tables": compare_models,
        "JSON schemas": compare_json_schemas,
        "rows": compare_rows,
    }.items():
        every[what] = {key: pair for name in names for key, pair in compare(name).items()}
    failed = 0
    for what, pairs in every.items():
        differing = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
        print(f"{what}: {len(pairs)} compared, {len(differing)} differ")
        for key, (theirs, ours) in differing.items():
            print(f"  {key}\n    public: {theirs}\n    ours:   {ours}")
        failed += len(differing)
    print(f"{public.__name__} {public.__version__}: {len(names)} schemas, {failed} differences")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
