"""Airflow's configuration for the local stack: environment variables and nothing else.

What Airflow reads is decided here and by the state folder, never by an airflow.cfg or by AIRFLOW__*
variables that belong to another project on the same machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from include.environments import NO_TELEMETRY
from include.local.databases import LocalDatabases
from include.local.state import State, password_of_user, write_atomically
from include.transformation.manifest import graph_path
from include.warehouse.connection import CONNECTION_VARIABLE, ConnectionSettings

ADMIN = "admin"
USERS_VARIABLE = "GAMEBOT_USERS"

# Each role may do what those before it may; without one a user may sign in and see nothing.
ROLES = ("", "viewer", "user", "op", "admin")
USER = re.compile(r"([A-Za-z0-9_.-]+):(\w*)")

# Two tasks wait for each other nowhere, and on a laptop more at once only makes each slower.
PARALLELISM = 4

# What would change whom our processes connect to, or which code and defaults they use.
FOREIGN_PREFIXES = ("AIRFLOW", "GAMEBOT_", "DB_", "PG", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")

# The settings of the pipeline that are also the local Airflow's. `make run` passes on source and
# target layer itself; kept here, they would make it restart an Airflow that `make up` started.
KEPT = (
    "AIRFLOW_CONN_SLACK_DEFAULT",
    "AIRFLOW_CONN_SMTP_DEFAULT",
    "AIRFLOW__OPENLINEAGE__NAMESPACE",
    "AIRFLOW__OPENLINEAGE__TRANSPORT",
    "GAMEBOT_ALERT_EMAILS",
    "GAMEBOT_ALERT_SLACK_CONN_ID",
    "GAMEBOT_DBT_ENV",
    "GAMEBOT_DEADLINE_MINUTES",
    "GAMEBOT_QUALITY_ENV",
    "GAMEBOT_RETRY_SECONDS",
    "GAMEBOT_SCHEDULE",
    "GAMEBOT_UPSTREAM_API_URL",
    "GAMEBOT_UPSTREAM_RAW_URL",
)

# What a running Airflow must be restarted to notice: its configuration, and how tasks reach GitHub
# and the package index.
DECISIVE_PREFIXES = (
    "AIRFLOW",
    "GAMEBOT_",
    "GITHUB_TOKEN",
    "PIP_INDEX_URL",
    "SSL_CERT_",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
)
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


class AirflowError(RuntimeError):
    """Airflow did not do what was asked; the message says what and where its log is."""


def own_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment without what other projects left in it."""
    return {
        name: value
        for name, value in environ.items()
        if name in KEPT or not name.startswith(FOREIGN_PREFIXES)
    }


def airflow_environment(state: State, databases: LocalDatabases, api_port: int) -> dict[str, str]:
    """Return the complete environment of Airflow's processes.

    Raises:
        AirflowError: `GAMEBOT_USERS` names no users.
    """
    secrets = state.secrets()
    url = f"http://127.0.0.1:{api_port}"
    options: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": state.checkout / "dags",
            "plugins_folder": state.checkout / "plugins",
            "load_examples": False,
            "dags_are_paused_at_creation": False,
            "executor": "LocalExecutor",
            "parallelism": PARALLELISM,
            # The SQL of the longest model, which a page shows, is half as long.
            "max_templated_field_length": 65_536,
            "execution_api_server_url": f"{url}/execution/",
            "fernet_key": secrets["airflow_fernet_key"],
            "simple_auth_manager_users": ",".join(
                f"{user}:{role}" for user, role in roles().items()
            ),
            "simple_auth_manager_passwords_file": passwords_file(state),
            # A name that needs no resolver: some machines take seconds to look themselves up.
            "hostname_callable": "socket.gethostname",
            "min_serialized_dag_update_interval": 5,
        },
        "database": {"sql_alchemy_conn": _database_url(databases.airflow)},
        "api": {
            "host": "127.0.0.1",
            "port": api_port,
            "base_url": url,
            "secret_key": secrets["airflow_api_secret_key"],
            "instance_name": "gamebot (local)",
        },
        "api_auth": {"jwt_secret": secrets["airflow_jwt_secret"]},
        "scheduler": {
            "scheduler_idle_sleep_time": 0.2,
            # A task whose process died with the machine is noticed within a minute.
            "task_instance_heartbeat_timeout": 60,
        },
        "dag_processor": {"refresh_interval": 10, "parsing_processes": 1},
        "logging": {
            "base_log_folder": state.logs / "tasks",
            "dag_processor_child_process_log_directory": state.logs / "dag_processor",
            "colored_console_log": False,
        },
        "usage_data_collection": {"enabled": False},
        "cosmos": {
            # Its default is one folder for all users of the machine, writable by the first.
            "cache_dir": state.folder / "cosmos",
            "enable_telemetry": False,
            "enable_memory_optimised_imports": True,
        },
    }
    environment = {
        **own_environment(),
        **NO_TELEMETRY,
        **databases.pipeline.as_environment(),
        **{
            f"AIRFLOW__{section}__{option}".upper(): str(value)
            for section, values in options.items()
            for option, value in values.items()
        },
        "AIRFLOW_HOME": str(state.airflow_home),
        CONNECTION_VARIABLE: databases.pipeline.as_airflow_connection(),
        "GAMEBOT_ARTIFACTS_URL": state.artifacts.as_uri(),
        "GAMEBOT_MANIFEST_DIR": str(state.manifest),
        "PYTHONPATH": str(state.checkout),
        # Nothing is written into the checkout. Installed packages have their bytecode already.
        "PYTHONDONTWRITEBYTECODE": "1",
        # macOS ends forked processes that asked it about proxies or other Objective-C matters.
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
    }
    return environment | _without_proxy_for_ourselves(environment)


