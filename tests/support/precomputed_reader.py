"""A reader of Neuroglancer's precomputed annotations, written from the published format alone.

It knows nothing of how the engine writes them, and checks what the format demands.
"""

import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Fetch = Callable[[str], bytes | None]
"""Gives a file below the source, None where there is none."""

_FORMATS = {
    "uint32": "I",
    "int32": "i",
    "float32": "f",
    "uint16": "H",
    "int16": "h",
    "uint8": "B",
    "int8": "b",
}


@dataclass
class Annotation:
    """An annotation as a viewer would have it."""

    id: int
    geometry: tuple[float, ...]
    properties: dict[str, Any]
    related: dict[str, list[int]] = field(default_factory=dict)


class Reader:
    """A source; `fetch` gives its files."""

    def __init__(self, info: dict[str, Any], fetch: Fetch) -> None:
        assert info["@type"] == "neuroglancer_annotations_v1"
        assert all(unit == "m" and scale > 0 for scale, unit in info["dimensions"].values())
        self.rank = len(info["dimensions"])
        assert len(info["lower_bound"]) == len(info["upper_bound"]) == self.rank
        points = {"point": 1, "line": 2, "axis_aligned_bounding_box": 2, "ellipsoid": 2}
        self.points = points[info["annotation_type"]]
        # the widest first, then padding to four bytes
        self.properties = sorted(
            info["properties"], key=lambda p: -struct.calcsize(_FORMATS[p["type"]])
        )
        body = f"<{self.rank * self.points}f" + "".join(
            _FORMATS[p["type"]] for p in self.properties
        )
        self.body = body + "x" * (-struct.calcsize(body) % 4)
        self.info = info
        self.fetch = fetch

    def by_id(self, annotation_id: int) -> Annotation | None:
        content = self.fetch(f"{self.info['by_id']['key']}/{annotation_id}")
        if content is None:
            return None
        found = self._one(annotation_id, content, 0)
        at = struct.calcsize(self.body)
        for relationship in self.info["relationships"]:
            (count,) = struct.unpack_from("<I", content, at)
            ids = struct.unpack_from(f"<{count}Q", content, at + 4)
            found.related[relationship["id"]] = list(ids)
            at += 4 + 8 * count
        assert at == len(content)
        return found

    def by_relationship(self, name: str, segment: int) -> list[Annotation]:
        key = next(r["key"] for r in self.info["relationships"] if r["id"] == name)
        return self._many(self.fetch(f"{key}/{segment}"))

    def level(self, number: int) -> dict[tuple[int, ...], list[Annotation]]:
        """The annotations of a level by cell."""
        level = self.info["spatial"][number]
        cells = itertools.product(*(range(n) for n in level["grid_shape"]))
        found = {
            cell: self._many(self.fetch(f"{level['key']}/{'_'.join(map(str, cell))}"))
            for cell in cells
        }
        assert all(len(rows) <= level["limit"] for rows in found.values())
        for cell, rows in found.items():
            for row in rows:
                self._check_place(level, cell, row)
        return found

    def _check_place(self, level: dict[str, Any], cell: tuple[int, ...], row: Annotation) -> None:
        """An annotation's box touches the cell, but for the rounding of its coordinates."""
        for axis in range(self.rank):
            ends = row.geometry[axis :: self.rank]
            low = self.info["lower_bound"][axis] + cell[axis] * level["chunk_size"][axis]
            high = low + level["chunk_size"][axis]
            slack = 1e-3
            assert max(ends) >= low - slack
            assert min(ends) <= high + slack
            assert self.info["lower_bound"][axis] <= min(ends)
            assert max(ends) <= self.info["upper_bound"][axis]

    def _many(self, content: bytes | None) -> list[Annotation]:
        if content is None:
            return []
        (count,) = struct.unpack_from("<Q", content, 0)
        size = struct.calcsize(self.body)
        ids = struct.unpack_from(f"<{count}Q", content, 8 + count * size)
        assert len(content) == 8 + count * (size + 8)
        return [self._one(i, content, 8 + n * size) for n, i in enumerate(ids)]

    def _one(self, annotation_id: int, content: bytes, at: int) -> Annotation:
        values = struct.unpack_from(self.body, content, at)
        geometry = values[: self.rank * self.points]
        told = {}
        for value, spec in zip(values[len(geometry) :], self.properties, strict=True):
            if "enum_values" in spec:
                assert len(set(spec["enum_values"])) == len(spec["enum_labels"])
                labels = dict(zip(spec["enum_values"], spec["enum_labels"], strict=True))
                value = labels[value]
            told[spec["id"]] = value
        return Annotation(annotation_id, geometry, told)
