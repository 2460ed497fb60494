"""The dependency files: what each may hold, that they agree, and that they resolve."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# What the Runtime image 3.3 brings, where a version is known the oldest it had. Astronomer's own
# logging provider is missing: it is not on the public registry.
PREINSTALLED = """\
apache-airflow==3.3.2
apache-airflow-providers-celery
apache-airflow-providers-common-compat
apache-airflow-providers-common-io
apache-airflow-providers-common-sql==2.0.1
apache-airflow-providers-elasticsearch
apache-airflow-providers-openlineage==2.18.1
apache-airflow-providers-smtp
apache-airflow-providers-standard==1.15.0
"""
PINNED_FILES = (
    "requirements.txt",
    "include/dbt/requirements.txt",
    "include/quality/requirements.txt",
    "include/local/lint-requirements.txt",
    "include/baseline/requirements.txt",
)
LOCKS = {
    "include/local/requirements.lock": ("requirements.txt", "include/local/requirements.in"),
    "include/dbt/requirements.lock": ("include/dbt/requirements.txt",),
    "include/quality/requirements.lock": ("include/quality/requirements.txt",),
    "include/local/lint-requirements.lock": ("include/local/lint-requirements.txt",),
    "include/baseline/requirements.lock": ("include/baseline/requirements.txt",),
}
UNREACHABLE = re.compile(
    r"error sending request|failed to fetch|dns error|timed out|could not connect", re.IGNORECASE
)


def requirements(file: Path) -> dict[str, str]:
    """Return each requirement of a file: normalised name (without extras) and the rest."""
    found = {}
    for line in file.read_text().splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^#;\\]*)", line)
        if match and not line.startswith(("#", " ", "-")):
            name = re.sub(r"[-_.]+", "-", match.group(1)).lower()
            found[name] = match.group(2).strip()
    return found


@pytest.mark.parametrize("name", PINNED_FILES)
def test_direct_dependencies_are_pinned(project: Path, name: str) -> None:
    """An open dbt-postgres pulled in a dbt-core that cannot be installed without GitHub."""
    found = requirements(project / name)
    assert found
    assert {
        package: version
        for package, version in found.items()
        if not re.fullmatch(r"==\d[\w.]*", version)
    } == {}


def test_image_requirements_leave_airflow_to_the_image(project: Path) -> None:
    """The image's build refuses apache-airflow in requirements.txt."""
    assert "apache-airflow" not in requirements(project / "requirements.txt")


def test_dbt_and_the_audit_tools_stay_out_of_airflows_environment(project: Path) -> None:
    """Their dependencies and Airflow's exclude each other."""
    names = set(requirements(project / "requirements.txt"))
    assert not names & {"dbt-core", "dbt-postgres", "soda-core-postgres", "great-expectations"}


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_what_the_requirements_say(project: Path, lock: str) -> None:
    """A requirement changed without `make lock` would reach the image but no test."""
    locked = requirements(project / lock)
    for source in LOCKS[lock]:
        for package, version in requirements(project / source).items():
            assert package in locked, f"{source}: {package} is not in {lock}; run make lock"
            if version:
                assert locked[package] == version, f"{source}: {package}; run make lock"


def test_what_only_make_test_installs_is_asked_for_before_it_is_imported(project: Path) -> None:
    """`astro dev pytest` runs in the image, where one such import ended the whole collection."""
    ours = set(requirements(project / "include/local/requirements.in"))
    # Airflow is there, and brings psutil; xdist is a plugin.
    modules = {name.replace("-", "_") for name in ours - {"apache-airflow", "psutil"}}
    assert {"aiosmtpd", "hypothesis", "rdata", "sqlglot"} <= modules
    texts = {file: file.read_text(encoding="utf-8") for file in (project / "tests").rglob("*.py")}
    hasty = {
        f"{file.relative_to(project)}: {name}"
        for file, text in texts.items()
        for name in re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
        if name in modules and f'importorskip("{name}"' not in text
    }
    assert hasty == set()


def test_locks_fix_the_content_of_every_package(project: Path) -> None:
    """The registry's name and version are a promise; the hash is a proof."""
    for lock in LOCKS:
        text = (project / lock).read_text()
        packages = re.findall(r"^[a-z0-9].*$(?:\n +.*$)*", text, re.MULTILINE)
        assert packages
        assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []


def test_type_checker_sees_the_versions_that_run(project: Path) -> None:
    """mypy reads types from the lint environment, the code runs in .venvs/airflow."""
    lint = requirements(project / "include/local/lint-requirements.txt")
    locked = requirements(project / "include/local/requirements.lock")
    shared = {name: version for name, version in lint.items() if name in locked}
    assert {"psycopg", "pydantic"} <= set(shared)
    assert shared == {name: locked[name] for name in shared}


@pytest.mark.registry
@pytest.mark.slow
def test_requirements_resolve_beside_what_the_image_brings(project: Path) -> None:
    """A conflict shows here, not in the middle of `astro deploy`."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    assert uv, "uv is in requirements.txt"
    command = [uv, "pip", "compile", "--quiet", "--python-version", "3.12", "requirements.txt", "-"]
    outcome = subprocess.run(
        command, cwd=project, input=PREINSTALLED, capture_output=True, text=True, timeout=300
    )
    if outcome.returncode and UNREACHABLE.search(outcome.stderr):
        pytest.skip("the package registry cannot be reached")
    assert outcome.returncode == 0, outcome.stderr
