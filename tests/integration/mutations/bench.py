"""A copy of the project in which one defect at a time is planted, and the tests that look at it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from include.environments import NO_TELEMETRY, PROJECT_DIR, MissingEnvironment, executable
from include.warehouse.connection import ConnectionSettings
from tests.integration.mutations.defects import Defect, plant, restore

WORKER = Path(__file__).with_name("dbt_worker.py")
# What a defect changes is built in schemas of this name; all else is read from the release.
SCHEMA = "mutant"
PYTEST = ["-m", "pytest", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider"]


class Bench:
    """Plants defects and says which tests they turn red.

    Args:
        warehouse: the superuser's way into a warehouse that shows a release.
        release: folder with the manifest of that release.
        folder: for the copy and the files of dbt.
        has_survivor: whether the release holds survivoR's data; only unit tests can tell otherwise.
    """

    def __init__(
        self, warehouse: ConnectionSettings, release: Path, folder: Path, *, has_survivor: bool
    ) -> None:
        self.warehouse = warehouse
        self.has_survivor = has_survivor
        self.project = folder / "project"
        for part in ("include", "tests"):
            shutil.copytree(
                PROJECT_DIR / part,
                self.project / part,
                ignore=shutil.ignore_patterns("__pycache__", "target", "logs"),
            )
        shutil.copy(PROJECT_DIR / "pyproject.toml", self.project)
        manifest: dict[str, Any] = json.loads((release / "manifest.json").read_text())
        nodes = manifest["nodes"].values()
        self.models = {node["name"] for node in nodes if node["resource_type"] == "model"}
        self.data_tests = {node["name"] for node in nodes if node["resource_type"] == "test"}
        self.unit_tests = {test["name"] for test in manifest["unit_tests"].values()}
        self._deferred = ["--defer", "--state", str(release)]
        self._log = (folder / "dbt.log").open("w")
        self._worker = self._start_worker(folder)

    def _start_worker(self, folder: Path) -> subprocess.Popen[str]:
        try:
            python = executable("dbt")
        except MissingEnvironment as error:
            pytest.skip(str(error))
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DB_", "DBT_", "GAMEBOT_"))
        }
        return subprocess.Popen(
            [python, WORKER],
            env=inherited
            | NO_TELEMETRY
            | self.warehouse.as_environment()
            | {
                "DBT_SCHEMA": SCHEMA,
                "DBT_PROFILES_DIR": os.curdir,
                "DBT_TARGET_PATH": str(folder / "target"),
                "DBT_LOG_PATH": str(folder / "logs"),
            },
            cwd=self.project / "include" / "dbt",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def close(self) -> None:
        """End dbt and leave the warehouse as it was."""
        self._worker.communicate()
        self._log.close()
        self._drop_schemas()

    def _dbt(self, *commands: list[str]) -> set[str]:
        """Run dbt commands. Returns the nodes that failed."""
        assert self._worker.stdin is not None and self._worker.stdout is not None
        request = [[*command, *self._deferred] for command in commands]
        print(json.dumps(request), file=self._worker.stdin, flush=True)
        answer = self._worker.stdout.readline()
        assert answer, f"dbt died, see {self._log.name}"
        outcome = json.loads(answer)
        assert outcome["error"] is None, outcome["error"]
        # A warning is no alarm.
        return {name for name, status in outcome["nodes"].items() if status in ("fail", "error")}

    def can_fail(self, names: Iterable[str]) -> list[str]:
        """Return those of some tests whose data are here."""
        return [
            name for name in names if self.has_survivor or name in self.unit_tests or "::" in name
        ]

    def failures(self, defect: Defect) -> set[str]:
        """Plant a defect, run the tests that should see it, take it out. Returns what failed."""
        tests = self.can_fail(defect.caught_by)
        in_pytest = [name for name in tests if "::" in name]
        in_dbt = [name for name in tests if name in self.data_tests | self.unit_tests]
        commands = [["test", "--select", *in_dbt]] if in_dbt else []
        if not self.unit_tests.issuperset(in_dbt) or self.models.intersection(tests):
            self._drop_schemas()
            commands.insert(0, ["run", "--select", *defect.build])
        before = plant(defect, self.project)
        try:
            failed = self._dbt(*commands) if commands else set()
            return failed | self._pytest(in_pytest) if in_pytest else failed
        finally:
            restore(before)

    def red(self, names: list[str]) -> set[str]:
        """Run dbt tests by name, without a defect. Returns those that failed."""
        return self._dbt(["test", "--select", *names])

    def _pytest(self, names: list[str]) -> set[str]:
        outcome = subprocess.run(
            [sys.executable, *PYTEST, *names],
            cwd=self.project,
            env=os.environ | {"PYTHONPATH": str(self.project)},
            capture_output=True,
            text=True,
        )
        return set(re.findall(r"^FAILED (\S+)", outcome.stdout, re.MULTILINE))

    def _drop_schemas(self) -> None:
        with self.warehouse.connect() as connection:
            for layer in ("reference", "silver", "gold"):
                connection.execute(f"drop schema if exists {SCHEMA}_{layer} cascade")  # type: ignore[arg-type]
