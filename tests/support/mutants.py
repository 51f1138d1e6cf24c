"""Plays on a copy of the source with a bug in it, in a process that has loaded everything else.

No module of the program may be imported here but by `play`, which imports the copy.
"""

import multiprocessing
import sys
import traceback
from multiprocessing.process import BaseProcess
from pathlib import Path

# the exit code of a play that found the bug
DIFFERENCE = 3
# scenarios after which a bug is not found
SCENARIOS = 40

# what takes long to load and is not the program
_LOADED = ["numpy", "pandas", "polars", "pyarrow.dataset", "scipy.sparse.csgraph", "psycopg"]
_LOADED += ["adbc_driver_postgresql.dbapi", "alembic.command", "structlog", "pytest", "tensorstore"]
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(_LOADED)


def process(source: Path, url: str, folder: Path, among: tuple[str, ...]) -> BaseProcess:
    """A process that plays on the aligned volume at `url`; `folder` takes its volume.

    Without `among` it plays the edges of epochs' times, else random scenarios of these steps.
    """
    return _forks.Process(target=play, args=(str(source), url, folder, among))


def play(source: str, url: str, folder: Path, among: tuple[str, ...]) -> None:
    """Leave the process with DIFFERENCE where something is not as it should be."""
    sys.path.insert(0, source)
    import boundaries
    import machine
    from psycopg import Error
    from small_world import write_volume

    import matengine
    from matengine.errors import MatengineError
    from matengine.storage.connections import open_connection

    assert Path(matengine.__file__).is_relative_to(source)
    with open_connection(url) as conn:
        try:
            if not among:
                boundaries.play(conn, folder)
                return
            volume = write_volume(folder)
            for seed in range(SCENARIOS):
                world = machine.Machine(conn, volume)
                with machine.small_units():
                    world.play(machine.draw(seed, among))
                world.leave()
        # the guards of the database, too, may be what sees it
        except (AssertionError, Error, MatengineError):
            traceback.print_exc()
            sys.exit(DIFFERENCE)
