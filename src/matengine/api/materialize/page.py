"""The rows of one answer: the first of them looked at before anything is sent."""

from collections.abc import Iterator

import pyarrow as pa

# so much is read ahead, so that the headers of most answers can say how they end
AHEAD_BYTES = 8_000_000


class Page:
    """Batches of a reader, once; `found` and `last` grow while they are read.

    last: the last batch that has rows. `ended` says that all batches have been read.
    """

    def __init__(self, reader: pa.RecordBatchReader, limit: int | None) -> None:
        self._reader = reader
        self._limit = limit
        self._ahead: list[pa.RecordBatch] = []
        self.found = 0
        self.ended = False
        self.last: pa.RecordBatch | None = None

    @property
    def full(self) -> bool:
        """Whether it holds as many rows as it may, so that there can be more of them."""
        return self.ended and self.found == self._limit

    def look_ahead(self) -> None:
        """Read the first batches, all of them where they are few."""
        size = 0
        while size < AHEAD_BYTES:
            batch = self._read()
            if batch is None:
                return
            self._ahead.append(batch)
            size += batch.nbytes

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """All batches that have rows; nothing that was given is held on to but the last."""
        while batch := self._ahead.pop(0) if self._ahead else self._read():
            yield batch

    def _read(self) -> pa.RecordBatch | None:
        while not self.ended:
            try:
                batch = self._reader.read_next_batch()
            except StopIteration:
                self.ended = True
                return None
            if batch.num_rows:
                self.found += batch.num_rows
                self.last = batch
                return batch
        return None
