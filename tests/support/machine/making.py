"""Steps that make epochs and versions, in peace and among disturbances."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from unittest.mock import patch

from machine.adversary import Adversary, until_cut
from machine.asking import Asking
from machine.failing import WAYS, failing
from machine.keeper import Keeper
from machine.records import Told
from matengine import times
from matengine.engine.lookup import ingest
from matengine.engine.runs import runs
from matengine.engine.versions import catalogue, freeze, rebase
from matengine.storage.connections import Connection

MS = timedelta(milliseconds=1)


class Making(Asking):
    """Runs of epochs are brought to an end within their step."""

    # what also happens in the middle of a run, and is said elsewhere
    upkeep: Callable[[random.Random], None]

    def fail(self, dice: random.Random) -> None:
        """From now on an outside service fails."""
        self.way = dice.choice(WAYS)

    def heal(self, dice: random.Random) -> None:
        self.way = None

    def epoch(self, dice: random.Random) -> None:
        """An epoch, with or without a version, now or at an earlier time."""
        stack = self.any_stack(dice)
        publish, at = dice.random() < 0.7, self._earlier(dice, stack)
        told = self.foretell(dice, stack, at)
        self._make(dice, stack, lambda conn: stack.begin_on(conn, publish, at), rough=False)
        self.check_foretold(stack, at, told)

    def rough_epoch(self, dice: random.Random) -> None:
        """An epoch, worked on as badly as can be."""
        stack = self.any_stack(dice)
        publish, at = dice.random() < 0.7, self._earlier(dice, stack)
        self._make(dice, stack, lambda conn: stack.begin_on(conn, publish, at), rough=True)

    def rebase(self, dice: random.Random) -> None:
        """An epoch that writes every table anew of which a row has changed."""
        with patch.multiple(rebase, LEAST=0, SHARE=0.0):
            self.rough_epoch(dice)

    def freeze(self, dice: random.Random) -> None:
        """A version of the newest epoch, at once; of the first, where there is none."""
        stack = self.any_stack(dice)
        if not stack.newest:
            self._make(
                dice,
                stack,
                lambda conn: freeze.create_frozen(conn, stack.name).run_id or 0,
                rough=dice.random() < 0.5,
            )
            return
        if dice.random() < 0.3:
            until_cut(self.conn, dice, lambda conn: freeze.create_frozen(conn, stack.name))
            for version in catalogue.versions(self.conn, stack.name):
                if version.status == "AVAILABLE" and version.version not in stack.told:
                    stack.told[version.version] = Told(stack.newest)
        frozen = freeze.create_frozen(self.conn, stack.name)
        assert frozen.run_id is None
        stack.told[frozen.version] = Told(stack.newest)

    def ingest(self, dice: random.Random) -> None:
        """Look up ahead what is new, perhaps in part."""
        run_id = ingest.start(self.conn, self.any_stack(dice).name)
        with failing(self.way):
            run = Adversary(self.conn, dice).bring_to_an_end(run_id)
        assert run.status in ("done", "cancelled"), run.error

    # inside

    def _make(
        self,
        dice: random.Random,
        stack: Keeper,
        begin: Callable[[Connection], int],
        *,
        rough: bool,
    ) -> None:
        """Make an epoch by one run or, where that is cancelled, by the next."""

        def again(_: int) -> int:
            self.settle_later()
            self.running = self._begin(dice, stack, begin, rough)
            return self.running

        def meanwhile() -> None:
            kinds = [self.change] * 3 + [self.own_clock, self.write_late, self.upkeep]
            dice.choice(kinds)(dice)
            self.check()

        adversary = Adversary(
            self.conn,
            dice,
            again=again,
            meanwhile=meanwhile,
            stuck=lambda: self.end_writer(dice),
        )
        if rough:
            adversary.cancel_in = dice.choice([None, None, None, "collect", "apply", "index"])
            adversary.doubles = dice.random() < 0.2
        else:
            adversary.troubles = 0
        with failing(self.way):
            run = adversary.bring_to_an_end(again(0))
        self.running = None
        if run.status == "done":
            stack.record(run, may_lack=self.way not in (None, "graph"))
        else:
            assert self.way == "graph", run.error
            assert "cannot be reached" in (run.error or "")
        self.settle_later()

    def _begin(
        self,
        dice: random.Random,
        stack: Keeper,
        begin: Callable[[Connection], int],
        rough: bool,
    ) -> int:
        """Begin a run; a connection that is lost meanwhile leaves one, or none."""
        if rough and dice.random() < 0.2:
            until_cut(self.conn, dice, begin)
            begun = [r.run_id for r in runs.listed(self.conn, stack.name) if r.status == "running"]
            self.conn.commit()
            if begun:
                return begun[0]
        return begin(self.conn)

    def _earlier(self, dice: random.Random, stack: Keeper) -> datetime | None:
        """Now and then a time between the last epoch, or all that is known of, and now."""
        last = stack.epochs[stack.newest].time if stack.newest else stack.since
        begin = times.floor_ms(max(last, self.floor)) + MS
        room = times.floor_ms(stack.clock()) - begin
        if dice.random() > 0.25 or room <= MS:
            return None
        return begin + min(room, timedelta(seconds=2)) * dice.random()
