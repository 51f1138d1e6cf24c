"""A server process with one small imported datastack, and CAVEclient in processes of its own.

    with served(tmp_path_factory.mktemp("served"), server_url) as server:
        assert run_client(server, "tell(client.info.get_datastacks())") == [server.datastack]

A client caches by the names of datastacks and tables, writes into HOME and never forgets a token
that it found there: each scenario is a process with an empty HOME.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from matengine.box.programs import SERVING
from matengine.datasets.folder import open_dataset
from matengine.datasets.importer import import_dataset
from matengine.datasets.sample import make_sample
from matengine.storage import connections
from matengine.storage.connections import Connection

START_S = 60
CLIENT_S = 120
_TELLS = '''
import json
import numpy as np
import pandas as pd

def _plain(value):
    if isinstance(value, pd.DataFrame):
        return value.to_dict("records")
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return str(value)

def tell(value):
    """The last value told is the answer of run_client."""
    print("\\n" + json.dumps(value, default=_plain), flush=True)

'''
# snippets come in lines of JSON, each is told about by its last `tell`, or by its error
_GOES_ON = """
import sys
import traceback

for line in sys.stdin:
    try:
        exec(json.loads(line), globals())
    except BaseException:
        tell({"failed": traceback.format_exc()})
    print("-- done --", flush=True)
"""
_CONSTRUCTS = """
from caveclient import CAVEclient

client = CAVEclient({datastack!r}, server_address={url!r}, auth_token={token!r})
"""


@dataclass(frozen=True)
class Served:
    """A running server. Tables of the datastack: synapses, nuclei and cell_types (a sample)."""

    url: str
    datastack: str
    aligned_volume: str
    segmentation: str
    dataset: Path

    def connect(self) -> Connection:
        """A connection to the aligned volume's database."""
        return connections.connect(self.aligned_volume)


@contextmanager
def served(
    folder: Path, server_url: str, *, size: int = 32, environment: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """Import a sample of size^3 voxels under names of its own and serve it; all goes in the end.

    Meanwhile the settings of this process name the database. `environment` is for the server
    alone.
    """
    dataset = folder / "sample"
    make_sample(dataset, size=size)
    with served_dataset(dataset, server_url, environment=environment) as running:
        yield running


@contextmanager
def served_dataset(
    dataset: Path, server_url: str, *, environment: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """As `served`, of a dataset folder of ours, whose names are changed in place."""
    name = f"s{uuid.uuid4().hex[:10]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        toml = dataset / "datastack.toml"
        known = open_dataset(dataset).datastack.name
        toml.write_text(toml.read_text().replace(f'"{known}', f'"{name}'))
        opened = open_dataset(dataset)
        try:
            import_dataset(opened)
            with server_process(dict(environment or {})) as url:
                yield Served(
                    url,
                    opened.datastack.name,
                    opened.aligned_volume.name,
                    opened.segmentation.name,
                    dataset,
                )
        finally:
            if opened.aligned_volume.name in connections.aligned_volumes():
                connections.drop_aligned_volume(opened.aligned_volume.name)


@contextmanager
def server_process(
    environment: Mapping[str, str], application: str = "matengine.api.app:create_app()"
) -> Iterator[str]:
    """The application as a box serves it, but by one process; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.fileno()
        words = [
            *("-m", "gunicorn", "--config", SERVING, "--bind", f"fd://{number}", "--threads", "4"),
            *("--log-level", "warning", "--no-control-socket", application),
        ]
        one = {"MATENGINE_SERVER_PROCESSES": "1"}
        process = subprocess.Popen(
            [sys.executable, *words], pass_fds=[number], env=os.environ | one | dict(environment)
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            # the socket listens already, so this waits until a worker answers
            assert requests.get(f"{url}/health/live", timeout=START_S).status_code == 200
            yield url
        finally:
            process.terminate()
            process.wait(30)


def run_client(
    server: Served, code: str, *, token: str | None = None, construct: bool = True
) -> Any:
    """Run a snippet in a fresh process and give what it told by `tell(value)`, through JSON.

    `client` is a CAVEclient of the datastack, unless `construct` is off. A child that fails is an
    AssertionError with its traceback.
    """
    program = _TELLS
    if construct:
        program += _CONSTRUCTS.format(datastack=server.datastack, url=server.url, token=token)
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-c", program + code],
            cwd=home,
            env={"HOME": home, "PATH": os.environ["PATH"], "NO_PROXY": "*"},
            capture_output=True,
            text=True,
            timeout=CLIENT_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert lines, "nothing was told"
    return json.loads(lines[-1])


class ClientProcess:
    """One process for several snippets, which share their names; `CAVEclient` is one of them.

    Where it asks several datastacks they must have different names.
    """

    def __enter__(self) -> "ClientProcess":
        self._home = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TELLS + "from caveclient import CAVEclient\n" + _GOES_ON],
            cwd=self._home.name,
            env={"HOME": self._home.name, "PATH": os.environ["PATH"], "NO_PROXY": "*"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(CLIENT_S)
        self._home.cleanup()

    def run(self, code: str) -> Any:
        """Run a snippet; gives what it told last. One that fails is an AssertionError."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        told = None
        for line in self._process.stdout:
            if line.startswith("-- done"):
                break
            told = line if line.strip() else told
        else:
            raise AssertionError("The client's process has ended.")
        found = json.loads(told) if told else None
        assert not (isinstance(found, dict) and "failed" in found), found["failed"]
        return found
