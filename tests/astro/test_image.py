"""The image: what is in it, who may run it, and that it draws the DAG without writing anywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.astro.cli import HOME, dev_pytest
from tests.astro.images import DEBIAN, PROJECT, build, runtime_image
from tests.astro.podman import inspect, podman, run

KEPT = "/usr/local/gamebot"
ASTRO = "50000:0"
OF_A_PLATFORM = "1000670000:0"
OUTSIDE_GROUP_0 = "12345:12345"

# What is left behind, or secret, in a checkout that somebody has worked in for a while.
NOT_FOR_THE_IMAGE = (
    ".env", ".env.production", "airflow_settings.yaml", "docker-compose.override.yml", "airflow.db",
    "airflow.cfg", ".git/config", ".venv/bin/python", ".venvs/dbt/bin/dbt", "logs/scheduler.log",
    ".astro/standalone/airflow.db", ".astro/config.local.yaml", "server.key", "certs/server.key",
    "dags/__pycache__/x.cpython-312.pyc", "include/x.pyc", "include/dbt/target/manifest.json",
    "include/dbt/logs/dbt.log", "include/dbt/.user.yml", ".pytest_cache/x", "tests/.hypothesis/x",
    "tests/astro/x.py", "data/castaways.rda", ".DS_Store", "node_modules/x.js",
    "docs/architecture.md", "README.md",
)  # fmt: skip
FOR_THE_IMAGE = (
    ".astro/config.yaml", ".env.example", "LICENSE", "NOTICE", "dags/x.py",
    "include/dbt/models/x.md",
    "include/x.py", "packages.txt", "plugins/x.py", "pyproject.toml", "requirements.txt",
    "scripts/x.sh", "tests/x.py",
)  # fmt: skip


def python(image: str, program: str, *options: str, check: bool = True) -> str:
    """Return what a Python program prints in a container."""
    return run(*options, image, "python", "-c", program, check=check).stdout.strip()


def test_image_ignores_what_a_checkout_collects(image: str, tmp_path: Path) -> None:
    """An .env in a layer is a password that everybody has who can pull."""
    context = tmp_path / "checkout"
    for name in (*NOT_FOR_THE_IMAGE, *FOR_THE_IMAGE):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text("x")
    shutil.copy(PROJECT / ".dockerignore", context)
    (context / "Dockerfile").write_text(f"FROM {DEBIAN}\nCOPY . /copied\n")
    build("localhost/gamebot-stand-in/ignored", context)
    listing = run("localhost/gamebot-stand-in/ignored", "find", "/copied", "-type", "f").stdout
    assert sorted(line.removeprefix("/copied/") for line in listing.split()) == sorted(
        FOR_THE_IMAGE
    )


def test_image_holds_files_of_the_repository_only(image: str) -> None:
    listing = run(image, "find", HOME, "-type", "f").stdout.split()
    committed = subprocess.run(
        ["git", "-c", f"safe.directory={PROJECT}", "ls-files", "--cached", "--others",
         "--exclude-standard"],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    in_image = {line.removeprefix(f"{HOME}/") for line in listing}
    assert in_image - set(committed) == set()
    assert {"dags/survivor_medallion_pipeline.py", "include/pipeline.py", ".astro/config.yaml"} <= (
        in_image
    )


def test_image_says_what_it_is_and_ends_as_the_runtimes_user(image: str) -> None:
    facts = inspect(image)
    labels = facts["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == "gamebot"
    # Without it `astro deploy` refuses the image.
    assert labels["io.astronomer.docker.runtime.version"]
    assert facts["Config"]["User"] == "astro"


def test_no_secret_is_in_the_image_or_its_history(image: str) -> None:
    """An argument of a build stays in the history of the image, and so does a variable."""
    facts = json.dumps(inspect(image)) + podman("history", "--no-trunc", image).stdout
    secrets = {
        value
        for name, value in os.environ.items()
        if name.endswith(("INDEX_URL", "DEFAULT_INDEX", "TOKEN", "PASSWORD", "SECRET")) and value
    }
    assert [secret for secret in secrets if secret in facts] == []
    mine = inspect(image)["Config"]["Env"]
    base = inspect(runtime_image())["Config"]["Env"]
    assert not [
        line for line in set(mine) - set(base)
        if any(word in line.split("=")[0] for word in ("TOKEN", "PASSWORD", "SECRET", "_CONN_"))
    ]  # fmt: skip


READY = """
from include.environments import executable
from include.transformation.manifest import docs_path, graph_path, manifest_path
from airflow.dag_processing.dagbag import DagBag
import subprocess
bag = DagBag("dags")
assert not bag.import_errors, bag.import_errors
assert len(bag.dags["survivor_medallion_pipeline"].tasks) > 20
for environment, program in (("dbt", "import dbt.version"), ("quality", "import soda, pandas")):
    subprocess.run([executable(environment), "-c", program], check=True)
