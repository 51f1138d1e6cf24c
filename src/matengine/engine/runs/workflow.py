"""What a workflow is: phases that plan units, work that does one, and how to undo it all."""

from collections.abc import Callable
from dataclasses import dataclass

from matengine.engine.runs.runs import Run
from matengine.engine.runs.units import Unit
from matengine.storage.connections import Connection

Phase = Callable[[Connection, Run], None]
"""Enters the units of a phase, in the caller's transaction."""

Turn = Callable[[Connection, Run], bool]
"""Lets a run begin that waits for its turn; False where it must go on waiting."""

Work = Callable[[Connection, Run, Unit], None]
"""Does a unit on a connection of its own: it ends by holding, finishing and committing it."""


def never_waits(conn: Connection, run: Run) -> bool:
    """Runs of most workflows wait for no other."""
    return False


@dataclass(frozen=True)
class Workflow:
    """`phases` in order; one begins when no unit of those before is left.

    `ready` tells whether the first phase may begin. `undo` takes back all a failed or cancelled
    run wrote, in the caller's transaction, after its units have been stopped. `take_turn` is for
    workflows whose runs may wait for another run.
    """

    phases: dict[str, Phase]
    work: dict[str, Work]
    ready: Callable[[Connection, Run], bool]
    undo: Phase
    take_turn: Turn = never_waits
