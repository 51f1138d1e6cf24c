"""Random scenarios with drops and collections: kept versions stay, everything else goes."""

import os
import random
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from small_world import Pair, write_volume

from matengine.engine.runs import engine as runs_engine
from matengine.engine.versions import compact, dropping, garbage, layout
from matengine.engine.versions.layout import Layout
from matengine.storage.connections import Connection, conninfo_of

SCENARIOS = int(os.environ.get("MATENGINE_TEST_COLLECTIONS", "40"))

_action = st.one_of(
    st.tuples(st.just("stir"), st.integers(0, 2), st.just(1)),
    st.tuples(st.just("stir"), st.integers(0, 1), st.just(1)),
    st.tuples(st.just("epoch"), st.booleans()),
    st.tuples(st.just("drop"), st.integers(0, 100)),
    st.tuples(st.just("drop"), st.integers(0, 100)),
    st.tuples(st.just("collect"), st.none() | st.integers(1, 4)),
    st.tuples(st.just("compact")),
)


class Interrupted(Exception):
    pass


class Keeper(Pair):
    """A pair that drops and collects."""

    def __init__(self, conn: Connection, volume: str, dice: random.Random) -> None:
        super().__init__(conn, volume)
        self.dice = dice

    def stir(self, rows: int, edits: int) -> None:  # type: ignore[override]
        super().stir(self.dice, rows, edits)

    def epoch(self, publish: bool = True) -> None:  # type: ignore[override]
        super().epoch(publish)

    def drop(self, which: int) -> None:
        optional = sorted(self.versions)[:-1]
        if optional:
            number = optional[which % len(optional)]
            dropping.drop(self.conn, self.name, number)
            del self.versions[number]

    def collect(self, stop_after: int | None = None) -> None:
        """Collect, perhaps interrupted after some batches, and judge what is left."""
        steps = iter(range(stop_after or 10**9))

        def progress(done: int, total: int | None, what: str) -> None:
            if next(steps, None) is None:
                raise Interrupted

        try:
            self._collect(progress)
        except Interrupted:
            self.conn.rollback()
            self.check_versions()
            self._collect()
        self.check_versions()
        for name in (self.table, self.notes):
            self.check_least(layout.layout_of(self.conn, name, self.name))
        assert self._collect().tables == []
        self.conn.commit()

    def compact(self) -> None:
        run_id = compact.start(self.conn, self.name)
        run = runs_engine.drive(conninfo_of(self.conn), run_id)
        assert run.status == "done", run.error
        self.check_versions()

    def _collect(self, progress: garbage.Progress = garbage.quiet) -> garbage.Collected:
        return garbage.collect(
            self.conn, self.name, live_horizon=timedelta(), batch=2, progress=progress
        )

    def check_least(self, table: Layout) -> None:
        """Every row version left is shown by a kept epoch, or tells a diff of two of them."""
        rows = self.conn.execute(
            sql.SQL("SELECT id, from_epoch, to_epoch FROM {}").format(table.history)
        ).fetchall()
        kept = self.kept()
        shown = [r for r in rows if r[1] < r[2]]
        assert all(any(b <= e < t for e in kept) for _, b, t in shown)
        for row_id, begin, end in rows:
            if begin == end:
                assert any(i == row_id and t <= end for i, _, t in shown)
        # and a diff finds all that differs
        for a, b in combinations(kept, 2):
            at_a, at_b = ({(i, f) for i, f, t in shown if f <= e < t} for e in (a, b))
            found = {i for i, f, _ in rows if a < f <= b}
            assert found >= {i for i, _ in at_a ^ at_b}

    def kept(self) -> list[int]:
        """The epochs that are to be kept, found the plain way."""
        rows = self.conn.execute(
            "SELECT epoch FROM matengine.version WHERE datastack = %s AND status = 'AVAILABLE'"
            " UNION SELECT max(epoch) FROM matengine.epoch WHERE datastack = %s"
            " AND sealed IS NOT NULL ORDER BY 1",
            (self.name, self.name),
        ).fetchall()
        return [epoch for (epoch,) in rows if epoch is not None]


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_volume(Path(tmp_path_factory.mktemp("volume")))


@settings(
    max_examples=SCENARIOS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(actions=st.lists(_action, min_size=5, max_size=12), seed=st.integers(0, 2**32))
def test_collecting_leaves_exactly_what_kept_versions_need(
    conn: Connection, volume: str, actions: list[tuple], seed: int
) -> None:
    keeper = Keeper(conn, volume, random.Random(seed))
    try:
        keeper.stir(6, 2)
        keeper.epoch()
        for name, *arguments in actions:
            getattr(keeper, name)(*arguments)
        keeper.stir(1, 1)
        keeper.epoch()
        keeper.collect()
    finally:
        keeper.leave()
