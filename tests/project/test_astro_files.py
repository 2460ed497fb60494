"""The files that make this an Astro project, held to the rules that the Astro CLI applies.

The CLI reports few of its complaints: a settings file that it cannot read is skipped without a
word, a pool without slots is left out, a service named like one of Airflow's is taken for it. So
the rules are checked here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.local.cli import WAREHOUSE_PORT

CONNECTION_KEYS = {
    "conn_id": str,
    "conn_type": str,
    "conn_host": str,
    "conn_schema": str,
    "conn_login": str,
    "conn_password": str,
    "conn_port": int,
    "conn_uri": str,
    "conn_extra": str,
}
POOL_KEYS = {"pool_name": str, "pool_slot": int, "pool_description": str}
VARIABLE_KEYS = {"variable_name": str, "variable_value": str}

# The CLI finds its own containers by these parts of their names.
CLI_CONTAINERS = (
    "postgres",
    "scheduler",
    "api-server",
    "triggerer",
    "dag-processor",
    "webserver",
)
CLI_SERVICES = {"postgres", "db-migration", *CLI_CONTAINERS[1:5]}


@pytest.fixture(scope="module")
def settings(project: Path) -> dict[str, list[dict[str, Any]]]:
    """The content of airflow_settings.yaml."""
    content = yaml.safe_load((project / "airflow_settings.yaml").read_text())
    assert set(content) == {"airflow"}
    return content["airflow"]


@pytest.fixture(scope="module")
def compose(project: Path) -> dict[str, Any]:
    """The content of docker-compose.override.yml."""
    return yaml.safe_load((project / "docker-compose.override.yml").read_text())


def test_the_project_has_every_file_of_an_astro_project(project: Path) -> None:
    """Docker makes a missing mount source itself, as root; the CLI fails on a missing list."""
    expected = [
        ".astro/config.yaml",
        ".astro/dag_integrity_exceptions.txt",
        ".astro/test_dag_integrity_default.py",
        ".dockerignore",
        ".env.example",
        ".gitignore",
        "Dockerfile",
        "LICENSE",
        "Makefile",
        "NOTICE",
        "README.md",
        "airflow_settings.yaml",
        "dags/.airflowignore",
        "docker-compose.override.yml",
        "include/__init__.py",
        "packages.txt",
        "plugins",
        "requirements.txt",
        "tests/dags",
    ]
    assert [name for name in expected if not (project / name).exists()] == []


def test_every_folder_that_the_dev_stack_mounts_is_in_the_repository(
    project: Path, project_files: list[Path]
) -> None:
    """Git keeps no empty folder, and Docker would make it in a fresh clone: as root's."""
    folders = {file.relative_to(project).parts[0] for file in project_files}
    assert {"dags", "plugins", "include", "tests"} <= folders


def test_project_name_is_one_that_the_cli_takes_and_never_confuses(project: Path) -> None:
    """Every container's name begins with the project's name."""
    config = yaml.safe_load((project / ".astro/config.yaml").read_text())
    name = config["project"]["name"]
    assert re.fullmatch(r"(?i)[a-z0-9]([a-z0-9_-]*[a-z0-9])", name)
    assert not [part for part in CLI_CONTAINERS if part in name]


def test_cli_leaves_requirements_alone_and_its_database_version_is_ours(project: Path) -> None:
    """`astro dev start` otherwise edits requirements.txt while it builds."""
    config = yaml.safe_load((project / ".astro/config.yaml").read_text())
    assert config["disable_astro_run"] is True
    assert re.fullmatch(r"\d+(\.\d+)*", config["postgres"]["tag"])


def test_dockerfile_starts_with_a_runtime_tag_that_fixes_airflow_and_python(project: Path) -> None:
    """The CLI reads the first FROM; dbt 1.11 fails on the Python that an open tag would bring."""
    lines = (project / "Dockerfile").read_text().splitlines()
    instructions = [line for line in lines if line.strip() and not line.startswith("#")]
    assert re.fullmatch(
        r"FROM astrocrpublic\.azurecr\.io/runtime:3\.\d+-\d+-python-3\.1[123]", instructions[0]
    )
    assert sum(line.startswith("FROM ") for line in instructions) == 1
    users = [line.split()[1] for line in instructions if line.startswith("USER ")]
    assert users[-1] == "astro", "the image must not run as root"


