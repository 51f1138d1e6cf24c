"""Which units' messages go out."""

import pytest

from matengine.engine.runs import runs, units
from matengine.storage.connections import Connection


@pytest.fixture
def planned(conn: Connection) -> dict[int, set[int]]:
    """Two runs, of 25 and of 3 units."""
    conn.execute("INSERT INTO matengine.segmentation (name, graph) VALUES ('seg', 'local')")
    conn.execute("INSERT INTO matengine.datastack (name, segmentation) VALUES ('ds', 'seg')")
    found = {}
    for count in (25, 3):
        run_id = runs.enter(conn, "ds", "ingest")
        units.plan(conn, run_id, "lookup", "synapses", [(n, n) for n in range(count)])
        rows = conn.execute("SELECT unit_id FROM matengine.unit WHERE run_id = %s", (run_id,))
        found[run_id] = {unit_id for (unit_id,) in rows}
    conn.commit()
    return found


def test_few_messages_are_out_at_a_time(
    conn: Connection, planned: dict[int, set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "WINDOW", 10)
    large, small = planned.values()
    sent = {unit_id for unit_id, _ in units.to_send(conn)}
    assert len(sent & large) == 10
    assert small < sent
    assert units.to_send(conn) == []  # as long as none of them is done

    for unit_id in sorted(sent & large)[:4]:
        unit = units.claim(conn, unit_id)
        assert unit is not None
        units.finish(conn, unit, units.Effect())
    conn.commit()
    following = {unit_id for unit_id, _ in units.to_send(conn)}
    assert len(following) == 4
    assert following < large - sent

    # those that nobody took up in time, and no others, are sent again
    conn.execute("UPDATE matengine.unit SET sent = sent - interval '1 day'")
    conn.commit()
    again = {unit_id for unit_id, _ in units.to_send(conn)}
    assert again == small | following | set(sorted(sent & large)[4:])


def test_all_units_are_sent_in_the_end(
    conn: Connection, planned: dict[int, set[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "WINDOW", 2)
    sent: list[int] = []
    while ready := units.to_send(conn):
        for unit_id, _ in ready:
            sent.append(unit_id)
            unit = units.claim(conn, unit_id)
            assert unit is not None
            units.finish(conn, unit, units.Effect())
        conn.commit()
    assert sorted(sent) == sorted(set().union(*planned.values()))
    assert all(units.run_if_last(conn, unit_id) for unit_id in sent)
