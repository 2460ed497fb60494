"""The client where it is meant to be: in an environment of its own, far from the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.packages import write_package
from tests.project.test_requirements import UNREACHABLE

CLIENT = Path(__file__).resolve().parents[2] / "client"

QUESTION = """
import sys, gamebot
assert "airflow" not in sys.modules and gamebot.__file__.startswith(sys.prefix)
print(gamebot.open(sys.argv[1]).query("select sum(votes) as votes from ml_features")["votes"][0])
"""


@pytest.mark.registry
@pytest.mark.slow
def test_it_installs_by_itself_and_answers(tmp_path: Path) -> None:
    """A wheel that lacks a module, or does not say a dependency, works in the checkout only."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    assert uv, "uv is in requirements.txt"
    # A build leaves files beside what it builds.
    source = shutil.copytree(CLIENT, tmp_path / "client")
    python = tmp_path / "environment" / "bin" / "python"
    environment = python.parents[1]
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    command = [uv, "pip", "install", "--quiet", "--python", python, source]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if outcome.returncode and UNREACHABLE.search(outcome.stderr):
        pytest.skip("the package registry cannot be reached")
    assert outcome.returncode == 0, outcome.stderr
    package = write_package(tmp_path / "package")
    answer = subprocess.run(
        [python, "-I", "-W", "error", "-c", QUESTION, package],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (answer.stdout, answer.stderr) == ("7\n", "")
    installed = next(environment.rglob("gamebot/__init__.py")).parent
    assert (installed / "py.typed").is_file()
    assert {path.name for path in installed.glob("*.py")} == {
        path.name for path in (CLIENT / "src/gamebot").glob("*.py")
    }