def test_dockerfile_takes_no_secret_and_nothing_from_the_internet_by_itself(project: Path) -> None:
    """What a build is given as an argument can be read in the history of the image."""
    lines = (project / "Dockerfile").read_text().splitlines()
    assert not [line for line in lines if line.startswith(("ARG ", "ADD ", "COPY "))]
    assert not [line for line in lines if re.search(r"TOKEN|PASSWORD|SECRET|_CONN_|://", line)
                and "file:///" not in line]  # fmt: skip


def test_packages_are_names_alone(project: Path) -> None:
    """A file with only a comment makes each build ask Debian's servers for nothing."""
    for line in (project / "packages.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.+-]+(=\S+)?", line), line


@pytest.mark.parametrize(
    ("section", "keys"),
    [("connections", CONNECTION_KEYS), ("pools", POOL_KEYS), ("variables", VARIABLE_KEYS)],
)
def test_airflow_settings_have_the_keys_and_types_that_the_cli_reads(
    settings: dict[str, list[dict[str, Any]]], section: str, keys: dict[str, type]
) -> None:
    """The CLI passes over a key that it does not know, and over everything after a type error."""
    for entry in settings[section]:
        for key, value in entry.items():
            assert key in keys, f"{section}: the CLI does not know {key}"
            assert type(value) is keys[key], f"{section}: {key} must be {keys[key].__name__}"


def test_airflow_settings_hold_values_that_the_api_takes(
    settings: dict[str, list[dict[str, Any]]],
) -> None:
    """One refused entry ends the import; a pool or variable without value is left out unsaid."""
    assert set(settings) == {"connections", "pools", "variables"}
    for section, name in (("connections", "conn_id"), ("pools", "pool_name")):
        names = [entry[name] for entry in settings[section]]
        assert len(names) == len(set(names)), f"{section}: the last of a name wins"
    for connection in settings["connections"]:
        assert re.fullmatch(r"[\w.-]+", connection["conn_id"])
        assert isinstance(json.loads(connection.get("conn_extra", "{}")), dict)
        assert connection.get("conn_type") and "conn_uri" not in connection, "the parts or the URI"
    assert all(pool["pool_slot"] > 0 for pool in settings["pools"])
    assert all(variable["variable_value"] for variable in settings["variables"])


def test_override_adds_services_that_the_cli_can_start_and_never_confuses(
    compose: dict[str, Any],
) -> None:
    """`astro dev start` passes no build options, and its network is called airflow."""
    own = {name: it for name, it in compose["services"].items() if name not in CLI_SERVICES}
    assert set(own) == {"warehouse"}
    for name, service in own.items():
        assert "build" not in service
        assert re.search(r":\d", service["image"]), f"{name}: the image needs a version"
        assert service["networks"] == ["airflow"]
        assert "healthcheck" in service
        assert not [part for part in CLI_CONTAINERS if part in name]
    assert "networks" not in compose, "the network is declared by the CLI"


def test_override_publishes_the_warehouse_beside_airflows_database(compose: dict[str, Any]) -> None:
    """Port 5432 of this machine is Airflow's own database; nothing is open to the network."""
    assert compose["services"]["warehouse"]["ports"] == [
        f"127.0.0.1:${{WAREHOUSE_HOST_PORT:-{WAREHOUSE_PORT}}}:5432"
    ]


def test_override_substitutes_only_with_a_default_and_only_in_text(project: Path) -> None:
    """The CLI substitutes from the process's environment alone: .env does not count."""
    text = (project / "docker-compose.override.yml").read_text()
    used = re.findall(r"\$\{?[^}\s]*\}?", text)
    assert used, "WAREHOUSE_HOST_PORT should be found"
    assert [it for it in used if not re.fullmatch(r"\$\{[A-Z_]+:-[^}]+\}", it)] == []


def test_override_declares_the_volumes_that_it_mounts(compose: dict[str, Any]) -> None:
    """An undeclared name would be a folder of this machine, made by Docker as root."""
    mounted = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
    }
    assert mounted == set(compose["volumes"])


def test_warehouse_keeps_its_data_where_its_image_writes_them(compose: dict[str, Any]) -> None:
    """The images since 18 write elsewhere: the volume would stay empty, and the data go."""
    service = compose["services"]["warehouse"]
    version = re.fullmatch(r"docker\.io/postgres:(\d+)(\.\d+)?", service["image"])
    assert version and int(version[1]) <= 17
    assert service["volumes"] == ["warehouse_data:/var/lib/postgresql/data"]


