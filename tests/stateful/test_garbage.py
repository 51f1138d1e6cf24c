"""Random scenarios with drops and collections: kept versions stay, everything else goes."""

import itertools
import os
import random
from datetime import timedelta
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

# of all parts together; parts, so that test processes share them
SCENARIOS = int(os.environ.get("MATENGINE_TEST_COLLECTIONS", "40"))
PARTS = 4

# what happens after an epoch: which versions are dropped, and what is done about it
_round = st.tuples(
    st.booleans(),
    st.lists(st.integers(0, 100), max_size=2),
    st.sampled_from(["nothing", "collect", "interrupted", "compact"]),
)


class Interrupted(Exception):
    pass


class Keeper(Pair):
    """A pair that drops, collects and compacts."""

    def drop(self, which: int) -> None:
        optional = sorted(self.versions)[:-1]
        if optional:
            number = optional[which % len(optional)]
            dropping.drop(self.conn, self.name, number)
            del self.versions[number]

    def nothing(self) -> None:
        pass

    def interrupted(self) -> None:
        self.collect(stop_after=1)

    def collect(self, stop_after: int = 10**9) -> None:
        """Collect, perhaps interrupted after some batches, and judge what is left."""
        steps = itertools.count(1)

        def progress(done: int, total: int | None, what: str) -> None:
            if next(steps) == stop_after:
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
        for a, b in itertools.combinations(kept, 2):
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


@pytest.mark.parametrize("part", range(PARTS))
@settings(
    max_examples=SCENARIOS // PARTS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rounds=st.lists(_round, min_size=2, max_size=5), dice=st.randoms(use_true_random=False))
def test_collecting_leaves_exactly_what_kept_versions_need(
    conn: Connection, volume: str, part: int, rounds: list[tuple], dice: random.Random
) -> None:
    keeper = Keeper(conn, volume)
    try:
        keeper.stir(dice, 5, 1)
        keeper.epoch()
        for publish, dropped, upkeep in rounds:
            keeper.delete(dice.randrange(100))
            keeper.stir(dice, dice.randrange(3), 1)
            keeper.epoch(publish)
            for which in dropped:
                keeper.drop(which)
            getattr(keeper, upkeep)()
        keeper.collect()
    finally:
        keeper.leave()
