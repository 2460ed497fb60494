"""The environment builder, with a stand-in for uv: what it builds, and what it leaves alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from include.local.state import exclusive

PROJECT = Path(__file__).resolve().parents[3]

UV = """#!/bin/sh
[ "$1" = --version ] && { echo "uv ${UV_STAND_IN_VERSION:-0.99.0}"; exit; }
echo "$*" >>"$CALLS"
case "$1" in
    venv) for folder; do :; done; mkdir -p "$folder/bin"; ln -sf "$PYTHON" "$folder/bin/python" ;;
    pip) [ -z "$UV_STAND_IN_FAILS" ] ;;
esac
"""

# Makes virtual environments with the stand-in for uv in them, and is Python for all else.
PYTHON_WITH_UV = """#!/bin/sh
[ "$1 $2 $3" = "-m venv --clear" ] || exec "$PYTHON" "$@"
mkdir -p "$4/bin"
printf '#!/bin/sh\\n' >"$4/bin/python"
sed 's/${UV_STAND_IN_VERSION:-0.99.0}/0.13.9/' "${0%/*}/uv" >"$4/bin/uv"
chmod +x "$4/bin/python" "$4/bin/uv"
"""


class Builder:
    """The script in a checkout of its own, with a uv that only notes what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self._programs = folder / "programs"
        self._calls = folder / "calls"
        self._programs.mkdir()
        for lock in ("local", "dbt"):
            path = self.checkout / "include" / lock / "requirements.lock"
            path.parent.mkdir(parents=True)
            path.write_text("rich==15.0.0 \\\n    --hash=sha256:00\n")
        script = self.checkout / "scripts" / "build_environments.sh"
        script.parent.mkdir()
        shutil.copy(PROJECT / "scripts" / "build_environments.sh", script)
        self.add_program("uv", UV)

    def add_program(self, name: str, text: str) -> None:
        (self._programs / name).write_text(text)
        (self._programs / name).chmod(0o755)

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        environment = {
            "PATH": f"{self._programs}:{os.defpath}",
            "PYTHON": sys.executable,
            "CALLS": str(self._calls),
            "GAMEBOT_PYTHON": sys.executable,
        }
        return subprocess.Popen(
            ["bash", str(self.checkout / "scripts" / "build_environments.sh"), *arguments],
            env={**environment, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, **settings) as process:
            output, said = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, said)

    def calls(self) -> list[str]:
        calls = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return [call.split()[0] for call in calls]


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def test_a_second_build_does_nothing_in_no_time(builder: Builder) -> None:
    assert builder.run("airflow", "dbt").returncode == 0
    assert builder.calls() == ["venv", "pip", "venv", "pip"]
    started = time.monotonic()
    second = builder.run("airflow", "dbt")
    assert time.monotonic() - started < 1
    assert (second.returncode, second.stderr, builder.calls()) == (0, "", [])


def test_a_changed_lock_rebuilds_its_environment_and_no_other(builder: Builder) -> None:
    builder.run("airflow", "dbt")
    builder.calls()
    with (builder.checkout / "include/dbt/requirements.lock").open("a") as lock:
        lock.write("typer==0.29.2 \\\n    --hash=sha256:11\n")
    rebuilt = builder.run("airflow", "dbt")
    assert builder.calls() == ["venv", "pip"]
    assert "dbt environment (2 packages)" in rebuilt.stderr


def test_a_half_built_environment_is_never_taken_for_a_good_one(builder: Builder) -> None:
    failed = builder.run("dbt", UV_STAND_IN_FAILS="1")
    assert failed.returncode == 1
    assert "include/dbt/requirements.lock" in failed.stderr
    builder.calls()
    assert builder.run("dbt").returncode == 0
    assert builder.calls() == ["venv", "pip"]


def test_a_moved_checkout_is_rebuilt_because_scripts_hold_absolute_paths(builder: Builder) -> None:
    builder.run("dbt")
    builder.calls()
    builder.checkout = builder.checkout.rename(builder.checkout.with_name("moved"))
    assert builder.run("dbt").returncode == 0
    assert builder.calls() == ["venv", "pip"]


def test_environments_can_go_elsewhere_as_in_the_image(builder: Builder, tmp_path: Path) -> None:
    builder.run("--into", str(tmp_path / "venvs"), "dbt")
    assert (tmp_path / "venvs/dbt/bin/python").exists()
    assert not (builder.checkout / ".venvs").exists()


def test_a_shim_of_a_version_manager_that_refuses_to_run_is_passed_over(builder: Builder) -> None:
    builder.add_program("python3.12", "#!/bin/sh\necho 'pyenv: command not found' >&2; exit 127\n")
    builder.add_program("python3.13", '#!/bin/sh\nexec "$PYTHON" "$@"\n')
    assert builder.run("dbt", GAMEBOT_PYTHON="").returncode == 0


def test_a_python_that_cannot_work_is_refused_by_name(builder: Builder) -> None:
    refused = builder.run("dbt", GAMEBOT_PYTHON="python2")
    assert refused.returncode == 1
    assert "GAMEBOT_PYTHON=python2" in refused.stderr
    assert builder.calls() == []


def test_without_a_python_the_message_says_what_to_install(builder: Builder) -> None:
    for name in ("python3.12", "python3.13", "python3.11", "python3"):
        builder.add_program(name, "#!/bin/sh\nexit 1\n")
    refused = builder.run("dbt", GAMEBOT_PYTHON="")
    assert refused.returncode == 1
    assert "no Python 3.11, 3.12 or 3.13" in refused.stderr and "brew install" in refused.stderr


def test_an_old_uv_is_not_used(builder: Builder) -> None:
    own = builder.checkout / ".venvs" / "uv" / "bin" / "uv"
    own.parent.mkdir(parents=True)
    own.write_text(UV.replace("${UV_STAND_IN_VERSION:-0.99.0}", "0.13.9"))
    own.chmod(0o755)
    assert builder.run("dbt", UV_STAND_IN_VERSION="0.4.30").returncode == 0
    assert builder.calls() == ["venv", "pip"]


def test_a_builder_does_not_take_away_the_uv_that_another_works_with(builder: Builder) -> None:
    builder.add_program("python3.12", PYTHON_WITH_UV)
    environments = builder.checkout / ".venvs"
    environments.mkdir()
    settings = {"GAMEBOT_PYTHON": "", "UV_STAND_IN_VERSION": "0.4.30"}
    with exclusive(environments / ".lock"):
        waiting = builder.start("dbt", **settings)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1)
        assert not (environments / "uv").exists()
    _, said = waiting.communicate(timeout=30)
    assert (waiting.returncode, "Installing uv" in said) == (0, True)
    assert builder.calls() == ["venv", "pip"]


def test_an_unknown_environment_is_refused_with_the_known_ones(builder: Builder) -> None:
    refused = builder.run("airfow")
    assert refused.returncode == 1
    assert "'airfow'" in refused.stderr and "quality" in refused.stderr
