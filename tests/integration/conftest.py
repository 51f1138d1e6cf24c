"""A datastack with three versions, made once a module and copied for each test; commands on one."""

import threading
from collections.abc import Callable, Iterator

import pytest
from commands import Command, commands_on
from copies import Original, copied, three_versions
from psycopg import sql
from small_world import Pair

from matengine.engine.query import answer
from matengine.engine.query.model import Query
from matengine.storage.connections import conninfo_of, open_connection


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


@pytest.fixture
def reading(pair: Pair) -> Iterator[list[int]]:
    """Somebody who reads versions 1 and 2 all the while, by views and by a relation."""
    ended = threading.Event()
    answers: list[int] = []
    faults: list[BaseException] = []
    totals = sql.SQL("SELECT count(*), sum(post_pt_root_id) FROM {}")
    views = [totals.format(sql.Identifier(f"{pair.name}__mat{v}", pair.table)) for v in (1, 2)]

    def go_on() -> None:
        try:
            with open_connection(conninfo_of(pair.conn), autocommit=True) as conn:
                first = [conn.execute(view).fetchone() for view in views]
                while not ended.is_set():
                    assert [conn.execute(view).fetchone() for view in views] == first
                    rows = answer.ask(conn, pair.name, 2, Query(pair.table))
                    assert rows == pair.versions[2][1][pair.table]
                    answers.append(1)
        except BaseException as fault:
            faults.append(fault)

    reader = threading.Thread(target=go_on)
    reader.start()
    yield answers
    ended.set()
    reader.join()
    assert faults == []
    assert len(answers) > 3
