"""What writers were promised, and whether it is so."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from chaos_world import Facts

# below this a commit and the start of a run cannot be told apart: times are whole milliseconds
MARGIN_S = 0.005


@dataclass
class Deed:
    """One operation of a writer: what it was to be, and how it ended, where it did.

    `done` is what the engine answered. Without `done` and `refused` the connection was lost or the
    writer was killed: it took place or it did not, as a whole.
    """

    what: dict[str, Any]
    begun: float
    ended: float = float("inf")
    done: Any = None
    refused: bool = False

    @property
    def kind(self) -> str:
        return str(self.what["do"])

    @property
    def end(self) -> str:
        """How it ended, in a word."""
        return "done" if self.done is not None else "refused" if self.refused else "lost"

    @property
    def ending(self) -> list[int]:
        """The annotations that it ends, or would."""
        if self.refused or self.kind not in ("update", "delete"):
            return []
        if self.done is None:
            return list(self.what["ids"])
        return [row[0] for row in self.done] if self.kind == "update" else list(self.done)

    @property
    def new(self) -> list[int]:
        """The annotations that it made, for certain."""
        if self.done is None or self.kind not in ("insert", "update"):
            return []
        return [row[1] for row in self.done] if self.kind == "update" else list(self.done)


@dataclass
class Ledger:
    """All deeds, read as the writers tell them."""

    folder: Path
    deeds: dict[tuple[str, int], Deed] = field(default_factory=dict)
    _read: dict[str, int] = field(default_factory=dict)

    def read(self) -> list[Deed]:
        """What is told until now."""
        for file in self.folder.glob("*.jsonl"):
            for line in self._lines(file):
                self._enter((file.stem, line["n"]), line)
        return [replace(deed) for deed in self.deeds.values()]

    def _lines(self, file: Path) -> Iterator[dict[str, Any]]:
        with file.open("rb") as source:
            source.seek(self._read.get(file.stem, 0))
            for line in source:
                if line.endswith(b"\n"):
                    self._read[file.stem] = self._read.get(file.stem, 0) + len(line)
                    yield json.loads(line)

    def _enter(self, key: tuple[str, int], line: dict[str, Any]) -> None:
        if "do" in line:
            self.deeds[key] = Deed(line, line["wall"])
            return
        deed = self.deeds[key]
        deed.ended, deed.done, deed.refused = line["wall"], line.get("done"), "refused" in line


def check_live(before: list[Deed], known: Facts, after: list[Deed]) -> Iterator[str]:
    """What is wrong with the live table and the log of edits.

    before: the deeds told before they were read; after: told after, so nothing is there that is
    not among them.
    """
    live = known.live
    ids = np.asarray(live["id"])
    tags = np.asarray(live["size"]).astype(np.int64)
    first = tags == ids  # the rows of the beginning
    if len(np.unique(tags)) != len(tags):
        yield "an annotation is there twice"
    id_of = dict(zip(tags.tolist(), ids.tolist(), strict=True))
    named = {tag for deed in after if not deed.refused for tag in deed.what.get("tags", ())}
    for tag in set(tags[~first].tolist()) - named:
        yield f"nobody inserted the annotation {id_of[tag]}"
    ended = dict(
        zip(ids.tolist(), zip(*(live[c].to_pylist() for c in _END), strict=True), strict=True)
    )
    for deed in before:
        yield from _check_rows(deed, id_of, ended)
    mortal = {i for deed in after for i in deed.ending}
    for i in ids[~np.asarray(live["deleted"].is_null())].tolist():
        if i not in mortal:
            yield f"nobody ended the annotation {i}"
    yield from _check_edits(before, known, after)


_END = ("deleted", "superceded_id")


def _check_rows(
    deed: Deed, id_of: dict[int, int], ended: dict[int, tuple[Any, Any]]
) -> Iterator[str]:
    there = [id_of.get(tag) for tag in deed.what.get("tags", ())]
    if deed.refused and any(there):
        yield f"{deed.what} was refused and took place"
    if deed.done is None:
        if deed.ended < float("inf") or deed.kind not in ("insert", "update"):
            return
        # still under way, perhaps: whole or not at all, whenever it is looked at
        if any(there) and not all(there):
            yield f"a part of {deed.what} took place"
        return
    if deed.new != [i for i in there if i is not None]:
        yield f"{deed.what} is not there as it was told: {deed.done}"
    heirs = dict(deed.done) if deed.kind == "update" else {}
    for i in deed.ending:
        deleted, heir = ended.get(i, (None, None))
        if deleted is None or heir != heirs.get(i, heir):
            yield f"the annotation {i} did not end by {deed.what}"


def _check_edits(before: list[Deed], known: Facts, after: list[Deed]) -> Iterator[str]:
    log = {o.operation_id: (o.kind, *o.edges) for o in known.operations}
    told = [d for d in before if d.kind in ("merge", "split") and d.done is not None]
    for deed in told:
        if log.get(deed.done) != (deed.kind, tuple(deed.what["edge"])):
            yield f"the edit {deed.what} is not operation {deed.done} of the log"
    if len({d.done for d in told}) != len(told):
        yield "two edits were told the same operation"
    wanted = Counter(
        (d.kind, tuple(d.what["edge"]))
        for d in after
        if d.kind in ("merge", "split") and not d.refused
    )
    for edit in (Counter(log.values()) - wanted).elements():
        yield f"nobody made the edit {edit}"


@dataclass(frozen=True)
class Cut:
    """When the run of a version was asked for, and when that was answered (seconds since 1970)."""

    asked: float
    answered: float
    time_ms: int


def check_version(deeds: list[Deed], known: Facts, answer: pa.Table, cut: Cut) -> Iterator[str]:
    """What is in a version that cannot be, or is not in it though it was promised before."""
    shown = set(np.asarray(answer["id"]).tolist())
    certain = [d for d in deeds if d.done is not None and d.ended < cut.asked - MARGIN_S]
    later = [d for d in deeds if d.done is not None and d.begun > cut.answered]
    mortal = {i for d in deeds if d.begun <= cut.answered for i in d.ending}
    lost = {i for d in certain for i in d.new} - mortal - shown
    undead = {i for d in certain for i in d.ending} & shown
    early = {i for d in later for i in d.new} & shown
    for what, found in (("lack", lost), ("show ended", undead), ("show later", early)):
        if found:
            yield f"its rows {what} annotations: {sorted(found)[:5]} ({len(found)})"
    at_ms = {o.operation_id: o.at_ms for o in known.operations}
    for group, wrong in ((certain, cut.time_ms.__lt__), (later, cut.time_ms.__ge__)):
        for deed in group:
            # one that is not in the log has been told of already
            if deed.kind in ("merge", "split") and wrong(at_ms.get(deed.done, cut.time_ms)):
                yield f"the edit {deed.done} is on the wrong side of it"
