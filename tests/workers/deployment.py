"""A whole deployment on the CeleryExecutor: what a company would spread over many machines.

On this machine: Postgres for warehouse and metadata, Redis, an S3 server, and Airflow's API server,
scheduler and DAG processor. The workers are machines of their own. They reach the API server,
Redis, the warehouse, S3 and, in GitHub's place, a server with survivoR's files; not the metadata
database, which lets nobody in from there.
"""

from __future__ import annotations

import json
import logging
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from include.environments import NO_TELEMETRY, PROJECT_DIR
from include.local.airflow_home import ADMIN, airflow_environment, prepare_airflow
from include.local.api import AirflowApi, DagRun
from include.local.databases import LocalDatabases
from include.local.postgres import PostgresServer
from include.local.processes import Processes
from include.local.state import State
from include.warehouse.connection import CONNECTION_ID
from tests.unit.ingestion.test_upstream import GitHub
from tests.workers.machines import HIDDEN, HOME, Network, WorkerMachine

DAG = "survivor_medallion_pipeline"
WORKERS = ("worker-a", "worker-b")
QUEUES = ("light", "heavy")
CONCURRENCY = 2
AIRFLOW = [sys.executable, "-m", "airflow"]
BUCKET = "gamebot"
STORE = "artifacts"
START_TIMEOUT = 300

# What is set here is what docs/workers.md measures.
HEARTBEAT_TIMEOUT = 30
DETECTION_INTERVAL = 5


@dataclass(frozen=True)
class Try:
    """One try of one task."""

    task_id: str
    number: int
    worker: str
    state: str
    started: datetime
    ended: datetime
    key: str


