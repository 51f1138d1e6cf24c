"""A datastack with three versions, made once a module and copied for each test."""

from collections.abc import Iterator

import pytest
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
