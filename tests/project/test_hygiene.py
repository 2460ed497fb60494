"""What no file of the project may hold, and what each setting and each ignored path must have."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from include.environments import Environment

# Written in two halves, so that this file does not hold what it looks for.
REGISTRIES = ["pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org"]
HOMES = [r"/home" + r"/[a-z]+/", r"/Users" + r"/[A-Za-z]+/", "/ro" + "ot/"]

CODE = ("client", "dags", "include", "plugins", "scripts")
SETTING = re.compile(r"GAMEBOT_[A-Z]+(?:_[A-Z]+)*")


def test_no_file_names_a_package_registry(project_files: list[Path], project: Path) -> None:
    """Whoever has a mirror tells pip and uv; a lock that names a host would go past it."""
    pattern = re.compile("|".join(map(re.escape, REGISTRIES)))
    assert offenders(project_files, project, pattern) == []


def test_no_file_holds_a_path_of_someones_machine(project_files: list[Path], project: Path) -> None:
    """Such a path works once, for its author."""
    patterns = HOMES
    if len(project.parts) > 2:
        patterns = [*HOMES, re.escape(str(project)) + r"\b"]
    assert offenders(project_files, project, re.compile("|".join(patterns))) == []


def test_only_the_dev_stack_has_passwords_in_files(
    project_files: list[Path], project: Path
) -> None:
    """`include.warehouse.connection` refuses them elsewhere; a second set nobody would refuse."""
    written = re.compile(r"passw(?:or)?d\w*[\"']?\s*[:=]\s*[\"']?\w|://[^/\s:{]+:[^@\s{]+@", re.I)
    ours = [file for file in project_files if file.suffix not in (".py", ".md", ".lock", ".js")]
    assert {place.split(":")[0] for place in offenders(ours, project, written)} == {
        "airflow_settings.yaml",
        "docker-compose.override.yml",
        ".env.example",
    }


def test_the_project_leaves_the_environment_of_standalone_mode_alone(project: Path) -> None:
    """The Astro CLI puts other versions into `.venv`, and deletes it under make's feet."""
    programs = ["Makefile", ".pre-commit-config.yaml", ".ci/run", "scripts/build_environments.sh"]
    workflows = (project / ".github").rglob("*.yml")
    files = [*(project / name for name in programs), *workflows]
    assert offenders(files, project, re.compile(r"\.venv/")) == []


def offenders(files: list[Path], project: Path, pattern: re.Pattern[str]) -> list[str]:
    """Return the places, as file:line, where a pattern is found."""
    return [
        f"{file.relative_to(project)}:{number}"
        for file in files
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


@pytest.mark.parametrize("folder", ["dags", "plugins"])
def test_no_environment_variable_is_read_without_a_default_at_parse(
    project: Path, folder: str
) -> None:
    """`astro dev parse` gives `os.getenv("X")` the text MOCKED_X_VALUE: a wrong value, no error."""
    for file in sorted((project / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.getenv", "getenv"):
                pytest.fail(f"{file.name}:{node.lineno}: use os.environ.get, with a default")
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
                pytest.fail(f"{file.name}:{node.lineno}: use os.environ.get, with a default")


def test_every_setting_is_documented_and_every_documented_setting_is_read(project: Path) -> None:
    """A setting that is renamed in one place only is a setting that does nothing."""
    read = {
        setting
        for folder in CODE
        for file in (project / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".md"
        for setting in SETTING.findall(file.read_text(errors="replace"))
    }
    # include/environments.py makes these names from those of the environments.
    read |= {f"GAMEBOT_{name.upper()}_ENV" for name in get_args(Environment)}
    # Only the tests read these.
    for name in ("conftest.py", "browser/conftest.py", "browser/chromium.py"):
        read |= set(SETTING.findall((project / "tests" / name).read_text()))
    documented = set(SETTING.findall((project / "docs/settings.md").read_text()))
    assert documented == read


def test_settings_of_the_dev_stack_are_documented_ones(project: Path) -> None:
    """The same, for the files that set them."""
    documented = set(SETTING.findall((project / "docs/settings.md").read_text()))
    for name in ("Dockerfile", "docker-compose.override.yml", ".env.example"):
        assert set(SETTING.findall((project / name).read_text())) <= documented, name


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.production",
        ".venv/bin/python",
        ".venvs/dbt/bin/dbt",
        ".astro/standalone/airflow.db",
        ".astro/config.local.yaml",
        "include/dbt/target/manifest.json",
        "include/dbt/logs/dbt.log",
        "include/warehouse/__pycache__/x.pyc",
        "logs/scheduler.log",
    ],
)
def test_git_ignores_secrets_and_what_tools_leave_behind(git: list[str], path: str) -> None:
    """A committed .env is a leaked password; a committed target folder a merge conflict."""
    assert is_ignored(git, path)


@pytest.mark.parametrize(
    "path",
    [
        ".env.example",
        "airflow_settings.yaml",
        ".astro/config.yaml",
        # The template of the Astro CLI ignores every folder of this name.
        "include/astro/module.py",
        "tests/data/2026-06-12/castaways.rda",
    ],
)
def test_git_keeps_what_a_clone_needs(git: list[str], path: str) -> None:
    """The settings of the dev stack hold throw-away credentials and must come with a clone."""
    assert not is_ignored(git, path)


def is_ignored(git: list[str], path: str) -> bool:
    """Return whether git would leave a path of the checkout out."""
    command = [*git, "check-ignore", "--quiet", "--no-index", path]
    return subprocess.run(command, check=False).returncode == 0


def test_locks_and_seeds_keep_their_line_ends(project: Path) -> None:
    """CRLF in a shell script or a lock breaks the image's build on Windows checkouts."""
    assert "* text=auto eol=lf" in (project / ".gitattributes").read_text().splitlines()


def test_survivor_is_credited(project: Path) -> None:
    """The data is Daniel Oehm's under the MIT licence, which asks for its notice to be kept."""
    notice = (project / "NOTICE").read_text()
    assert "survivoR" in notice
    assert "Copyright (c) 2021 Daniel Oehm" in notice


def test_every_internal_link_of_the_documents_leads_somewhere(
    project_files: list[Path], project: Path
) -> None:
    """A runbook with a dead link fails the person who needs it at night."""
    link = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
    dead = [
        f"{file.relative_to(project)}: {target}"
        for file in project_files
        if file.suffix == ".md"
        for target in link.findall(file.read_text())
        if not (file.parent / target).exists()
    ]
    assert dead == []
