"""The containers of `astro dev start`, with the project's override and settings, run the pipeline.

The project is mounted so that nothing can write into it, and every container runs as uid 50000.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from include.local.api import AirflowApi, DagRun
from tests.astro.cli import import_settings, services
from tests.astro.compose import Stack, merged
from tests.astro.images import PROJECT, machine_settings, postgres_image, project_name
from tests.astro.podman import inspect, podman

DAG = "survivor_medallion_pipeline"
AIRFLOW = ("scheduler", "dag-processor", "api-server", "triggerer")
RUN_TIMEOUT = 900
IN_CONTAINER = "/survivor"


def free_port(wanted: int) -> int:
    """Return this port, or another one where it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise AssertionError("no free port")


def git_status() -> str:
    """Return what differs from the commit; files that git ignores could be written too."""
    command = ["git", "-c", f"safe.directory={PROJECT}", "status", "--porcelain", "--ignored"]
    return subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {"api": free_port(8080), "warehouse": free_port(5433)}


@pytest.fixture(scope="module")
def source(request: pytest.FixtureRequest) -> Path | None:
    """A folder of upstream's files; without one the snapshot from the registry must do."""
    try:
        return sorted(request.getfixturevalue("survivor_snapshots").glob("????-??-??"))[-1]
    except pytest.skip.Exception:
        return None


@pytest.fixture(scope="module")
def stack(
    image: str, env_file: Path, ports: dict[str, int], source: Path | None
) -> Iterator[Stack]:
    """`astro dev start`, as far as its containers go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAREHOUSE_HOST_PORT", str(ports["warehouse"]))
        base = services(image, "docker.io/postgres:17", PROJECT, ports["api"])
        found, volumes = merged(base, PROJECT / "docker-compose.override.yml")
    for service in found.values():
        if "postgres" in service["image"]:
            postgres_image(service["image"])
    stack = Stack(project_name(), found, env_file, volumes)
    before = git_status()
    stack.create()
    try:
        stack.start("postgres")
        stack.start("warehouse")
        stack.start("db-migration", detach=False)
        with machine_settings() as registry:
            data = [f"--volume={source}:{IN_CONTAINER}:ro"] if source else registry
            for name in AIRFLOW:
                stack.start(name, *(data if name == "scheduler" else []))
            yield stack
    finally:
        for name in found:
            print(f"== {name}\n{stack.log(name)}")
        stack.kill()
    assert git_status() == before, "the run left something in the checkout"


@pytest.fixture(scope="module")
def url(ports: dict[str, int]) -> str:
    return f"http://127.0.0.1:{ports['api']}"


@pytest.fixture(scope="module")
def settings(stack: Stack, url: str) -> list[tuple[str, int]]:
    """What Airflow answered to airflow_settings.yaml."""
    return import_settings(url, PROJECT / "airflow_settings.yaml")


@pytest.fixture(scope="module")
def api(settings: list[tuple[str, int]], url: str) -> AirflowApi:
    return AirflowApi(url, "admin", "admin")


@pytest.fixture(scope="module")
def finished(stack: Stack, api: AirflowApi, source: Path | None) -> DagRun:
    """A run of the pipeline, from the switch in the UI to its end."""
    deadline = time.monotonic() + RUN_TIMEOUT
    while api.dag(DAG) is None:
        assert time.monotonic() < deadline, f"no DAG:\n{stack.log('dag-processor')}"
        time.sleep(1)
    api._request("PATCH", f"/api/v2/dags/{DAG}", json={"is_paused": False})
    conf: dict[str, Any] = {"source": "snapshot"}
    if source:
        conf = {"source": "directory", "source_dir": IN_CONTAINER}
    run = api.trigger(DAG, conf)
    while not (run := api.run(DAG, run.dag_run_id)).finished:
        assert time.monotonic() < deadline, f"still {run.state}"
        time.sleep(2)
    return run


def test_settings_are_taken_the_first_time_and_every_other_time(
    settings: list[tuple[str, int]], url: str
) -> None:
    """The CLI writes the file at every start, and ends at the first entry that is refused."""
    assert dict(settings) == {"pools/warehouse": 201, "connections/survivor_postgres": 201}
    again = import_settings(url, PROJECT / "airflow_settings.yaml")
    assert dict(again) == {"pools/warehouse": 200, "connections/survivor_postgres": 200}


def test_every_service_is_healthy(api: AirflowApi, finished: DagRun) -> None:
    assert api.is_healthy(("scheduler", "dag_processor", "triggerer"))


def failures(stack: Stack) -> str:
    """Return the ends of the logs of all tries, to read what failed."""
    command = "tail --lines=15 $(find /usr/local/airflow/logs -name 'attempt=*.log') | cut -c1-600"
    return stack.execute("scheduler", "bash", "-c", command)


def test_the_pipeline_publishes_a_release(stack: Stack, api: AirflowApi, finished: DagRun) -> None:
    tasks = {task.task_id: task.state for task in api.task_instances(finished)}
    assert finished.state == "success", f"{tasks}\n{failures(stack)}"
    assert tasks["publish_release"] == "success"
    print(f"run: {finished.end_date - finished.start_date}")  # type: ignore[operator]


def test_readers_outside_see_the_release_at_the_port_of_this_machine(
    finished: DagRun, ports: dict[str, int]
) -> None:
    """The service's own name is for the containers; psql and BI tools use localhost."""
    with psycopg.connect(
        host="localhost", port=ports["warehouse"], user="gamebot", password="gamebot-dev",
        dbname="warehouse",
    ) as connection:  # fmt: skip
        row = connection.execute("select count(*) from gold.ml_features_non_edit").fetchone()
        assert row and row[0] > 1400
        states = connection.execute("select distinct state from ops.releases").fetchall()
        assert states == [("published",)]


