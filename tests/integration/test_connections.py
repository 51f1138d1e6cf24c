"""Aligned volumes as databases."""

import uuid

import pytest

from matengine.errors import Conflict, Invalid, NotFound
from matengine.storage import connections


def test_create_list_connect_drop(server_url: str) -> None:
    name = f"test_{uuid.uuid4().hex[:12]}"
    connections.create_aligned_volume(name, "a volume", server_url)
    try:
        assert name in connections.aligned_volumes(server_url)
        with connections.connect(name, url=server_url) as conn:
            row = conn.execute("SELECT postgis_version(), current_setting('timezone')").fetchone()
            assert row is not None
            assert row[1] == "UTC"
        with pytest.raises(Conflict):
            connections.create_aligned_volume(name, url=server_url)
    finally:
        connections.drop_aligned_volume(name, server_url)
    assert name not in connections.aligned_volumes(server_url)


def test_half_made_volume_is_made_anew(server_url: str) -> None:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with connections.open_connection(server_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
    assert name not in connections.aligned_volumes(server_url)
    connections.create_aligned_volume(name, url=server_url)
    assert name in connections.aligned_volumes(server_url)
    connections.drop_aligned_volume(name, server_url)


def test_unknown_volume_names_the_nearest(av) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NotFound, match=f"Did you mean '{av.name}'"):
        connections.connect(av.name + "x")


@pytest.mark.parametrize("name", ["Upper", "1st", "a-b", "", "x" * 49, 'a"b', "a b"])
def test_bad_names_are_refused(server_url: str, name: str) -> None:
    with pytest.raises(Invalid, match="cannot name an aligned volume"):
        connections.create_aligned_volume(name, url=server_url)
