"""What the messages of the broker carry, and the sweep that sends them."""

import inspect

import pytest

from matengine.errors import Unavailable


def test_messages_carry_names_and_numbers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rows and no pickles: PostgreSQL knows what is to be done."""
    monkeypatch.setenv("MATENGINE_DATABASE_URL", "postgresql:///postgres")
    from matengine.workflows.app import app

    app.loader.import_default_modules()
    ours = {name: task for name, task in app.tasks.items() if name.startswith("matengine.")}
    assert ours.keys() >= {"matengine.advance", "matengine.unit", "matengine.sweep"}
    carried = {
        parameter.annotation
        for task in ours.values()
        for parameter in inspect.signature(task.run).parameters.values()
    }
    assert carried <= {str, int, int | None}
    assert app.conf.task_serializer == "json"
    assert set(app.conf.accept_content) == {"json"}


def test_a_sweep_goes_on_past_a_volume_that_is_out_of_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MATENGINE_DATABASE_URL", "postgresql:///postgres")
    from matengine.workflows import tasks

    swept = []

    def sweep_one(aligned_volume: str) -> None:
        swept.append(aligned_volume)
        if aligned_volume == "broken":
            raise Unavailable("out of order")

    monkeypatch.setattr(tasks, "aligned_volumes", lambda: ["one", "broken", "other"])
    monkeypatch.setattr(tasks, "_sweep", sweep_one)
    tasks.sweep()
    assert swept == ["one", "broken", "other"]
