"""Requests that nobody should send, and what must become of each.

In paths and bodies `$ds` is the datastack (and its chunkedgraph), `$av` the aligned volume, `$t`
its table of synapses, `$now` the present. There is a table `cells`, too.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LONG = "x" * 1_000_000
SQL = 'x"; DROP TABLE "$t"; --'
GZIP = {"Content-Encoding": "gzip"}
# 64 MB of zeros in 64 KB, against a limit of 32 MB
BOMB = gzip.compress(bytes(64_000_000), 1)
V3 = "/materialize/api/v3/datastack/$ds"
TABLE = f"{V3}/version/1/table/$t"
GRAPH = "/segmentation/api/v1/table/$ds"
VOLUME = "/annotation/api/v2/aligned_volume/$av/table"
ROWS = f"{VOLUME}/$t/annotations"
MAKE = {f"voxel_resolution_{axis}": 1 for axis in "xyz"} | {"description": "x"}


@dataclass(frozen=True)
class Hostile:
    """`body`: bytes as they are, anything else as Python writes it as JSON. `answer`: the JSON
    that comes with 200."""

    name: str
    method: str
    path: str
    code: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Any = None

    def data(self, names: Mapping[str, str]) -> bytes | None:
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return filled(json.dumps(self.body), names).encode()


def filled(text: str, names: Mapping[str, str]) -> str:
    for placeholder, name in names.items():
        text = text.replace(placeholder, name)
    return text


def point(*position: Any) -> dict[str, Any]:
    return {"position": list(position)}


def synapse(**changed: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"pre_pt": point(1, 1, 1), "ctr_pt": point(1, 1, 1)}
    return {"annotations": [row | {"post_pt": point(2, 2, 2), "size": 1.0} | changed]}


def table(**changed: Any) -> dict[str, Any]:
    return {"table_name": "new_table", "schema_type": "bound_tag", "metadata": MAKE} | changed


def cases(prefix: str, method: str, path: str, code: int, bodies: dict[str, Any]) -> list[Hostile]:
    return [Hostile(f"{prefix}: {n}", method, path, code, body) for n, body in bodies.items()]


def _deep(opening: bytes, closing: bytes, depth: int = 100_000) -> bytes:
    return opening * depth + closing * depth


NOT_JSON = {
    "text": b"hello",
    "nothing but a quote": b'"',
    "cut": b'{"limit": 1',
    "NUL": b"\0",
    "no UTF-8": b'{"limit": "\xff\xfe"}',
    "deep lists": _deep(b"[", b"]"),
    "deep objects": _deep(b'{"a":', b"}"),
    "a list": [],
    "a number": 7,
    "a text": "SYN",
    "null": b"null",
}


def gets(prefix: str, code: int, paths: dict[str, str]) -> list[Hostile]:
    return [Hostile(f"{prefix}: {name}", "GET", path, code) for name, path in paths.items()]