def roles(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the role of every user of this Airflow: the admin, and those of `GAMEBOT_USERS`.

    Raises:
        AirflowError: the variable is no list of `name:role`.
    """
    found = {ADMIN: "admin"}
    for entry in environ.get(USERS_VARIABLE, "").replace(",", " ").split():
        match = USER.fullmatch(entry)
        if not match or match[2] not in ROLES or match[1] in found:
            raise AirflowError(
                f"{USERS_VARIABLE} has the entry {entry!r}. Write each user once, as name:role "
                f"with a role of {', '.join(ROLES[1:])}, and commas between them; {ADMIN} is there "
                "already."
            )
        found[match[1]] = match[2]
    return found


def passwords(state: State) -> dict[str, str]:
    """Return the password of every user; a new user's is made and kept, as the admin's was."""
    further = [user for user in roles() if user != ADMIN]
    secrets = state.secrets(users=further)
    return {ADMIN: secrets["airflow_admin"]} | {
        user: secrets[password_of_user(user)] for user in further
    }


def passwords_file(state: State) -> str:
    """Return where Airflow looks for the passwords of its users."""
    return str(state.airflow_home / "passwords.json")


def prepare_airflow(state: State, databases: LocalDatabases) -> bool:
    """Bring Airflow's home and database up to date; returns whether there was something to do.

    Raises:
        AirflowError: the migration failed; the message holds its last lines.
    """
    write_atomically(Path(passwords_file(state)), json.dumps(passwords(state)), mode=0o600)
    # A new database or another Airflow needs a migration, which takes seconds even if all is well.
    needed = f"{version('apache-airflow')} in {_identity(databases)}\n"
    stamp = state.airflow_home / "migrated"
    if stamp.exists() and stamp.read_text() == needed:
        return False
    migration = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=airflow_environment(state, databases, api_port=8080),
        cwd=state.airflow_home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if migration.returncode:
        raise AirflowError(f"`airflow db migrate` failed:\n{migration.stdout[-3000:]}")
    write_atomically(stamp, needed)
    return True


def prepare_manifest(state: State) -> Path:
    """Return the dbt manifest that the DAG is drawn from, making it when the models changed.

    Raises:
        CommandFailed: dbt cannot parse the project; the message holds dbt's own.
    """
    os.environ["GAMEBOT_MANIFEST_DIR"] = str(state.manifest)
    return graph_path()


def _identity(databases: LocalDatabases) -> str:
    with databases.airflow.connect() as connection:
        row = connection.execute("select system_identifier from pg_control_system()").fetchone()
    return str(row[0]) if row else ""


def _database_url(settings: ConnectionSettings) -> str:
    login = f"{settings.user}:{quote(settings.password.get_secret_value(), safe='')}"
    return f"postgresql+psycopg2://{login}@{settings.host}:{settings.port}/{settings.dbname}"


def _without_proxy_for_ourselves(environ: Mapping[str, str]) -> dict[str, str]:
    proxied = any(environ.get(name) or environ.get(name.upper()) for name in PROXIES)
    exempt = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    value = ",".join(filter(None, [exempt, "127.0.0.1", "localhost"])) if proxied else "*"
    return {"NO_PROXY": value, "no_proxy": value}


def configuration_key(environment: Mapping[str, str]) -> str:
    """Return a short hash that changes when Airflow must be restarted to see new settings."""
    settings = sorted(
        (name, value)
        for name, value in environment.items()
        if name.startswith(DECISIVE_PREFIXES) or name.lower() in (*PROXIES, "no_proxy")
    )
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