@dataclass
class Deployment:
    """What runs, and how to reach it."""

    state: State
    network: Network
    databases: LocalDatabases
    broker: str
    common: Mapping[str, str]
    """Environment variables that all of Airflow's processes share."""
    api: AirflowApi
    workers: dict[str, WorkerMachine] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def started(cls, folder: Path, files: dict[str, bytes]) -> Iterator[Deployment]:
        """Start everything; `files` are survivoR's."""
        state = State(folder)
        state.create()
        with ExitStack() as stack:
            network = stack.enter_context(Network.laid(folder.stat().st_ino))
            databases = _start_databases(state, network, stack)
            broker = _start_redis(state, network, stack)
            store = _start_s3(network, stack)
            github = _start_github(network, files, stack)
            port = _free_port(network.address)
            url = f"http://{network.address}:{port}"
            warehouse = databases.pipeline.model_copy(update={"host": network.address})
            common = {
                **NO_TELEMETRY,
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
                "AIRFLOW__CELERY__BROKER_URL": f"{broker}/0",
                "AIRFLOW__CELERY__RESULT_BACKEND": f"{broker}/1",
                "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
                "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{BUCKET}/logs",
                "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": STORE,
                f"AIRFLOW_CONN_{STORE.upper()}": store,
                f"AIRFLOW_CONN_{CONNECTION_ID.upper()}": warehouse.as_airflow_connection(),
                "GAMEBOT_ARTIFACTS_URL": f"s3://{STORE}@{BUCKET}/artifacts",
                "GAMEBOT_UPSTREAM_API_URL": f"{github}/api",
                "GAMEBOT_UPSTREAM_RAW_URL": f"{github}/raw",
                "GAMEBOT_RETRY_SECONDS": "5",
                "GAMEBOT_QUEUE": QUEUES[0],
                "GAMEBOT_HEAVY_QUEUE": QUEUES[1],
            }
            api = AirflowApi(url, ADMIN, state.secrets()["airflow_admin"])
            deployment = cls(state, network, databases, broker, common, api)
            deployment._start_airflow(port, stack)
            for number, name in enumerate(WORKERS, 1):
                deployment.workers[name] = WorkerMachine(
                    name, number, network, _image(state), state.logs / f"{name}.log"
                )
                stack.callback(deployment._switch_off, name)
                deployment.switch_on(name)
            for name in WORKERS:
                deployment.wait_for_worker(name)
            yield deployment

    def switch_on(self, name: str) -> None:
        """Start a worker with what any deployment would give it."""
        environment = {
            **self.common,
            "AIRFLOW_HOME": f"{HOME}/airflow",
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_DIR / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_DIR / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            # Nobody listens there: a worker that asked the metadata database would fail.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://nobody@127.0.0.1:9/none",
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(CONCURRENCY),
            "AIRFLOW__COSMOS__ENABLE_TELEMETRY": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "GAMEBOT_MANIFEST_DIR": str(self.state.manifest),
            "PYTHONPATH": str(PROJECT_DIR),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        machine = self.workers[name]
        machine.log.unlink(missing_ok=True)
        command = [*AIRFLOW, "celery", "worker", "--skip-serve-logs", "--queues", ",".join(QUEUES)]
        machine.switch_on(command, environment)

    def wait_for_worker(self, name: str) -> None:
        """Wait until a worker takes messages."""
        machine = self.workers[name]
        wait_until(
            lambda: " ready." in said(machine.log) or not machine.is_on,
            START_TIMEOUT,
            lambda: said(machine.log)[-3000:],
        )
        assert machine.is_on, said(machine.log)[-3000:]

    def trigger(self, **params: Any) -> DagRun:
        """Start a run of the pipeline."""
        return self.api.trigger(DAG, {"source": "upstream", **params})

    def state_of(self, run: DagRun) -> str:
        """Return a run's state, from the database: asked often, it is not to cost much."""
        return str(
            self._metadata("select state from dag_run where run_id = %s", run.dag_run_id)[0][0]
        )

    def tries(self, run: DagRun) -> list[Try]:
        """Return every try of every task that ran, in the order in which they began."""
        columns = "task_id, try_number, hostname, state, start_date, end_date"
        # What Airflow runs as part of scheduling has no worker.
        rows = self._metadata(
            f"""
            select {columns}, id::text from task_instance where run_id = %s and hostname <> ''
            union all
            select {columns}, task_instance_id::text from task_instance_history
            where run_id = %s and hostname <> ''
            order by 5
            """,
            run.dag_run_id,
            run.dag_run_id,
        )
        return [Try(*row) for row in rows]

    def log(self, run: DagRun, task_id: str, number: int) -> str:
        """Return the log of a try as the UI shows it."""
        path = (
            f"/api/v2/dags/{run.dag_id}/dagRuns/{run.dag_run_id}"
            f"/taskInstances/{task_id}/logs/{number}"
        )
        return json.dumps(self.api._get(path, full_content=True))

    def warehouse(self, query: str, *parameters: Any) -> list[tuple]:
        """Ask the warehouse as a superuser."""
        with self.databases.server.settings("warehouse").connect() as connection:
            return connection.execute(query, parameters).fetchall()  # type: ignore[arg-type]

    def schemas(self) -> set[str]:
        """Return the schemas of the warehouse."""
        return {name for (name,) in self.warehouse("select nspname from pg_namespace")}

    def _metadata(self, query: str, *parameters: Any) -> list[tuple]:
        with self.databases.airflow.connect() as connection:
            return connection.execute(query, parameters).fetchall()  # type: ignore[arg-type]

    def deliver_again(self) -> int:
        """Deliver every message that no worker has acknowledged, as Redis does after a time out."""
        import kombu

        with kombu.Connection(f"{self.broker}/0") as connection:
            channel = connection.channel()
            with channel.conn_or_acquire() as redis:
                tags = [tag.decode() for tag in redis.hkeys(channel.unacked_key)]
            for tag in tags:
                channel.qos.restore_by_tag(tag)
        return len(tags)

    def _start_airflow(self, port: int, stack: ExitStack) -> None:
        prepare_airflow(self.state, self.databases)
        environment = {
            **airflow_environment(self.state, self.databases, port),
            **self.common,
            "AIRFLOW__API__HOST": self.network.address,
            "AIRFLOW__API__BASE_URL": f"http://{self.network.address}:{port}",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": str(
                DETECTION_INTERVAL
            ),
        }
        made = subprocess.run(
            [sys.executable, "-m", "include.transformation.manifest"],
            env=environment,
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        # As in the image: there, and read by every user. It may have been found in another folder.
        manifest = self.state.manifest / Path(made.stdout.strip()).name
        if not manifest.exists():
            shutil.copy(made.stdout.strip(), manifest)
        manifest.chmod(0o644)
        self.state.manifest.chmod(0o755)
        processes = Processes(self.state.folder / "processes.json", self.state.logs)
        stack.callback(processes.stop)
        for name, command in {
            "api-server": ["api-server"],
            "scheduler": ["scheduler", "--skip-serve-logs"],
            "dag-processor": ["dag-processor"],
        }.items():
            processes.start(name, [*AIRFLOW, *command], environment, self.state.airflow_home)
        names = ("api-server", "scheduler", "dag-processor")
        wait_until(
            lambda: (
                set(names) > set(processes.running())
                or (self.api.is_healthy(("scheduler", "dag_processor")) and self.api.dag(DAG))
            ),
            START_TIMEOUT,
            lambda: "\n".join(said(processes.log(name))[-2000:] for name in names),
        )
        for name in set(names) - set(processes.running()):
            raise AssertionError(f"{name} ended: {said(processes.log(name))[-3000:]}")
        self.api.warm_up()

    def _switch_off(self, name: str) -> None:
        if self.workers[name].is_on:
            self.workers[name].kill()


@dataclass
class Peak:
    """The most that a task used at one moment."""

    memory: int = 0
    disk: int = 0


class Gauge:
    """Measures, twice a second, what each task uses: memory of its processes, bytes in /tmp."""

    def __init__(self, deployment: Deployment) -> None:
        """Describe it; `with` makes it measure."""
        self.peaks: dict[str, Peak] = {}
        self.idle = 0
        self._deployment = deployment
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> Gauge:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _measure(self) -> None:
        while not self._over.wait(0.5):
            for machine in self._deployment.workers.values():
                with suppress(psycopg.Error):
                    self._look_at(machine)

    def _look_at(self, machine: WorkerMachine) -> None:
        tasks: dict[str, int] = {}
        whole = 0
        processes = machine.processes()
        parents = {}
        for process in processes:
            with suppress(Exception):
                parents[process.pid] = (process.ppid(), " ".join(process.cmdline()))
        memory = {process.pid: proportional_memory(process.pid) for process in processes}
        for pid, size in memory.items():
            whole += size
            ancestor: int | None = pid
            while ancestor in parents:
                parent, title = parents[ancestor]
                if title.startswith("airflow worker -- "):
                    key = title.removeprefix("airflow worker -- ").strip()
                    tasks[key] = tasks.get(key, 0) + size
                    break
                ancestor = parent
        disk = machine.temporary_bytes()
        for key, size in tasks.items():
            peak = self.peaks.setdefault(key, Peak())
            peak.memory = max(peak.memory, size)
            peak.disk = max(peak.disk, disk)
        if processes and not tasks:
            self.idle = max(self.idle, whole)


def proportional_memory(pid: int) -> int:
    """Return a process's memory, with its share of what several share, in bytes."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def wait_until(
    holds: Callable[[], object],
    seconds: float,
    explain: Callable[[], str] = lambda: "it did not come to that in time",
    pause: float = 0.5,
) -> None:
    """Wait, and fail with an explanation when it takes too long."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, explain()
        time.sleep(pause)


def said(log: Path) -> str:
    """Return what a program has printed so far."""
    return log.read_text(errors="replace") if log.exists() else ""


def _image(state: State) -> list[Path]:
    """Return the folders that a worker's image would hold, some of which are hidden otherwise."""
    python = Path(sys.base_prefix)
    inside = python.is_relative_to("/") and any(python.is_relative_to(hidden) for hidden in HIDDEN)
    return [PROJECT_DIR, state.manifest, *([python] if inside else [])]


def _start_databases(state: State, network: Network, stack: ExitStack) -> LocalDatabases:
    passwords = state.secrets()
    server = PostgresServer(
        state.postgres,
        passwords["postgres_superuser"],
        {"listen_addresses": f"127.0.0.1,{network.address}", "fsync": "off"},
    )
    databases = LocalDatabases(server, passwords)
    stack.callback(server.stop)
    databases.start()
    with (server.data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host warehouse all {network.subnet}.0/24 scram-sha-256\n")
    with server.settings().connect() as connection:
        connection.execute("select pg_reload_conf()")
    return databases


def _start_redis(state: State, network: Network, stack: ExitStack) -> str:
    password, port = secrets.token_urlsafe(16), _free_port(network.address)
    settings = {
        "bind": network.address,
        "port": port,
        "requirepass": password,
        "save": '""',
        "dir": state.folder,
    }
    with (state.logs / "redis.log").open("wb") as output:
        redis = subprocess.Popen(
            # Its settings on stdin: a password does not belong among arguments.
            ["redis-server", "-"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    assert redis.stdin is not None
    redis.stdin.write("".join(f"{name} {value}\n" for name, value in settings.items()).encode())
    redis.stdin.close()
    stack.callback(redis.wait)
    stack.callback(redis.send_signal, signal.SIGTERM)
    return f"redis://:{password}@{network.address}:{port}"


def _start_s3(network: Network, stack: ExitStack) -> str:
    import boto3
    from moto.server import ThreadedMotoServer

    # It tells of every request.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(network.address, port=0, verbose=False)
    server.start()
    stack.callback(server.stop)
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    # It lets everybody in.
    session = boto3.Session(BUCKET, BUCKET, region_name="us-east-1")
    client = session.client("s3", endpoint_url=url)
    client.create_bucket(Bucket=BUCKET)
    return json.dumps(
        {
            "conn_type": "aws",
            "login": BUCKET,
            "password": BUCKET,
            "extra": {"endpoint_url": url, "region_name": "us-east-1"},
        }
    )


def _start_github(network: Network, files: dict[str, bytes], stack: ExitStack) -> str:
    server = GitHub(files, network.address)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return server.url


def _free_port(address: str) -> int:
    import socket

    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
