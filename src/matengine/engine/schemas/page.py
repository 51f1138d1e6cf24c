"""Writes docs/schemas.md: `python -m matengine.engine.schemas.page > docs/schemas.md`."""

from .flatten import flatten
from .model import Field, Kind, Schema
from .registry import names, subjects

_INTRODUCTION = """\
# Annotation schemas

Every annotation table follows one of {count} schemas. They are those that CAVE users know: same
names, same fields, same columns, same JSON. `./mat test compat` compares them one by one with the
public package `emannotationschemas`.

*(Written from the schemas themselves by `python -m matengine.engine.schemas.page`.)*

## Kinds of fields

| kind | columns of a field `pt` | a client writes |
|---|---|---|
"""

_WRITTEN = {
    Kind.SPATIAL_POINT: '`{"position": [x, y, z]}` in voxels of the table\'s resolution',
    Kind.BOUND_POINT: "the same; supervoxel and root are looked up",
    Kind.DERIVED_POINT: "the same, with `dependent_chunk`",
    Kind.GEOMETRY: "`[x, y, z]`",
    Kind.SEGMENTATION: "nothing; it is looked up",
    Kind.REFERENCE: "the id of a row of the referenced table",
    Kind.USER: "nothing; the server knows",
    Kind.BIGINT: "a 64-bit integer, never a float",
    Kind.INTEGER: "a 32-bit integer",
    Kind.FLOAT: "a finite number",
    Kind.STRING: "text",
    Kind.BOOLEAN: "true or false",
}

_READING = """
Every table has `id`, `created`, `deleted` and `superceded_id` besides, and all schemas but
`derived_spatial_point` the boolean `valid`, which the server sets; neither is repeated below.
Supervoxel and root ids make up the segmentation side of a table. Positions and root ids are
indexed; ✱ marks other fields that are. A `?` marks a field that may be left out.
"""


def page() -> str:
    """The reference page of all schemas, as Markdown."""
    kinds = "".join(
        f"| {kind} | {_columns(kind)} | {written} |\n" for kind, written in _WRITTEN.items()
    )
    tables = "".join(_subject(title, schemas) for title, schemas in subjects().items())
    return _INTRODUCTION.format(count=len(names())) + kinds + _READING + tables


def _columns(kind: Kind) -> str:
    example = Schema("", "", "", (Field("pt", kind),))
    return ", ".join(f"`{column.name}` {column.sql_type}" for column in flatten(example))


def _subject(title: str, schemas: tuple[Schema, ...]) -> str:
    rows = "".join(
        f"| `{schema.name}` | {schema.about} | {'; '.join(map(_field, _own_fields(schema)))} |\n"
        for schema in schemas
    )
    return f"\n## {title}\n\n| schema | is | fields |\n|---|---|---|\n{rows}"


def _own_fields(schema: Schema) -> list[Field]:
    return [field for field in schema.fields if field.name != "valid"]


def _field(field: Field) -> str:
    marks = "✱" * (field.indexed and field.kind not in (Kind.GEOMETRY, Kind.SEGMENTATION))
    marks += "?" * (not field.required)
    choices = f" ({', '.join(map(str, field.choices))})" if field.choices else ""
    return f"`{field.name}`{marks} {field.kind}{choices}"


if __name__ == "__main__":
    print(page(), end="")
