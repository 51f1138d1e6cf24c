"""The command `matengine`.

Commands import the engine when they are called, so that `--help` and faults of usage are quick.
"""

from matengine.cli.app import main

__all__ = ["main"]