@pytest.mark.parametrize("name", AIRFLOW)
def test_airflow_runs_as_the_user_of_the_image_on_a_project_that_it_cannot_write(
    stack: Stack, finished: DagRun, name: str
) -> None:
    who = stack.execute(name, "id", "-u").strip()
    assert who == "50000"
    mounts = {mount["Destination"]: mount for mount in inspect(stack.container(name))["Mounts"]}
    assert mounts["/usr/local/airflow/include"]["RW"] is False
    assert mounts["/usr/local/airflow/dags"]["RW"] is False


def test_the_manifest_of_the_image_drew_the_dag(stack: Stack, finished: DagRun) -> None:
    """The checkout is the image's, so no process may have started dbt to draw it."""
    for name in ("dag-processor", "scheduler"):
        made = stack.execute(name, "find", "/tmp", "/usr/local/gamebot/dbt", "-name", "manifest-*")
        assert made.count("manifest-") == 1 and made.startswith("/usr/local/gamebot/dbt")


def test_pages_of_the_run_are_in_the_volume_that_the_api_server_sees(
    stack: Stack, finished: DagRun
) -> None:
    listing = stack.execute("api-server", "find", "/usr/local/gamebot/artifacts", "-name", "*.html")
    assert "/releases/1/" in listing


def test_the_models_docs_are_in_the_ui(stack: Stack, finished: DagRun, url: str) -> None:
    page = httpx.get(f"{url}/cosmos/survivor/dbt_docs_index.html", trust_env=False)
    assert page.status_code == 200
    assert "ml_features_non_edit" in page.text


def test_the_warehouse_comes_back_from_the_backup_of_the_docs(
    stack: Stack, finished: DagRun, tmp_path: Path
) -> None:
    """`astro dev kill` deletes the volume; the commands are those of docs/astro.md."""
    commands = {
        "roles.sql": ["pg_dumpall", "--roles-only"],
        "warehouse.dump": ["pg_dump", "--format", "custom", "warehouse"],
    }
    docs = (PROJECT / "docs" / "astro.md").read_text(encoding="utf-8")
    for name, (program, *options) in commands.items():
        assert f"{program} --username gamebot {' '.join(options)} > {name}" in docs
        stack.execute("warehouse", program, "--username=gamebot", *options, f"--file=/tmp/{name}")
        podman("cp", f"{stack.container('warehouse')}:/tmp/{name}", tmp_path)

    podman("rm", "--force", stack.container("warehouse"))
    podman("volume", "rm", f"{stack.project}_warehouse_data")
    stack.start("warehouse")
    stack.wait_until_healthy("warehouse")
    for name in commands:
        podman("cp", tmp_path / name, f"{stack.container('warehouse')}:/tmp/")
    stack.execute("warehouse", "psql", "--username=gamebot", "--file=/tmp/roles.sql", "warehouse")
    stack.execute(
        "warehouse", "pg_restore", "--username=gamebot", "--dbname=warehouse", "--exit-on-error",
        "/tmp/warehouse.dump",
    )  # fmt: skip
    rows = stack.execute(
        "warehouse", "psql", "--username=gamebot", "--tuples-only", "--no-align", "warehouse",
        "--command=set role gamebot_reader; select count(*) from gold.ml_features_non_edit",
    )  # fmt: skip
    assert int(rows.split()[-1]) > 1400
