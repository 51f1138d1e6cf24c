"""JSON schemas as caveclient reads them.

The dialect is that of marshmallow-jsonschema 0.10.0 (draft 7), of which clients use more than the
standard: they know a point by its `$ref`, compare `format` (or else `type`) with the strings
integer, boolean, string and float to find the columns that can be filtered. Hence numbers are
`{"type": "number", "format": "integer"}`, and an optional number stays filterable by its format.
"""

from typing import Any

from .model import Field, Kind, Schema

_DRAFT = "http://json-schema.org/draft-07/schema#"
_DEFINITIONS = {
    Kind.SPATIAL_POINT: "SpatialPoint",
    Kind.BOUND_POINT: "BoundSpatialPoint",
    Kind.DERIVED_POINT: "DerivedSpatialPoint",
}
# Kinds that are told by a type alone, without a title, a description or null.
_BARE = {
    Kind.GEOMETRY: "array",
    Kind.SEGMENTATION: "integer",
    Kind.REFERENCE: "integer",
    Kind.BIGINT: "integer",
}
_TYPED = {
    Kind.USER: ("number", "integer"),
    Kind.INTEGER: ("number", "integer"),
    Kind.FLOAT: ("number", "float"),
    Kind.STRING: ("string", None),
    Kind.BOOLEAN: ("boolean", None),
}


def json_schema(schema: Schema) -> dict[str, Any]:
    """The JSON schema of the nested form in which clients write annotations."""
    definitions = {
        _DEFINITIONS[point.kind]: _definition(point.parts, open_ended=False)
        for point in schema.points
    }
    is_point = schema.definition in _DEFINITIONS.values()
    definitions[schema.definition] = _definition(schema.fields, open_ended=not is_point)
    return {
        "$schema": _DRAFT,
        "definitions": definitions,
        "$ref": f"#/definitions/{schema.definition}",
    }


def _definition(fields: tuple[Field, ...], *, open_ended: bool) -> dict[str, Any]:
    """An object with these fields; properties and required names are sorted."""
    by_name = sorted(fields, key=lambda field: field.name)
    return {
        "type": "object",
        "properties": {field.name: _property(field) for field in by_name},
        "required": [field.name for field in by_name if field.required],
        "additionalProperties": open_ended,
    }


def _property(field: Field) -> dict[str, Any]:
    if field.kind in _BARE:
        return {"type": _BARE[field.kind]}
    if field.kind.is_point:
        told: dict[str, Any] = {
            "type": "object",
            "$ref": f"#/definitions/{_DEFINITIONS[field.kind]}",
        }
    else:
        told = _value(field)
    told["description"] = field.about
    if field.order is not None:
        told["order"] = field.order
    return told


def _value(field: Field) -> dict[str, Any]:
    json_type, json_format = _TYPED[field.kind]
    told: dict[str, Any] = {"title": field.name}
    told["type"] = json_type if field.required else [json_type, "null"]
    if json_format:
        told["format"] = json_format
    if field.default is not None:
        told["default"] = field.default
    if field.indexed:
        told["index"] = True
    if field.choices:
        told |= {"enum": list(field.choices), "enumNames": []}
    return told
