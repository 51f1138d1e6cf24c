"""A box's PostgreSQL and Redis as real processes: start, stop, kill, share, take over."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from matengine.box import accounts, postgres
from matengine.box.box import Attached, attach
from matengine.box.postgres import PrivatePostgres
from matengine.box.process import Command, alive, run, wait_until
from matengine.box.redis import PrivateRedis
from matengine.errors import Invalid

HOLD = """
import sys
from pathlib import Path
from matengine.box.box import attach
with attach(Path(sys.argv[1])) as box:
    print(box.settings.database_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """An open folder, as pytest's own is closed to the user who runs PostgreSQL for root."""
    path = Path(tempfile.mkdtemp(prefix="matengine-test-"))
    path.chmod(0o755)
    yield path / 'a "box"'
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """New clusters are not flushed to disk file by file: no test here cuts the power."""

    def run_quickly(command: Command, **options: Any) -> str:
        return run([*command, "--no-sync"] if "-U" in command else command, **options)

    monkeypatch.setattr(postgres, "run", run_quickly)


def write(url: str, value: int) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS kept (value bigint)")
        conn.execute("INSERT INTO kept VALUES (%s)", (value,))


def kept(url: str) -> list[int]:
    with psycopg.connect(url) as conn:
        return [value for (value,) in conn.execute("SELECT value FROM kept ORDER BY 1")]


def postmaster(box: Path) -> int:
    return int((box / "services/postgres/data/postmaster.pid").read_text().split()[0])


def give_port(giver: Path, taker: Path) -> None:
    """Make one server remember the port of another."""
    mine, theirs = (json.loads((f / "endpoint.json").read_text()) for f in (taker, giver))
    (taker / "endpoint.json").write_text(json.dumps(mine | {"port": theirs["port"]}))


def test_a_box_keeps_its_data_between_commands_and_leaves_no_process(folder: Path) -> None:
    with attach(folder, broker=True) as box:
        assert not box.is_up
        assert box.settings.data == folder
        write(box.settings.database_url, 1)
        broker = redis.Redis.from_url(str(box.settings.broker_url))
        broker.rpush("queue", "message")
        broker.close()
        pids = [postmaster(folder), int((folder / "services/redis/redis.pid").read_text())]
        assert all(map(alive, pids))
        assert all(Path(f"/proc/{pid}").stat().st_uid != 0 for pid in pids)  # never as root
    assert not any(map(alive, pids))
    with attach(folder, broker=True) as again:
        assert again.settings == box.settings
        assert kept(again.settings.database_url) == [1]
        broker = redis.Redis.from_url(str(again.settings.broker_url))
        assert broker.lrange("queue", 0, -1) == [b"message"]
        broker.close()


def test_servers_listen_on_loopback_only_and_ask_for_the_password(folder: Path) -> None:
    with attach(folder, broker=True) as box:
        settings = box.settings
        with psycopg.connect(settings.database_url) as conn:
            shown = conn.execute(
                "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)",
                (["listen_addresses", "unix_socket_directories", "fsync", "data_checksums"],),
            )
            assert dict(shown.fetchall()) == {
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": "",
                "fsync": "on",
                "data_checksums": "on",
            }
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(settings.database_url, password="wrong")
        friend = redis.Redis.from_url(str(settings.broker_url))
        stranger = redis.Redis(port=friend.connection_pool.connection_kwargs["port"])
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        stranger.close()
        names = ("bind", "appendonly", "maxmemory-policy")
        assert {name: friend.config_get(name)[name] for name in names} == {
            "bind": "127.0.0.1",
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
        }
        friend.close()
        for file in ("postgres/endpoint.json", "redis/endpoint.json", "redis/redis.conf"):
            assert stat.S_IMODE((folder / "services" / file).stat().st_mode) == 0o600


def test_two_boxes_stand_side_by_side(folder: Path) -> None:
    other = folder.with_name("other")
    with attach(folder) as one, attach(other) as two:
        write(one.settings.database_url, 1)
        write(two.settings.database_url, 2)
        assert kept(one.settings.database_url) == [1]
        assert kept(two.settings.database_url) == [2]


def test_a_killed_server_comes_back_with_all_that_was_committed(folder: Path) -> None:
    server = PrivatePostgres(folder)
    server.start()
    write(server.url, 1)
    assert server.process is not None
    busy = psycopg.pq.PGconn.connect(server.url.encode())
    busy.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000)")
    os.kill(server.process.pid, signal.SIGKILL)
    server.bury()
    assert alive(busy.backend_pid)  # a busy backend does not notice
    with PrivatePostgres(folder) as successor:
        assert kept(successor.url) == [1]
        assert not alive(busy.backend_pid)
    busy.finish()