def test_tasks_find_their_pool_and_leave_pages_where_the_ui_finds_them(
    compose: dict[str, Any],
) -> None:
    """A pool is a task's when its file is parsed; one writes pages, another shows them."""
    services = compose["services"]
    assert services["scheduler"]["environment"] == services["dag-processor"]["environment"]
    assert services["scheduler"]["volumes"] == services["api-server"]["volumes"]


def test_connection_of_the_dev_stack_opens_the_dev_warehouse(
    settings: dict[str, list[dict[str, Any]]], compose: dict[str, Any]
) -> None:
    """Two files spell the same credentials; a change of one alone breaks the first run."""
    connection = next(it for it in settings["connections"] if it["conn_id"] == "survivor_postgres")
    service = compose["services"][connection["conn_host"]]
    assert connection["conn_port"] == 5432
    assert service["environment"] == {
        "POSTGRES_USER": connection["conn_login"],
        "POSTGRES_PASSWORD": connection["conn_password"],
        "POSTGRES_DB": connection["conn_schema"],
    }


def test_every_pool_that_the_dev_stack_names_exists(
    settings: dict[str, list[dict[str, Any]]], compose: dict[str, Any]
) -> None:
    """Tasks of a pool that does not exist wait for ever."""
    named = {
        service["environment"]["GAMEBOT_POOL"]
        for service in compose["services"].values()
        if "GAMEBOT_POOL" in service.get("environment", {})
    }
    assert named == {pool["pool_name"] for pool in settings["pools"]}


def test_containers_do_not_take_the_connection_that_standalone_mode_needs(
    compose: dict[str, Any],
) -> None:
    """.env serves both modes; its localhost would point a container at itself."""
    for name in CLI_SERVICES - {"postgres", "db-migration"}:
        # Empty means none for Airflow, and a service's own environment wins over .env.
        assert compose["services"][name]["environment"]["AIRFLOW_CONN_SURVIVOR_POSTGRES"] == ""


def test_env_example_has_lines_that_all_three_readers_take_alike(project: Path) -> None:
    """Compose strips quotes, `astro dev pytest` does not, standalone knows neither export nor $."""
    for line in (project / ".env.example").read_text().splitlines():
        setting = re.fullmatch(r"(?:# )?([A-Z][A-Z0-9_]*)=(.*)", line)
        if line and not setting:
            assert line.startswith("# "), f"neither KEY=VALUE nor a comment: {line}"
        if setting:
            value = setting.group(2)
            assert value == value.strip(), line
            assert not re.search(r"[\"'#$\\]", value), line


def test_env_example_sets_what_standalone_mode_lacks(project: Path) -> None:
    """Standalone mode loads no plugin without it: it looks in its own Airflow home."""
    lines = (project / ".env.example").read_text().splitlines()
    assert "AIRFLOW__CORE__PLUGINS_FOLDER=plugins" in lines
    # With Docker it would win over airflow_settings.yaml and point a container at itself.
    assert not [line for line in lines if line.startswith("AIRFLOW_CONN_")]


def test_telemetry_is_off_in_the_image_and_in_standalone_mode(project: Path) -> None:
    """Standalone mode reads no Dockerfile, so .env.example repeats its settings."""
    switches = {
        "DO_NOT_TRACK=1",
        "SCARF_NO_ANALYTICS=true",
        "DBT_SEND_ANONYMOUS_USAGE_STATS=false",
        "GX_ANALYTICS_ENABLED=False",
        "AIRFLOW__COSMOS__ENABLE_TELEMETRY=False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False",
    }
    for name in ("Dockerfile", ".env.example"):
        assert switches <= set((project / name).read_text().split()), name


def test_image_holds_neither_secrets_nor_what_tools_leave_behind(project: Path) -> None:
    """`.venvs` of this machine would hide the image's; `.env` would ship passwords."""
    ignored = set((project / ".dockerignore").read_text().split())
    assert {
        ".git",
        ".env",
        "airflow_settings.yaml",
        ".astro/standalone",
        ".venv",
        ".venvs",
        "logs",
        "airflow.db",
        "**/__pycache__",
        "**/*.key",
        "docs",
        "include/dbt/target",
    } <= ignored
    needed = ("dags", "include", "plugins", "scripts", "requirements.txt", "packages.txt", ".astro")
    assert not ignored & set(needed)
