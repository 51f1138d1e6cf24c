"""Commands as people type them, on the datastack of a test."""

from collections.abc import Callable

import pytest
from small_world import Pair

from matengine.cli import main

Command = Callable[..., tuple[int, str, str]]
"""Words of a command to its exit code, what it printed, and what it complained."""


def commands_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Runs commands in this process."""
    monkeypatch.delenv("MATENGINE_BROKER_URL", raising=False)
    # the copies of one world have datastacks of one name
    monkeypatch.setattr(
        "matengine.engine.datastacks.find", lambda _: (pair.conn.info.dbname, pair.name)
    )

    def command(*words: object) -> tuple[int, str, str]:
        pair.conn.commit()
        code = main([*map(str, words), "--datastack", pair.name])
        return code, *capfd.readouterr()

    return command
