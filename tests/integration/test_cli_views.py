"""Views from the command line: made, asked, shown, dropped."""

import json
from pathlib import Path

import pytest
from commands import Command
from small_world import Pair


def done(run: Command, *words: object) -> str:
    code, out, err = run(*words)
    assert code == 0, err
    return out


def test_life_of_a_view(pair: Pair, run: Command, tmp_path: Path) -> None:
    content = {
        "table": pair.table,
        "columns": [
            {"name": "root", "column": "post_pt_root_id"},
            {"name": "inputs", "aggregate": "count"},
        ],
    }
    file = tmp_path / "inputs.json"
    file.write_text(json.dumps(content))
    done(run, "views", "inputs", "--make", file, "--description", "synapses onto a neuron")
    assert "synapses onto a neuron" in done(run, "views")
    listed = json.loads(done(run, "views", "--json"))
    assert listed == [{"name": "inputs", "description": "synapses onto a neuron"}]
    shown = json.loads(done(run, "views", "inputs"))
    assert (shown["table"], shown["columns"]) == (content["table"], content["columns"])
    rows = json.loads(done(run, "query", "inputs", "--version", "1", "--json"))
    synapses = json.loads(done(run, "query", pair.table, "--version", "1", "--json"))
    assert sum(row["inputs"] for row in rows) == len(synapses)
    some = json.loads(
        done(run, "query", "inputs", "--version", "1", "--where", "inputs>1", "--json")
    )
    assert some == [row for row in rows if row["inputs"] > 1]
    done(run, "views", "inputs", "--drop")
    assert json.loads(done(run, "views", "--json")) == []


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
def test_what_cannot_be_done(run: Command, tmp_path: Path, arguments: list[str], word: str) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    code, _, err = run(*[bad if a == "BAD" else a for a in arguments])
    assert code == 1
    assert word in err
