"""What the messages of the broker carry."""

import inspect

import pytest


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
