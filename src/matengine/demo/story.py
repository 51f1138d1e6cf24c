"""The demo from beginning to end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from matengine.datasets.folder import Dataset, open_dataset
from matengine.datasets.importer import import_dataset
from matengine.datasets.sample import make_sample
from matengine.demo import checking, live, partners
from matengine.demo.checking import Check, Truth
from matengine.demo.making import Made, Stage, make_version
from matengine.demo.running_box import starting
from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.progress import Progress, quiet
from matengine.storage.connections import database_url, open_connection

Say = Callable[[str], None]
SAMPLE_SIZE = 192


@dataclass
class Told:
    """The figures of a demo."""

    dataset: str = ""
    datastack: str = ""
    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    versions: list[Made] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    neuron: int | None = None
    table: str | None = None
    answers: list[partners.Answer] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


def tell(data: Path, folder: Path | None, say: Say, progress: Progress = quiet) -> Told:
    """Run the demo in the box folder `data`, on a dataset folder or on a sample made there.

    Raises what importing and materializing raise; differences from the truth are in the checks.
    """
    story = _Story(data, folder, say, progress)
    started = time.monotonic()
    with starting(data) as box_is_ready:
        dataset = story.dataset()
        with story.step("start the box"):
            url = box_is_ready()
        say(f"  the box is up: {url}")
        story.play(dataset)
    story.told.seconds = time.monotonic() - started
    return story.told


class _Story:
    def __init__(self, data: Path, folder: Path | None, say: Say, progress: Progress) -> None:
        self.data = data
        self.folder = folder
        self.say = say
        self.progress = progress
        self.told = Told()
        self._as_made: dict[tuple[int, str], pa.Table] = {}

    def dataset(self) -> Dataset:
        folder = self.folder
        if folder is None:
            folder = self.data / "sample"
            with self.step("make a sample"):
                made = make_sample(folder, size=SAMPLE_SIZE, progress=self.progress)
            self.say(f"  {made.neurons} neurons in {made.supervoxels} supervoxels")
        with self.step("read the dataset"):
            dataset = open_dataset(folder)
        self.told.dataset, self.told.datastack = str(folder), dataset.datastack.name
        return dataset

    def play(self, dataset: Dataset) -> None:
        truths = checking.truths(dataset)
        times = [truth.time for truth in truths] or _times(dataset)
        self._import(dataset, times[0])
        name, volume = dataset.datastack.name, dataset.aligned_volume.name
        with open_connection(database_url(volume)) as conn:
            stage = Stage(conn, volume, name)
            for number, at in enumerate(times):
                operations = self._import(dataset, at) if number else 0
                if dataset.tables:
                    self._version(stage, at, f"proofread up to {at:%Y-%m-%d}", operations)
                self._check(stage, dataset, truths[number : number + 1])
            self._import(dataset, None)
            self.told.checks += checking.check_operations(stage, dataset)
            if dataset.tables:
                self._correct(stage, dataset)
                self._ask(stage)
                self.told.checks.append(self._unchanged(stage))

    def _import(self, dataset: Dataset, until: datetime | None) -> int:
        with self.step("replay proofreading" if "import" in self.told.steps else "import"):
            done = import_dataset(dataset, until=until, progress=self.progress)
        return done.operations

    def _version(self, stage: Stage, at: datetime | None, note: str, operations: int) -> Made:
        with self.step("materialize"):
            made = make_version(stage, at, note=note, operations=operations)
        self.told.versions.append(made)
        for table in made.tables:
            rows = self._rows(stage, made.version, table.table)
            self._as_made[made.version, table.table] = rows
        self.say(
            f"  version {made.version}, {note}: {made.rows} rows, {made.rows_added} written,"
            f" {made.rows_closed} closed"
        )
        return made

    def _check(self, stage: Stage, dataset: Dataset, truths: list[Truth]) -> None:
        for truth in truths:
            found = [checking.check_roots(stage, dataset, truth)]
            if dataset.tables:
                version = self.told.versions[-1].version
                found += checking.check_rows(stage, dataset, version, truth)
            for check in found:
                check.what += f" at {truth.time:%Y-%m-%d %H:%M}"
            self.told.checks += found

    def _correct(self, stage: Stage, dataset: Dataset) -> None:
        """Corrections of today, and what they make of the neuron."""
        table = next((t for t in dataset.tables if t.schema in partners.SCHEMAS), dataset.tables[0])
        self.told.table = table.name
        if table.schema in partners.SCHEMAS:
            self.told.neuron = partners.choose(stage, table.name, self.told.versions)
        with self.step("correct annotations"):
            done = live.correct(stage, table.name)
            merge = self.told.neuron and live.merge_nearby(stage, self.told.neuron)
        self.say(
            f"  {len(done.added)} annotations added, {len(done.corrected)} corrected,"
            f" {len(done.deleted)} deleted" + (", two objects merged" if merge else "")
        )
        self._version(stage, None, "corrected today", 1 if merge else 0)

    def _ask(self, stage: Stage) -> None:
        told = self.told
        if told.neuron is None or told.table is None:
            return
        for made in told.versions:
            told.answers.append(partners.ask(stage, told.table, made, told.neuron))

    def _unchanged(self, stage: Stage) -> Check:
        """Every version again, as it was when it was made."""
        check = Check("versions as they were when they were made", len(self._as_made))
        for (version, table), before in self._as_made.items():
            if not self._rows(stage, version, table).equals(before):
                check.differences += 1
                check.examples.append(f"{table} of version {version} is another")
        return check

    def _rows(self, stage: Stage, version: int, table: str) -> pa.Table:
        rows = answer.ask(stage.conn, stage.datastack, version, Query(table))
        stage.conn.commit()
        return rows

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        self.say(what)
        started = time.monotonic()
        yield
        spent = time.monotonic() - started
        self.told.steps[what] = self.told.steps.get(what, 0.0) + spent


def _times(dataset: Dataset) -> list[datetime]:
    """The start, the middle of the proofreading, its end."""
    start, stamps = dataset.segmentation.start_time, dataset.edits()["timestamp"]
    if not len(stamps):
        return [start]
    last = pc.max(stamps).as_py()
    middle = stamps[len(stamps) // 2].as_py()
    return sorted({start, middle, last})
