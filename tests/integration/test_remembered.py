"""What the server remembers of the catalogue is never out of date, whoever changes that."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asking import Api, served_story
from auth_server import auth_service, user

from matengine.api.app import create_app
from matengine.engine.query import sources
from matengine.storage import pools

OWNER, FRIEND = (letter * 32 for letter in "ab")
# a process that does what it is told, line by line
_OTHER = """
import sys
from datetime import timedelta
from matengine.engine.annotations import tables
from matengine.engine.query.views import catalogue, definition
from matengine.engine.versions import dropping, garbage, labels
from matengine.storage import connections
conn = connections.connect(sys.argv[1])
def view(column):
    return definition.read({"table": synapses, "columns": [{"name": "a", "column": column}]})
name, synapses, cells = sys.argv[2:]
for line in sys.stdin:
    exec(line)
    conn.commit()
    print("done", flush=True)
"""
Tell = Callable[[str], None]


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    users = {OWNER: user(11, brain=["view", "edit"]), FRIEND: user(12, brain=["view"])}
    with (
        served_story(server_url, tmp_path_factory.mktemp("volume")) as served,
        auth_service(users) as service,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("MATENGINE_AUTH_URL", service.url)
        service.datasets[served.story.pair.name] = "brain"
        yield Api(served.story, create_app().test_client())
        pools.close_all()


@pytest.fixture(scope="module")
def tell(api: Api) -> Iterator[Tell]:
    """Have another process do something, and wait until it is done."""
    pair = api.story.pair
    words = [sys.executable, "-c", _OTHER, pair.conn.info.dbname, pair.name, api.synapses, "cells"]
    pair.conn.commit()
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None

        def do(line: str) -> None:
            print(line, file=other.stdin, flush=True)
            assert other.stdout is not None
            assert other.stdout.readline() == "done\n"

        yield do
        other.stdin.close()


def ask(api: Api, rest: str, token: str = OWNER) -> Any:
    """The answer, asked for often enough that it is remembered."""
    headers = {"Authorization": f"Bearer {token}"}
    codes = set()
    for _ in range(3):
        found = api.client.post(api.path(f"{rest}/query?return_pyarrow=false"), headers=headers)
        codes.add(found.status_code)
    assert codes == {found.status_code}
    return found


def test_nothing_remembered_is_out_of_date(
    api: Api, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    synapses, view = f"version/1/table/{api.synapses}", "version/2/views/theirs"
    assert ask(api, synapses, FRIEND).status_code == 200
    tell("catalogue.store(conn, name, 'theirs', view('id'))")
    assert ask(api, view, FRIEND).json[0] == {"a": 1}
    with monkeypatch.context() as patch:  # both are known by now
        patch.setattr(sources, "_resolved", lambda *asked: pytest.fail("looked up anew"))
        assert ask(api, synapses).status_code == ask(api, view).status_code == 200

    tell("tables.update_metadata(conn, synapses, user_id='11', read_permission='PRIVATE')")
    for path in (synapses, view):
        assert ask(api, path, FRIEND).status_code == 403
        assert ask(api, path, OWNER).status_code == 200
    tell("tables.update_metadata(conn, synapses, read_permission='PUBLIC', notice_text='Mind.')")
    for path in (synapses, view):
        assert "Mind." in ask(api, path, FRIEND).headers["Warning"]

    tell(
        "catalogue.drop(conn, name, 'theirs'); catalogue.store(conn, name, 'theirs', view('size'))"
    )
    assert ask(api, view).json[0] == {"a": 1.5}
    tell("catalogue.drop(conn, name, 'theirs')")
    assert ask(api, view).status_code == 404

    tell("labels.name(conn, name, 1, 'ours')")
    named = f"version/ours/table/{api.synapses}"
    old = [row["id"] for row in ask(api, named).json]
    tell("labels.name(conn, name, 1, None); labels.name(conn, name, 2, 'ours')")
    assert [row["id"] for row in ask(api, named).json] != old

    # a version keeps a table that was deleted; it can be read until it is collected
    tell("tables.delete_table(conn, cells)")
    assert ask(api, "version/1/table/cells").status_code == 200
    tell("dropping.drop(conn, name, 1)")
    assert "expired" in ask(api, synapses).headers.getlist("Warning")[-1]
    tell("garbage.collect(conn, name, live_horizon=timedelta())")
    for table in (api.synapses, "cells"):
        assert ask(api, f"version/1/table/{table}").status_code == 410
