"""The commands pin, name, drop, collect and compact, as one types them."""

import json
from datetime import UTC, datetime

import pytest
from commands import Command
from small_world import Pair

from matengine.engine.runs import engine, runs
from matengine.engine.versions import catalogue

NAME = "v1.0 of the paper"


def known(pair: Pair) -> dict[int, catalogue.Version]:
    found = {v.version: v for v in catalogue.versions(pair.conn, pair.name)}
    pair.conn.commit()
    return found


def test_a_name_pins_and_is_understood_everywhere(pair: Pair, run: Command) -> None:
    code, out, _ = run("name", 1, NAME, "--note", "before the second round")
    assert (code, out) == (
        0,
        f"version 1: called '{NAME}', pinned, noted: before the second round\n",
    )
    code, out, _ = run("query", pair.table, "--version", NAME, "--json")
    assert len(json.loads(out)) == pair.versions[1][1][pair.table].num_rows
    listed = run("versions")[1].splitlines()
    assert NAME in listed[1]
    assert "pinned" in listed[1]
    assert "pinned" not in listed[2]
    code, out, err = run("drop", NAME)
    assert code == 1
    assert out == ""
    assert "is pinned" in err
    assert "matengine pin 1 --off" in err
    assert run("pin", NAME, "--off")[:2] == (0, "version 1: not pinned\n")
    code, out, _ = run("drop", NAME, "--json")
    (dropped,) = json.loads(out)
    assert (dropped["version"], dropped["status"], dropped["name"]) == (1, "EXPIRED", NAME)
    assert run("name", 1, "--off")[:2] == (
        0,
        "version 1: without a name, noted: before the second round\n",
    )
    assert known(pair)[1].status == "EXPIRED"


def test_versions_go_at_their_time(pair: Pair, run: Command) -> None:
    assert run("drop", 1, 2, "--on", "2020-01-01")[1].count("goes on 2020-01-01T00:00:00Z") == 2
    assert known(pair)[2].expires_on == datetime(2020, 1, 1, tzinfo=UTC)
    assert run("drop", 2, "--never")[:2] == (0, "version 2: stays\n")
    assert run("drop", "--due")[1] == "version 1: dropped\n"
    assert run("drop", "--due")[2].strip() == "none is due"
    assert run("drop", "--due", "--keep", 1)[1] == "version 2: dropped\n"


@pytest.mark.parametrize(
    "words",
    [
        ["drop"],
        ["drop", "1", "--due"],
        ["drop", "1", "--keep", "2"],
        ["drop", "--due", "--never"],
        ["drop", "1", "--never", "--on", "2030-01-01"],
        ["drop", "1", "--on", "soon"],
        ["drop", "3"],
        ["drop", "4"],
        ["name", "1"],
        ["name", "1", "x", "--off"],
        ["name", "1", "2"],
        ["pin", "v9"],
        ["compact", "nothing"],
    ],
)
def test_misuse_changes_nothing_and_is_told_in_a_line(
    pair: Pair, run: Command, words: list[str]
) -> None:
    before = known(pair)
    code, out, err = run(*words)
    assert code in (1, 2)
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert known(pair) == before


def test_collect_and_compact(pair: Pair, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("collect")[1].startswith("nothing to collect")
    run("drop", 1, 2)
    code, out, _ = run("collect", "--live-days", 0, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["epochs"] == [1, 2, 3]
    removed = {t["table"]: t for t in told["tables"]}[pair.table]
    assert removed["rows"] > 0
    # the tables of this world have one page each
    assert told["compacted"] == []
    monkeypatch.setattr("matengine.engine.versions.compact.LEAST", 1)
    assert json.loads(run("collect", "--no-compact", "--json")[1])["compacted"] == []
    told = json.loads(run("collect", "--json")[1])
    assert {t["table"] for t in told["compacted"]} == {pair.table, pair.notes}
    pair.begin()
    pair.conn.commit()
    code, out, err = run("collect")
    assert code == 0
    assert "to get the disk back: matengine compact" in err
    engine.cancel(pair.conn, max(runs.running(pair.conn)))
    code, out, _ = run("compact", "--json")
    assert code == 0
    sizes = json.loads(out)
    assert sizes["status"] == "done"
    assert {t["table"] for t in sizes["tables"]} == {pair.table, pair.notes}
    assert all(t["bytes_after"] > 0 for t in sizes["tables"])
    code, out, _ = run("compact", pair.table)
    assert code == 0
    assert out.splitlines()[1].startswith(pair.table)
    del pair.versions[1], pair.versions[2]
    pair.check_versions()
