"""The bodies of chunkedgraph requests, for the description of the interface."""

from typing import Any

from matengine.api.description import BINARY, takes

_ID = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        {"type": "string", "pattern": "^[0-9]{1,18}$"},
    ]
}
_POINT = {
    "type": "array",
    "description": "id, x, y, z; x, y, z in nm",
    "prefixItems": [_ID, *[{"type": "number"}] * 3],
    "minItems": 4,
    "maxItems": 4,
}
_POINTS = {"type": "array", "items": _POINT, "minItems": 1}


def _object(told: str, **fields: Any) -> dict[str, Any]:
    required = [name for name in fields if name != "mincut"]
    schema = {"type": "object", "description": told, "properties": fields, "required": required}
    return takes(schema)


def _ids(name: str) -> dict[str, Any]:
    return _object("Ids, as numbers or digits", **{name: {"type": "array", "items": _ID}})


NODE_IDS = _ids("node_ids")
ROOT_IDS = _ids("root_ids")
RAW_IDS = takes({"type": "string", "description": "Little-endian 64-bit ids"}, BINARY)
TWO_POINTS = takes(_POINTS | {"minItems": 2, "maxItems": 2, "description": "Two points"})
SIDES = _object("What to part", sources=_POINTS, sinks=_POINTS, mincut={"type": "boolean"})
OPERATION = _object("An operation", operation_id=_ID)
