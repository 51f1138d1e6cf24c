"""Record batches as an Arrow IPC stream, piece by piece."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa
from werkzeug.datastructures import Headers

CONTENT_TYPE = "data.arrow"
"""Clients of CAVE compare it letter by letter."""
METADATA = b"matengine"
"""The key of what we tell of an answer, as JSON: in the schema's metadata and the last batch's."""


def codec_of(headers: Headers) -> str | None:
    """How the buffers inside the stream may be compressed, by a request's Accept-Encoding.

    The body itself is never compressed: clients of CAVE ask for zstd without being able to undo
    it outside the stream.
    """
    accepted = headers.get("Accept-Encoding", "").lower()
    return next((codec for codec in ("lz4", "zstd") if codec in accepted), None)


# a batch of the stream is about so large, so that little is held at a time
_BATCH_BYTES = 4_000_000


class _Sink:
    """Where the writer of a stream writes to; `take` hands out what is there."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        return len(self._parts[-1])

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        found = b"".join(self._parts)
        self._parts.clear()
        return found


def write(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    *,
    codec: str | None,
    told: Mapping[str, Any],
    end: Callable[[], Mapping[str, Any]],
) -> Iterator[bytes]:
    """The stream of some batches.

    `told` goes with the schema; `end`, asked when all batches are written, with one more batch
    that has no rows.
    """
    schema = schema.with_metadata((schema.metadata or {}) | {METADATA: orjson.dumps(told)})
    # requests run side by side: one that splits its buffers over threads only waits for them
    options = pa.ipc.IpcWriteOptions(compression=codec, use_threads=False)
    sink = _Sink()
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for batch in batches:
            for part in _parts(batch):
                writer.write_batch(part.replace_schema_metadata(schema.metadata))
                yield sink.take()
        writer.write_batch(
            pa.RecordBatch.from_pylist([], schema=schema),
            custom_metadata={METADATA: orjson.dumps(end())},
        )
    yield sink.take()


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    rows = max(1, _BATCH_BYTES * batch.num_rows // max(1, batch.nbytes))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)
