"""A datastack with three versions, made once a module and copied for each test; commands on one."""

from collections.abc import Callable, Iterator

import pytest
from commands import Command, commands_on
from copies import Original, copied, three_versions
from small_world import Pair


@pytest.fixture(scope="module")
def original(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    with three_versions(server_url, tmp_path_factory.mktemp("volume")) as made:
        yield made


@pytest.fixture
def pair(original: Original, server_url: str) -> Iterator[Pair]:
    """Epochs 1, 3 and 4 are versions 1, 2 and 3."""
    with copied(original, server_url) as twin:
        yield twin


@pytest.fixture
def commands(
    server_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[Pair], Command]:
    """Runs commands on the datastack of a pair."""
    monkeypatch.setenv("MATENGINE_DATABASE_URL", server_url)
    return lambda pair: commands_on(pair, monkeypatch, capfd)


@pytest.fixture
def run(pair: Pair, commands: Callable[[Pair], Command]) -> Command:
    """Runs a command on `pair`; gives (exit code, stdout, stderr)."""
    return commands(pair)
