"""The Makefile hands on what a person said, and cleans whatever state things are in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose local stack prints the settings that it was given."""
    shutil.copy(PROJECT / "Makefile", tmp_path)
    install(tmp_path / "scripts" / "build_environments.sh", "exit 0")
    install(tmp_path / ".venvs" / "airflow" / "bin" / "python", "env | grep ^GAMEBOT_ | sort")
    return tmp_path


def install(program: Path, script: str) -> None:
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def make(checkout: Path, *arguments: str, **settings: str) -> str:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=checkout,
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def given(checkout: Path, *arguments: str, **settings: str) -> dict[str, str]:
    lines = make(checkout, *arguments, **settings).splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines) if value}


def test_a_choice_is_heard_from_the_shell_and_from_makes_own_arguments(checkout: Path) -> None:
    names = ("SOURCE", "SOURCE_DIR", "REF", "ACCEPT_FALLS", "TARGET_LAYER", "FORCE")
    expected = {f"GAMEBOT_{name}": f"a {name}" for name in names}
    assert given(checkout, "run", **expected) == expected
    assert given(checkout, "run", *(f"{name}=a {name}" for name in names)) == expected
    assert given(checkout, "dbt", GAMEBOT_DBT_ARGS="parse") == {"GAMEBOT_DBT_ARGS": "parse"}


def test_makes_own_argument_wins_and_an_empty_one_is_none(checkout: Path) -> None:
    settings = {"GAMEBOT_SOURCE": "upstream"}
    assert given(checkout, "run", "SOURCE=snapshot", **settings) == {"GAMEBOT_SOURCE": "snapshot"}
    assert given(checkout, "run", "SOURCE=", **settings) == settings
    assert given(checkout, "run") == {}


def test_a_replay_is_of_what_the_command_names(checkout: Path) -> None:
    """The shell's own GAMEBOT_REF, set for another run, decided what was built."""
    assert given(checkout, "replay", "REF=4f8", GAMEBOT_SOURCE_DIR="a folder") == {
        "GAMEBOT_REF": "4f8"
    }


def test_clean_works_most_of_all_when_the_environment_is_broken(checkout: Path) -> None:
    (checkout / ".venvs" / "airflow" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    assert "Skipped" in make(checkout, "clean")
    assert not (checkout / ".venvs").exists()


def test_clean_has_nothing_to_excuse_when_all_went_well(checkout: Path) -> None:
    assert "Skipped" not in make(checkout, "clean")
    assert not (checkout / ".venvs").exists()
