"""Working a run step by step, so that things can happen in the middle of it."""

from matengine.engine.runs import engine, runs, units
from matengine.storage.connections import Connection


def step(conn: Connection, run_id: int) -> bool:
    """Advance the run by a phase or do one of its units; false where neither could be."""
    if engine.advance(conn, run_id):
        return True
    unit_id = units.claimable(conn, run_id)
    conn.commit()
    return unit_id is not None and engine.execute(conn, unit_id)


def work_until(conn: Connection, run_id: int, phase: str) -> None:
    """Work until a phase has just begun: its units are planned, none is done."""
    while phase_of(conn, run_id) != phase:
        assert step(conn, run_id), f"the run does not come to {phase}"


def phase_of(conn: Connection, run_id: int) -> str:
    phase = runs.get(conn, run_id).phase
    conn.commit()
    return phase
