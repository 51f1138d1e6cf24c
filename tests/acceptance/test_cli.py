"""The command line as its users have it: real processes on a real box."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from matengine.box import accounts
from matengine.box.endpoint import free_port
from matengine.cli.app import app
from matengine.datasets.folder import Dataset, open_dataset

START = "2026-01-01T00:00:00Z"
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("MATENGINE_")}


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "matengine", *map(str, words)]


def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*words), capture_output=True, env=ENVIRONMENT | environment, timeout=120
    )


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("cli") / "sample"
    made = run("sample", folder, "--size", "64", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["rows"]["synapses"] > 0
    return open_dataset(folder)


class CommandBox:
    """A box that is up, with a sample in it, and commands on it."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self.folder = folder
        self.dataset = dataset

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
        return run(*words, "--data", self.folder)

    def answer(self, *words: str | Path) -> Any:
        """What a command that succeeds says in JSON."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def fails(self, *words: str | Path) -> str:
        """The one line that a command fails with."""
        done = self.run(*words)
        assert done.returncode == 1
        assert done.stdout == b""
        return only_line(done.stderr)


def only_line(stderr: bytes) -> str:
    (line,) = stderr.decode().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, sample: Dataset) -> Iterator[CommandBox]:
    folder = tmp_path_factory.mktemp("box") / "with blank"
    box = CommandBox(folder, sample)
    # before it is up: the database is started for the import alone
    done = box.run("import", sample.path, "--until", START)
    assert done.returncode == 0, done.stderr.decode()
    assert f"keep it: {sample.segmentation.volume}" in done.stdout.decode()
    with subprocess.Popen(
        command("up", "--data", folder, "--port", str(free_port())),
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as up:
        assert up.stdout
        first = up.stdout.readline().decode()
        assert first.startswith("ready http://127.0.0.1:")
        yield box
        up.send_signal(signal.SIGTERM)
    assert up.returncode == 0
    accounts.remove(folder / "services")


@pytest.fixture(scope="module")
def versions(box: CommandBox) -> tuple[Any, Any]:
    """Version 1 without proofreading, version 2 with all of it."""
    first = box.answer("materialize", "--at", START, "--note", "as it began")
    assert box.answer("import", box.dataset.path)["operations"] == len(box.dataset.edits())
    last = box.dataset.edits()["timestamp"].to_pylist()[-1]
    second = box.answer("materialize", "--at", last.isoformat())
    return first, second


def alive(dataset: Dataset, table: str, at: str) -> pa.Table:
    moment = datetime.fromisoformat(at)
    return pa.Table.from_pylist(
        [
            row
            for row in dataset.table(table).read().to_pylist()
            if row["created"] <= moment and (row["deleted"] is None or moment < row["deleted"])
        ],
        dataset.table(table).read().schema,
    )


def test_a_version_is_made_by_the_workers_and_told_in_json(
    box: CommandBox, versions: tuple[Any, Any]
) -> None:
    first, second = versions
    assert (first["version"], second["version"]) == (1, 2)
    assert first["status"] == second["status"] == "done"
    assert first["time"] == START
    rows = {table["table"]: table["rows"] for table in first["tables"]}
    assert rows == {
        name: len(alive(box.dataset, name, START)) for name in ("synapses", "nuclei", "cell_types")
    }
    listed = box.answer("versions")
    assert [(v["version"], v["status"], v["note"]) for v in listed] == [
        (1, "AVAILABLE", "as it began"),
        (2, "AVAILABLE", ""),
    ]
    assert listed[0]["tables"] == first["tables"]
    assert all(isinstance(t["fingerprint"], int) for t in listed[0]["tables"])


@pytest.mark.usefixtures("versions")
def test_a_query_has_the_rows_of_its_version(box: CommandBox) -> None:
    wanted = alive(box.dataset, "synapses", START).sort_by("id")
    found = box.answer("query", "synapses", "--version", "1")
    assert [row["id"] for row in found] == wanted["id"].to_pylist()
    for row in found:
        created = datetime.fromisoformat(row["created"])
        assert row["created"].endswith("Z")
        assert created == wanted["created"].to_pylist()[[r["id"] for r in found].index(row["id"])]
    expected = box.dataset.table("synapses").expected_supervoxels().to_pylist()
    truth = {row["id"]: row["expected_pre_pt_supervoxel_id"] for row in expected}
    assert {row["id"]: row["pre_pt_supervoxel_id"] for row in found} == {
        row["id"]: truth[row["id"]] for row in found
    }


@pytest.mark.usefixtures("versions")
def test_all_formats_say_the_same(box: CommandBox, tmp_path: Path) -> None:
    chosen = ["query", "synapses", "--columns", "id,pre_pt_root_id,size", "--limit", "7"]
    rows = box.answer(*chosen)
    assert len(rows) == 7
    columns = {name: [row[name] for row in rows] for name in ("id", "pre_pt_root_id", "size")}

    arrow = box.run(*chosen, "--format", "arrow")
    assert pa.ipc.open_stream(arrow.stdout).read_all().to_pydict() == columns
    csv = box.run(*chosen, "--format", "csv")
    assert pa.csv.read_csv(io.BytesIO(csv.stdout)).to_pydict() == columns
    out = tmp_path / "out.parquet"
    assert box.run(*chosen, "--out", out).returncode == 0
    assert pq.read_table(out).to_pydict() == columns
    table = box.run(*chosen).stdout.decode().splitlines()
    assert table[0] == f"synapses, version 2 of {box.dataset.datastack.name}"
    assert [line.split()[1] for line in table[2:]] == list(map(str, columns["pre_pt_root_id"]))


@pytest.mark.usefixtures("versions")
def test_conditions_keep_rows_of_any_of_the_values(box: CommandBox) -> None:
    every = box.answer("query", "synapses", "--columns", "id,pre_pt_root_id")
    roots = sorted({row["pre_pt_root_id"] for row in every})[-2:]
    given = [word for root in roots for word in ("--where", f"pre_pt_root_id={root}")]
    found = box.answer("query", "synapses", "--columns", "id,pre_pt_root_id", *given)
    assert found == [row for row in every if row["pre_pt_root_id"] in roots]
    types = box.answer("query", "cell_types", "--columns", "id,cell_type")
    kind = types[0]["cell_type"]
    found = box.answer("query", "cell_types", "--where", f"cell_type={kind}", "--columns", "id")
    assert [r["id"] for r in found] == [r["id"] for r in types if r["cell_type"] == kind]


@pytest.mark.usefixtures("versions")
def test_faults_of_a_query_are_one_line_with_a_hint(box: CommandBox, tmp_path: Path) -> None:
    assert "Did you mean 'synapses'?" in box.fails("query", "synapse")
    assert "has no version 9" in box.fails("query", "synapses", "--version", "9")
    fails = box.fails("query", "synapses", "--where", "pre_pt_rootid=1")
    assert "Did you mean 'pre_pt_root_id'?" in fails
    fails = box.fails("query", "synapses", "--where", "pre_pt_root_id=x")
    assert "takes a whole number, not 'x'" in fails
    assert "no condition" in box.fails("query", "synapses", "--where", "size")
    assert "tells no format" in box.fails("query", "synapses", "--out", tmp_path / "a.xls")
    assert "cannot be written" in box.fails("query", "synapses", "--out", tmp_path / "no" / "a.csv")
    assert "There is no datastack 'x'" in box.fails("versions", "--datastack", "x")
    box.fails("query", "synapses", "--columns", "nothing", "--out", tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_merge_and_a_split_show_in_roots_at_their_times(
    box: CommandBox, versions: tuple[Any, Any]
) -> None:
    edges = box.dataset.edges()
    ids = np.unique(edges["supervoxel_a"].to_numpy())
    roots = box.answer("graph", "roots", *map(str, ids.tolist()))
    root_of = {row["supervoxel_id"]: row["root_id"] for row in roots}
    a = int(ids[0])
    b = next(s for s in root_of if root_of[s] != root_of[a])

    merged = box.answer("graph", "merge", f"{a}:{b}")
    assert sorted(merged["former_roots"]) == sorted({root_of[a], root_of[b]})
    (new,) = merged["new_roots"]
    now = box.answer("graph", "roots", str(a), str(b))
    assert [row["root_id"] for row in now] == [new, new]
    then = box.answer("graph", "roots", str(a), "--at", versions[1]["time"])
    assert then[0]["root_id"] == root_of[a]

    cut = box.answer("graph", "split", "--sources", str(a), "--sinks", str(b))
    assert cut["former_roots"] == [new]
    assert len(cut["new_roots"]) == 2
    assert cut["operation_id"] == merged["operation_id"] + 1
    assert "is no edge" in box.fails("graph", "merge", "12")
    assert "would be lost" in box.fails("graph", "merge", f"{a}:{b}", "--at", versions[1]["time"])


@pytest.mark.usefixtures("versions")
def test_a_file_is_loaded_whole_or_not_at_all(box: CommandBox, tmp_path: Path) -> None:
    rows = {"id": [1, 2], "tag": ["a", "b"]} | {
        f"pt_position_{axis}": [10.0, 20.0] for axis in "xyz"
    }
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.csv"
    pq.write_table(pa.table(rows), good)
    pa.csv.write_csv(pa.table(rows | {"id": [1, 1]}), bad)
    made = ["--schema", "bound_tag", "--resolution", "8,8,40", "--description", "places"]
    assert "resolution" in box.fails("load", "tags", good, "--schema", "bound_tag")
    assert "is in the source before" in box.fails("load", "tags", bad, *made)
    assert "tags" not in [t["name"] for t in box.answer("tables")]
    assert box.answer("load", "tags", good, *made)["rows"] == 2
    checked = box.run("load", "tags", good, "--check")
    assert checked.returncode == 1
    assert "is in the table already" in checked.stdout.decode()
    assert {t["name"]: t["rows"] for t in box.answer("tables")}["tags"] == 2


@pytest.mark.usefixtures("versions")
def test_runs_and_status_tell_what_was_done(box: CommandBox) -> None:
    runs = box.answer("runs")
    assert [run["status"] for run in runs[-2:]] == ["done", "done"]
    first = box.answer("runs", str(runs[-1]["run_id"]))
    assert first["version"] == 1
    assert first["units"]["done"] == first["units"]["total"] > 0
    assert box.answer("runs", str(runs[-1]["run_id"]), "--cancel")["status"] == "done"
    assert "There is no run 999" in box.fails("runs", "999")
    status = box.answer("status")
    assert status["has_workers"]
    assert status["url"].startswith("http://127.0.0.1:")
    (stack,) = status["datastacks"]
    assert stack["datastack"] == box.dataset.datastack.name
    assert stack["version"] >= 2


@pytest.mark.usefixtures("versions")
def test_a_time_before_the_last_version_is_refused(box: CommandBox) -> None:
    assert "is not after the last epoch" in box.fails("materialize", "--at", START)


@pytest.mark.usefixtures("versions")
def test_an_epoch_without_a_version(box: CommandBox) -> None:
    before = box.answer("versions")
    done = box.answer("materialize", "--no-version")
    assert done["version"] is None
    assert done["status"] == "done"
    assert box.answer("versions") == before


def test_importing_again_says_so(box: CommandBox, versions: tuple[Any, Any]) -> None:
    done = box.run("import", box.dataset.path)
    assert done.returncode == 0
    assert "is there already" in done.stdout.decode()


@pytest.mark.usefixtures("versions")
def test_a_reader_that_goes_away_is_no_error(box: CommandBox) -> None:
    with subprocess.Popen(
        command("query", "synapses", "--json", "--data", box.folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    ) as query:
        assert query.stdout
        assert query.stderr
        query.stdout.close()
        assert query.stderr.read() == b""
    assert query.returncode == 1


def hear_ctrl_c() -> None:
    """As in a terminal; a shell that runs the tests in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_it_says_how_to_go_on(sample: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "box"
    words = ["import", sample.path, "--data", folder]
    with subprocess.Popen(
        command(*words), stderr=subprocess.PIPE, env=ENVIRONMENT, preexec_fn=hear_ctrl_c
    ) as process:
        while not (folder / "services" / "postgres" / "data").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.stderr
        last = process.stderr.read().decode().splitlines()[-1]
    assert process.returncode == 130
    assert last == f"interrupted. Go on with: matengine import {sample.path} --data {folder}"
    assert run(*words).returncode == 0
    # no box is up: the command makes the version itself
    done = run("materialize", "--at", START, "--json", "--data", folder)
    # the proofreading is all in, but this is its state then
    assert json.loads(done.stdout)["version"] == 1
    assert not json.loads(run("status", "--json", "--data", folder).stdout)["has_workers"]
    accounts.remove(folder / "services")
    shutil.rmtree(folder)


def test_misuse_is_told_with_exit_code_2() -> None:
    for words, told in [
        (["qury"], "Did you mean 'query'?"),
        (["query"], "Missing argument 'table'"),
        (["query", "t", "--limit", "x"], "Invalid value for '--limit'"),
        (["materialize", "--at", "noon"], "'noon' is not a time"),
        (["graph", "split", "--sinks"], "requires an argument"),
    ]:
        done = run(*words)
        assert (done.returncode, done.stdout) == (2, b"")
        assert told in only_line(done.stderr)
        assert done.stderr.decode().rstrip().endswith("--help")
    assert run().returncode == 2


def test_without_services_the_way_is_told(tmp_path: Path) -> None:
    assert "--data DIR" in only_line(run("versions").stderr)
    nowhere = run("versions", "--data", tmp_path / "none")
    assert nowhere.returncode == 1
    assert "There is no box in" in only_line(nowhere.stderr)
    assert not (tmp_path / "none").exists()
    unreachable = run("versions", MATENGINE_DATABASE_URL="postgresql://x@127.0.0.1:1/x")
    assert unreachable.returncode == 1
    assert "PostgreSQL cannot be reached" in only_line(unreachable.stderr)
    assert "There is no dataset folder" in only_line(run("import", tmp_path / "none").stderr)


def test_the_unexpected_leaves_its_details_in_a_file(tmp_path: Path) -> None:
    # a database URL that libpq cannot even parse is no fault we know
    broken = {"MATENGINE_DATABASE_URL": "postgresql://%zz"}
    done = run("versions", **broken, TMPDIR=str(tmp_path))
    assert done.returncode == 1
    line = only_line(done.stderr)
    (log,) = tmp_path.glob("matengine-*.log")
    assert str(log) in line
    assert "Traceback" in log.read_text()
    shown = run("--debug", "versions", **broken, TMPDIR=str(tmp_path))
    assert "Traceback" in shown.stderr.decode()


def test_every_command_shows_an_example() -> None:
    told = run("--help").stdout.decode()
    for command in app.registered_commands:
        assert f" {command.name} " in told
        assert "Example" in run(str(command.name), "--help").stdout.decode(), command.name
    for name in ("merge", "split", "roots"):
        assert "Example" in run("graph", name, "--help").stdout.decode()
