"""A hundred complete workflows while every process is killed again and again, under load.

`.venv/bin/python tests/acceptance/chaos.py --workflows 100 --rows 100000 --seed 1 --json FILE`

PostgreSQL with a box's settings, Redis, two Celery workers and the scheduler run as processes of
their own, beside two writers and a reader. Each kind of process is killed with SIGKILL at random
moments. Every version is compared with the truth by brute force when it is published, all the
time by the reader, and again at the end. Ends with 1 where anything differs.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

SUPPORT = Path(__file__).resolve().parents[1] / "support"
if str(SUPPORT) not in sys.path:  # where pytest has not put it there
    sys.path.insert(0, str(SUPPORT))

# ruff: noqa: E402
import pyarrow as pa
from celery import Celery
from chaos_clients import LOST, connection, lines
from chaos_ledger import Cut, Ledger, check_live, check_version
from chaos_works import KINDS, Killer, Works, prepare_environment
from chaos_world import DATASTACK, TABLE, VOLUME, Facts, describe, digest, expected, facts, make
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from matengine import settings, times
from matengine.box.accounts import remove
from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.engine.runs import runs
from matengine.engine.runs.runs import Run
from matengine.engine.versions import catalogue, epoch, verify
from matengine.errors import Conflict
from matengine.storage.connections import Connection, create_aligned_volume

T = TypeVar("T")

# no run takes long; one that does stands still
PATIENCE_S = 300.0
POLL_S = 0.05
SHOWN = 20  # differences


@dataclass(frozen=True)
class Wanted:
    """every_s: the mean time between two kills; pause_s: of a writer between two operations.

    most_kills: no more when so many of each kind have hit a run; 0 for no end. rest_s: for up to so
    long nothing is asked for between two workflows, and epochs are made by themselves.
    """

    workflows: int = 100
    rows: int = 100_000
    seed: int = 1
    every_s: float = 5.0
    most_kills: int = 0
    pause_s: float = 0.2
    rest_s: float = 0.0


@dataclass
class Outcome:
    """What a chaos run found. All is well where there are no differences."""

    wanted: Wanted
    workflows: int = 0
    paced: int = 0  # epochs that nobody asked for
    failed: list[str] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=dict)
    kills_during_runs: dict[str, int] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)
    rows_written: int = 0
    history_rows_written: int = 0
    versions_checked: int = 0
    answers_compared: int = 0
    seconds: float = 0.0
    differences: list[str] = field(default_factory=list)


class Stuck(Exception):
    """It cannot go on: a run stands still, or nothing but failures comes."""


class Chaos:
    """One chaos run in a folder of its own."""

    def __init__(self, folder: Path, wanted: Wanted, say: Callable[[str], None]) -> None:
        self.folder, self.wanted, self.say = folder, wanted, say
        self.dice = random.Random(wanted.seed)
        self.works = Works(folder, random.Random(wanted.seed + 1))
        self.ledger = Ledger(folder / "write")
        self.found = Outcome(wanted)
        self.digests: dict[int, str] = {}
        self.run: Run | None = None  # the one that is under way
        self.killer = Killer(
            self.works,
            wanted.seed + 2,
            wanted.every_s,
            wanted.most_kills,
            lambda: self.run is not None,
        )

    def execute(self) -> Outcome:
        begun = time.monotonic()
        prepare_environment(
            self.wanted.seed,
            self.wanted.pause_s,
            max(100, self.wanted.rows // 100),
            paced=self.wanted.rest_s > 0,
        )
        try:
            self._prepare()
            self.killer.start()
            while not self._enough():
                self._workflow()
            self.killer.stop()
            self._finish()
        except Stuck as error:
            self._differ(str(error))
        finally:
            self.killer.stop()
            self.works.stop()
            for server in (self.works.postgres, self.works.redis):
                remove(server.folder)
        self._sum_up()
        self.found.seconds = round(time.monotonic() - begun, 1)
        return self.found

    def _prepare(self) -> None:
        self.works.start_servers()
        create_aligned_volume(VOLUME)
        with connection() as conn:
            make(conn, self.folder / "volume", self.wanted.rows, self.wanted.seed)
        self.works.add_workers()
        self.works.add_clients()
        self.works.tend()

    def _enough(self) -> bool:
        killed = all(self.killer.during[kind] for kind in KINDS)
        return self.found.workflows >= self.wanted.workflows and killed

    # a workflow

    def _workflow(self) -> None:
        time.sleep(self.dice.uniform(0, self.wanted.rest_s))
        asked = time.time()
        run_id = self.persist(self._begin)
        answered = time.time()
        run = self.persist(lambda conn: runs.get(conn, run_id))
        self.run = run
        deadline = time.monotonic() + PATIENCE_S
        while run.status == "running":
            if time.monotonic() > deadline:
                raise Stuck(f"run {run_id} stands still in the phase {run.phase}")
            time.sleep(POLL_S)
            run = self.persist(lambda conn: runs.get(conn, run_id))
        self.run = None
        assert run.time is not None
        if run.status == "done":
            self.found.workflows += 1
            cut = Cut(asked, answered, times.to_ms(run.time))
            assert run.version is not None
            self._judge(run, run.version, cut)
        else:
            self._accept_failure(run)
        seconds = answered - asked, time.time() - answered
        self.say(
            f"workflow {self.found.workflows}: run {run_id} {run.status} after"
            f" {sum(seconds):.1f} s, version {run.version}; {self.killer.kills.total()} kills"
        )

    def _begin(self, conn: Connection) -> int:
        """Start a run, unless an earlier call did and its answer was lost."""
        under_way = [i for i in runs.running(conn) if runs.get(conn, i).version is not None]
        conn.commit()
        if under_way:
            return under_way[0]
        with suppress(Conflict):
            run_id = epoch.start(conn, DATASTACK, "complete", publish_version=True)
            self._hurry(run_id)
            return run_id
        conn.rollback()
        return self._begin(conn)

    def _hurry(self, run_id: int) -> None:
        """A message to the workers; where it cannot be sent, the sweeper finds the run."""
        with suppress(Exception), Celery(broker=settings.load().broker_url) as app:
            app.send_task("matengine.advance", (VOLUME, run_id), retry=False)

    def _accept_failure(self, run: Run) -> None:
        self.found.failed.append(run.error or "")
        if not run.error:
            self._differ(f"run {run.run_id} failed and says not why")
        told = self.persist(lambda conn: catalogue.versions(conn, DATASTACK))
        if [v.status for v in told if v.version == run.version] != ["FAILED"]:
            self._differ(f"version {run.version} of the failed run {run.run_id} is not FAILED")
        if len(self.found.failed) > max(3, self.wanted.workflows // 5):
            raise Stuck(f"too many runs failed: {self.found.failed}")

    def _judge(self, run: Run, version: int, cut: Cut) -> None:
        """A new version is the truth, and has what was promised before."""
        before = self.ledger.read()
        known = self.persist(facts)
        after = self.ledger.read()
        answer, faults = self._compare(known, version, times.from_ms(cut.time_ms))
        faults += check_version(after, known, answer, cut)
        for fault in faults:
            self._differ(f"version {version}: {fault}")
        for fault in check_live(before, known, after):
            self._differ(fault)
        (told,) = self.persist(lambda c: catalogue.tables_at(c, DATASTACK, run.epoch or 0))
        self.found.history_rows_written += told.rows_added + told.rows_closed
        self.digests[version] = digest(answer)
        line = {"version": version, "digest": self.digests[version]}
        with (self.folder / "published.jsonl").open("a") as out:
            out.write(json.dumps(line) + "\n")

    def _compare(self, known: Facts, version: int, at: datetime) -> tuple[pa.Table, list[str]]:
        """What a version answers, and where that leaves the truth."""
        found = self.persist(lambda c: answer.ask(c, DATASTACK, version, Query(TABLE)))
        truth, faults = self.persist(lambda c: expected(c, known, at, self.wanted.seed))
        if digest(found) != digest(truth):
            faults.append(describe(found, truth))
        self.found.versions_checked += 1
        return found, faults

    # the end

    def _finish(self) -> None:
        """With everything alive one more version; then all of them once more."""
        self._await_reader()
        self.works.stop("writer", "reader")
        failed = len(self.found.failed)
        self._workflow()
        if len(self.found.failed) > failed:
            self._differ(f"a run without kills failed: {self.found.failed[-1]}")
        known = self.persist(facts)
        self.found.paced = self.persist(_count_paced)
        for version, published in self.digests.items():
            self.say(f"looking at version {version} again")
            self._check_again(known, version, published)

    def _await_reader(self) -> None:
        """In a short run it may have had no time yet to compare an answer."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._compared():
            if time.monotonic() > deadline:
                raise Stuck("the reader compares nothing")
            self.works.tend()
            time.sleep(POLL_S)

    def _compared(self) -> list[dict[str, Any]]:
        """What the readers told: a line for each answer they compared."""
        return [line for file in (self.folder / "read").glob("*.jsonl") for line in lines(file)]

    def _check_again(self, known: Facts, version: int, published: str) -> None:
        found = self.persist(lambda c: catalogue.version(c, DATASTACK, version))
        assert found.time is not None
        answer, faults = self._compare(known, version, found.time)
        if digest(answer) != published:
            faults.append("it changed")
        checked = self.persist(lambda c: verify.verify(c, DATASTACK, version))
        faults += [table.words for table in checked if not table.right]
        for fault in faults:
            self._differ(f"version {version}, at the end: {fault}")

    def _sum_up(self) -> None:
        found = self.found
        found.kills, found.kills_during_runs = dict(self.killer.kills), dict(self.killer.during)
        deeds = self.ledger.read()
        found.operations = dict(Counter(deed.end for deed in deeds))
        found.rows_written = self.wanted.rows + sum(len(deed.new) for deed in deeds)
        for line in self._compared():
            found.answers_compared += 1
            if line["fault"]:
                self._differ(f"version {line['version']}, to a reader: {line['fault']}")
        for words in self.works.ended:
            self._differ(words)

    # help

    def persist(self, do: Callable[[Connection], T]) -> T:
        """Do something, again where the connection is lost; revive what is dead meanwhile."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.works.tend()
            try:
                with connection() as conn:
                    return do(conn)
            except LOST:
                if time.monotonic() > deadline:
                    raise
            time.sleep(POLL_S)

    def _differ(self, words: str) -> None:
        self.found.differences.append(words)
        if len(self.found.differences) <= SHOWN:
            self.say(f"DIFFERENCE: {words}")


def _count_paced(conn: Connection) -> int:
    """The epochs that were made by themselves."""
    (count,) = conn.execute(
        "SELECT count(*) FROM matengine.run WHERE parameters ? 'paced' AND status = 'done'"
    ).fetchone() or (0,)
    return int(count)


def chaos(wanted: Wanted, say: Callable[[str], None] = print) -> Outcome:
    """Run it; `say` gets a line for each workflow and each difference."""
    with tempfile.TemporaryDirectory(prefix="matengine-chaos-") as place:
        Path(place).chmod(0o755)  # PostgreSQL's user must be able to enter
        return Chaos(Path(place), wanted, say).execute()


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in asdict(Wanted()).items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(value), default=value, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    given = vars(parser.parse_args())
    file = given.pop("json")
    wanted = Wanted(**given)
    console = Console()
    with Progress(TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("making synapses")

        def say(words: str) -> None:
            bar.update(task, description=words)
            if not console.is_terminal or words.startswith("DIFFERENCE"):
                console.print(words, highlight=False)

        found = chaos(wanted, say)
    console.print(table_of(found))
    if file:
        file.write_text(json.dumps(asdict(found), indent=1) + "\n")
    return 1 if found.differences else 0


def table_of(found: Outcome) -> Table:
    """The figures as a table."""
    table = Table("", "", title="Chaos", show_header=False)
    lines = {
        "workflows done": found.workflows,
        "workflows failed cleanly": len(found.failed),
        "epochs that nobody asked for": found.paced,
        **{
            f"SIGKILL to a {kind}": f"{found.kills[kind]}, in a run {found.kills_during_runs[kind]}"
            for kind in KINDS
        },
        "operations of writers": ", ".join(f"{v} {k}" for k, v in found.operations.items()),
        "annotations written": found.rows_written,
        "history rows written": found.history_rows_written,
        "versions checked": found.versions_checked,
        "answers compared by readers": found.answers_compared,
        "seconds": found.seconds,
        "differences": len(found.differences),
    }
    for name, value in lines.items():
        table.add_row(name, str(value))
    return table


if __name__ == "__main__":
    sys.exit(main())