def test_a_pid_file_that_names_a_foreign_process_stops_nobody(folder: Path) -> None:
    with PrivatePostgres(folder) as server:
        write(server.url, 1)
        text = (folder / "data/postmaster.pid").read_text()
    lines = text.splitlines()
    (folder / "data/postmaster.pid").write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    with PrivatePostgres(folder) as server:
        assert kept(server.url) == [1]


def test_a_half_made_cluster_is_made_anew(folder: Path) -> None:
    folder.mkdir()
    part = folder / "data.part"
    part.mkdir()
    (part / "PG_VERSION").write_text("15\n")
    accounts.give(folder, accounts.service_account(folder))
    with PrivatePostgres(folder) as server:
        write(server.url, 1)
    assert not part.exists()


def test_a_taken_port_is_chosen_anew(folder: Path) -> None:
    other = folder.with_name("other")
    with PrivatePostgres(folder) as server:
        write(server.url, 1)
    with PrivatePostgres(other) as thief:
        pass
    give_port(folder, other)
    with PrivatePostgres(other) as thief, PrivatePostgres(folder) as server:
        assert thief.url.rpartition(":")[2] != server.url.rpartition(":")[2]
        assert kept(server.url) == [1]


def test_redis_survives_a_kill(folder: Path) -> None:
    server = PrivateRedis(folder)
    server.start()
    client = redis.Redis.from_url(server.url)
    client.rpush("queue", "message")
    client.config_set("appendfsync", "always")
    client.rpush("queue", "second")
    client.close()
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    server.bury()
    assert not server.ready()
    server.start()
    client = redis.Redis.from_url(server.url)
    assert client.lrange("queue", 0, -1) == [b"message", b"second"]
    client.close()
    server.stop()


def test_another_server_on_the_port_is_not_taken_for_ours(folder: Path) -> None:
    mine, other = PrivateRedis(folder), PrivateRedis(folder.with_name("other"))
    mine.start()
    other.start()
    mine.stop()
    give_port(other.folder, folder)
    assert not mine.ready()
    other.stop()


def test_a_folder_that_others_cannot_enter_is_no_obstacle(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(mode=0o700)
    elsewhere = folder.with_name("elsewhere")
    monkeypatch.setattr(accounts, "KEPT_ELSEWHERE", elsewhere)
    with attach(folder / "private" / "box") as box:
        write(box.settings.database_url, 1)
    with attach(folder / "private" / "box") as box:
        assert kept(box.settings.database_url) == [1]


def test_lost_server_files_are_not_replaced_by_an_empty_box(folder: Path) -> None:
    folder.mkdir()
    (folder / "services").symlink_to(folder / "gone")
    with pytest.raises(Invalid, match="are gone"), attach(folder):
        pass


def test_a_throw_away_server_removes_its_files(folder: Path) -> None:
    with PrivatePostgres(folder, durable=False) as server:
        write(server.url, 1)
    assert not os.path.lexists(folder)


def test_a_file_in_place_of_the_folder_is_said(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(Invalid, match="cannot be used"), attach(folder):
        pass


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another command that uses the box; it ends when its input does."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_commands_take_turns(folder: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    assert holder.stdin is not None
    url = holder.stdout.readline().strip()
    waiting = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with waiting:
        assert waiting.stderr is not None
        assert f"waiting for process {holder.pid}" in waiting.stderr.readline()
        write(url, 1)
        assert waiting.poll() is None
        holder.stdin.close()
        assert waiting.stdout is not None
        assert waiting.stdout.readline().strip() == url
        assert waiting.wait() == 0
    assert holder.wait() == 0


def test_a_killed_command_takes_its_server_along(
    folder: Path, holder: subprocess.Popen[str]
) -> None:
    assert holder.stdout is not None
    write(holder.stdout.readline().strip(), 1)
    pid = postmaster(folder)
    holder.kill()
    assert wait_until(lambda: not alive(pid), 30)
    with attach(folder) as box:
        assert isinstance(box, Attached)
        assert kept(box.settings.database_url) == [1]
