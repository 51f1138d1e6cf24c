"""Bulk load under a receipt: done once, whoever asks how often."""

from typing import Any

import pytest
from bulk_rows import make, synapses

from matengine.engine.annotations import bulk, rows
from matengine.errors import Conflict, Invalid
from matengine.storage.connections import Connection


@pytest.fixture
def db(conn: Connection) -> Connection:
    make(conn, "synapses", "synapse")
    return conn


class TestReceipts:
    def test_second_run_does_nothing(self, db: Connection) -> None:
        first = bulk.load(db, "synapses", synapses(100), receipt="r")
        again = bulk.load(db, "synapses", synapses(100), receipt="r")
        assert (first.rows, first.before, again.rows, again.before) == (100, 0, 0, 100)
        assert rows.count(db, "synapses") == 100

    def test_other_source_is_refused(self, db: Connection) -> None:
        bulk.load(db, "synapses", synapses(100), receipt="r")
        for other, more in [
            (synapses(100, 2), {}),
            (synapses(101), {}),
            (synapses(100), {"column_map": {"size": None}}),
            (synapses(100), {"ids": "sequence"}),
        ]:
            with pytest.raises(Conflict, match="belongs to another load"):
                bulk.load(db, "synapses", other, receipt="r", **more)
        make(db, "more", "synapse")
        with pytest.raises(Conflict, match="belongs to another load"):
            bulk.load(db, "more", synapses(100), receipt="r")

    def test_arguments(self, db: Connection) -> None:
        with pytest.raises(Invalid, match="needs a receipt"):
            bulk.load(db, "synapses", synapses(1), commit_batches=True)
        with pytest.raises(Invalid, match="not from 'auto'"):
            bulk.load(db, "synapses", synapses(1), ids="auto")  # type: ignore[arg-type]
        with pytest.raises(Invalid, match="at least one row"):
            bulk.load(db, "synapses", synapses(1), batch_rows=0)

    def test_in_the_callers_transaction(self, av: Any) -> None:
        with av.connect() as conn:
            make(conn, "synapses", "synapse")
            conn.commit()
            bulk.load(conn, "synapses", synapses(100), receipt="r")
            conn.rollback()
            assert rows.count(conn, "synapses") == 0
            assert bulk.load(conn, "synapses", synapses(100), receipt="r").rows == 100

    def test_batches_are_committed(self, av: Any) -> None:
        seen: list[int] = []
        with av.connect() as conn, av.connect() as other:
            other.autocommit = True
            make(conn, "synapses", "synapse")

            def watch(done: int, total: int | None, what: str) -> None:
                if what == "rows loaded":
                    seen.append(rows.count(other, "synapses"))

            bulk.load(
                conn,
                "synapses",
                synapses(100),
                receipt="r",
                commit_batches=True,
                batch_rows=40,
                progress=watch,
            )
        assert seen == [40, 80, 100]
