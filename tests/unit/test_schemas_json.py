"""The JSON schemas, in the dialect that caveclient takes for granted."""

from typing import Any

import pytest

from matengine.engine import schemas
from matengine.engine.schemas import Kind

every_schema = pytest.mark.parametrize("name", schemas.names())


def _undescribed(told: Any) -> Any:
    if not isinstance(told, dict):
        return told
    return {key: _undescribed(value) for key, value in told.items() if key != "description"}


def test_a_whole_schema() -> None:
    assert _undescribed(schemas.json_schema(schemas.get("contact"))) == {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$ref": "#/definitions/Contact",
        "definitions": {
            "SpatialPoint": {
                "type": "object",
                "properties": {"position": {"type": "array"}},
                "required": ["position"],
                "additionalProperties": False,
            },
            "BoundSpatialPoint": {
                "type": "object",
                "properties": {
                    "position": {"type": "array"},
                    "root_id": {"type": "integer"},
                    "supervoxel_id": {"type": "integer"},
                },
                "required": ["position"],
                "additionalProperties": False,
            },
            "Contact": {
                "type": "object",
                "properties": {
                    "ctr_pt": {"type": "object", "$ref": "#/definitions/SpatialPoint"},
                    "sidea_pt": {"type": "object", "$ref": "#/definitions/BoundSpatialPoint"},
                    "sideb_pt": {"type": "object", "$ref": "#/definitions/BoundSpatialPoint"},
                    "size": {"title": "size", "type": ["number", "null"], "format": "integer"},
                    "valid": {"title": "valid", "type": ["boolean", "null"], "default": False},
                },
                "required": ["sidea_pt", "sideb_pt"],
                "additionalProperties": True,
            },
        },
    }


def test_choices_and_bare_ids() -> None:
    told = schemas.json_schema(schemas.get("postsynaptic_compartment"))
    properties = _undescribed(told)["definitions"]["PostsynapticCompartment"]["properties"]
    assert properties["target_id"] == {"type": "integer"}
    assert properties["compartment"] == {
        "title": "compartment",
        "type": "string",
        "enum": ["soma", "dendrite", "axon"],
        "enumNames": [],
    }
    assert properties["dendrite_class"]["type"] == ["string", "null"]


def _own_properties(schema: schemas.Schema) -> dict[str, dict[str, Any]]:
    told = schemas.json_schema(schema)
    assert told["$ref"] == f"#/definitions/{schema.definition}"
    properties: dict[str, dict[str, Any]] = told["definitions"][schema.definition]["properties"]
    return properties


@every_schema
def test_every_field_is_told(name: str) -> None:
    schema = schemas.get(name)
    told = schemas.json_schema(schema)["definitions"][schema.definition]
    assert list(told["properties"]) == sorted(field.name for field in schema.fields)
    assert told["required"] == sorted(field.name for field in schema.fields if field.required)


@every_schema
def test_points_refer_to_definitions_that_are_there(name: str) -> None:
    schema = schemas.get(name)
    definitions = schemas.json_schema(schema)["definitions"]
    properties = _own_properties(schema)
    for point in schema.points:
        target = properties[point.name]["$ref"].removeprefix("#/definitions/")
        assert set(definitions[target]["properties"]) == {part.name for part in point.parts}


@every_schema
def test_the_client_finds_the_type_of_each_column_it_filters(name: str) -> None:
    """It compares `format`, or else `type`, with these words; a list equals none of them."""
    words = {
        Kind.INTEGER: "integer",
        Kind.USER: "integer",
        Kind.BIGINT: "integer",
        Kind.REFERENCE: "integer",
        Kind.FLOAT: "float",
        Kind.STRING: "string",
        Kind.BOOLEAN: "boolean",
    }
    schema = schemas.get(name)
    properties = _own_properties(schema)
    for field in schema.fields:
        if field.kind not in words:
            continue
        told = properties[field.name]
        found = told.get("format", told["type"])
        nullable_word = [words[field.kind], "null"]
        assert found == words[field.kind] or (not field.required and found == nullable_word)
