"""Live answers of real datasets at any moment: an unmodified CAVEclient is told the truth.

Roots are found by brute force from the dataset's own edges and operations, and from edits that
the client makes; rows from its files. Whole frames are compared. See test_snemi3d for another.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_asking import Client, ask_at_any_moment
from real_world import imported
from served import ClientProcess, server_process

# of each table, for the time that they take
MOST_ROWS = 1500


@pytest.fixture(scope="module")
def client(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        with server_process({}) as url, ClientProcess() as process:
            yield Client(process, url, tmp_path_factory.mktemp("frames"))


@pytest.mark.parametrize("name", ["pinky40", "mec_graph", "fanc_log"])
def test_any_moment(client: Client, datasets: Path, tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    with imported(datasets / name, place, client.url, most_rows=MOST_ROWS) as (served, truth):
        ask_at_any_moment(client, served, truth, random.Random(name))