print(manifest_path())
print(graph_path())
print(docs_path())
"""


@pytest.mark.parametrize("user", [ASTRO, OF_A_PLATFORM, OUTSIDE_GROUP_0])
def test_whoever_runs_it_finds_everything_ready_in_a_file_system_that_cannot_be_written(
    image: str, user: str
) -> None:
    """Some platforms choose the user; a manifest made anew would cost each parse 10 s."""
    printed = python(
        image, READY, "--user", user, "--read-only", "--tmpfs=/tmp", "--network=none",
        "--env=AIRFLOW_HOME=/tmp/airflow",  # pragma: allowlist secret
    )  # fmt: skip
    for made, path in zip(("manifest", "graph", "docs"), printed.splitlines()[-3:], strict=True):
        assert path.startswith(f"{KEPT}/dbt/{made}-")


MADE = """
import json
from pathlib import Path
from include.transformation.manifest import docs_path, manifest_path
print(manifest_path())
print(docs_path())
assert "model.survivor.added" in json.loads(manifest_path().read_text())["nodes"]
assert "model.survivor.added" in docs_path().read_text()
"""


@pytest.mark.parametrize(
    ("user", "folder"), [(ASTRO, f"{KEPT}/dbt"), (OUTSIDE_GROUP_0, "/tmp/gamebot-12345")]
)
def test_a_stale_manifest_is_made_anew_outside_of_the_project(
    image: str, tmp_path: Path, user: str, folder: str
) -> None:
    """In the dev stack the models of the checkout are mounted over those of the image."""
    include = tmp_path / "include"
    shutil.copytree(PROJECT / "include", include, ignore=shutil.ignore_patterns("__pycache__"))
    (include / "dbt" / "models" / "gold" / "added.sql").write_text("select 1 as one")
    before = {path: path.stat().st_mtime_ns for path in include.rglob("*")}
    printed = python(
        image, MADE, "--user", user, f"--volume={include}:{HOME}/include:ro", "--network=none"
    )
    manifest, docs = printed.splitlines()[-2:]
    assert manifest.startswith(f"{folder}/manifest-") and docs.startswith(f"{folder}/docs-")
    assert {path: path.stat().st_mtime_ns for path in include.rglob("*")} == before


@pytest.mark.parametrize("user", [ASTRO, OF_A_PLATFORM])
def test_artifacts_can_be_left_in_the_image_s_folder(image: str, user: str) -> None:
    program = (
        "from pathlib import Path; from include.artifacts import artifacts_url, upload_folder\n"
        "Path('/tmp/pages').mkdir(); Path('/tmp/pages/index.html').write_text('x')\n"
        "print(upload_folder(Path('/tmp/pages'), 1, 'pages'))"
    )
    url = python(image, program, "--user", user, "--env=AIRFLOW_HOME=/tmp/airflow")
    assert url.splitlines()[-1] == f"file://{KEPT}/artifacts/releases/1/pages"


def test_astro_dev_pytest_passes_in_its_bare_container(image: str, env_file: Path) -> None:
    outcome = dev_pytest(image, PROJECT, "tests/", env_file)
    print(outcome.stdout[-3000:])
    assert outcome.returncode == 0, outcome.stdout[-6000:] + outcome.stderr[-2000:]
    assert " passed" in outcome.stdout


def test_astro_dev_parse_passes_in_its_bare_container(image: str, env_file: Path) -> None:
    test = ".astro/test_dag_integrity_default.py"
    outcome = dev_pytest(image, PROJECT, test, env_file)
    assert outcome.returncode == 0, outcome.stdout[-6000:] + outcome.stderr[-2000:]
