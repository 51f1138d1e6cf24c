"""Views from the command line: made, asked, shown, dropped."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from story import Story, story
from typer.testing import CliRunner

from matengine.cli.app import app
from matengine.errors import MatengineError


@pytest.fixture(scope="module")
def told(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with (
        pytest.MonkeyPatch.context() as patch,
        story(server_url, tmp_path_factory.mktemp("volume")) as made,
    ):
        patch.setenv("MATENGINE_DATABASE_URL", server_url)
        yield made


def run(told: Story, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--datastack", told.pair.name])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_life_of_a_view(told: Story, tmp_path: Path) -> None:
    content = {
        "table": told.pair.table,
        "columns": [
            {"name": "root", "column": "post_pt_root_id"},
            {"name": "inputs", "aggregate": "count"},
        ],
    }
    file = tmp_path / "inputs.json"
    file.write_text(json.dumps(content))
    run(told, "views", "inputs", "--make", str(file), "--description", "synapses onto a neuron")
    assert "synapses onto a neuron" in run(told, "views")
    listed = json.loads(run(told, "views", "--json"))
    assert listed == [{"name": "inputs", "description": "synapses onto a neuron"}]
    shown = json.loads(run(told, "views", "inputs"))
    assert (shown["table"], shown["columns"]) == (content["table"], content["columns"])
    rows = json.loads(run(told, "query", "inputs", "--version", "1", "--json"))
    synapses = json.loads(run(told, "query", told.pair.table, "--version", "1", "--json"))
    assert sum(row["inputs"] for row in rows) == len(synapses)
    some = json.loads(
        run(told, "query", "inputs", "--version", "1", "--where", "inputs>1", "--json")
    )
    assert some == [row for row in rows if row["inputs"] > 1]
    run(told, "views", "inputs", "--drop")
    assert json.loads(run(told, "views", "--json")) == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["views", "nothing"], "no view"),
        (["views", "--drop"], "Which view"),
        (["views", "v", "--make", "/nowhere.json"], "cannot be read"),
        (["views", "v", "--make", "BAD"], "no JSON"),
        (["views", "v", "--make", "BAD", "--drop"], "not both"),
    ],
)
def test_what_cannot_be_done(told: Story, tmp_path: Path, arguments: list[str], word: str) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    with pytest.raises(MatengineError, match=word):
        run(told, *[str(bad) if a == "BAD" else a for a in arguments])
