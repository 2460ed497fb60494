"""`make bench`."""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, ModuleType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

import benchmarks
from benchmarks.measure import CaseFailed, interleaved
from benchmarks.report import (
    DOCUMENT,
    CaseTable,
    Setting,
    SuiteResult,
    rendered,
    update_document,
    write_json,
)
from benchmarks.workspace import Workspace
from include.environments import CommandFailed, MissingEnvironment
from include.local.postgres import PostgresError
from include.local.state import State, StateError

# A log has no width of its own, and eighty columns would break every line.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
errors = Console(stderr=True, highlight=False)


def suites() -> dict[str, ModuleType]:
    """Return every suite by its name."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    modules = {
        name: importlib.import_module(f"benchmarks.{name}")
        for name in names
        # These two act on being imported.
        if name not in ("__main__", "launch")
    }
    return {
        name: module
        for name, module in modules.items()
        if _defines(module, "suite") or _defines(module, "run")
    }


def _defines(module: ModuleType, function: str) -> bool:
    return getattr(getattr(module, function, None), "__module__", None) == module.__name__


def measured(name: str, module: ModuleType, workspace: Workspace, quick: bool) -> SuiteResult:
    """Measure one suite.

    Raises:
        CaseFailed: one of its cases could not be measured.
    """
    if _defines(module, "run"):
        found: SuiteResult = module.run(workspace, quick)
        return found
    with workspace.progress(name) as on_progress:
        return CaseTable(interleaved(module.suite(workspace, quick), quick, on_progress))


def main(
    quick: Annotated[bool, typer.Option(help="Few repetitions.")] = False,
    only: Annotated[str, typer.Option(help="Suites, with commas between them.")] = "",
    docs: Annotated[bool, typer.Option(help="Write the tables into docs/performance.md.")] = False,
    source_dir: Annotated[Path | None, typer.Option(envvar="GAMEBOT_SOURCE_DIR")] = None,
) -> None:
    """Measure the pipeline; a target that is missed is no error, a case that fails is."""
    signal.signal(signal.SIGTERM, _interrupt)
    known = suites()
    chosen = only.replace(",", " ").split() or [
        name for name, module in known.items() if not (quick and hasattr(module, "NOT_QUICK"))
    ]
    if unknown := set(chosen) - known.keys():
        raise typer.BadParameter(f"no {', '.join(sorted(unknown))} among {', '.join(known)}")
    if docs and quick:
        raise typer.BadParameter("the tables of the docs are not made of few repetitions")
    try:
        failures = bench({name: known[name] for name in chosen}, quick, docs, source_dir)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (StateError, PostgresError, MissingEnvironment) as error:
        errors.print(f"error: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    raise typer.Exit(1 if failures else 0)


def bench(
    chosen: dict[str, ModuleType], quick: bool, docs: bool, source_dir: Path | None
) -> list[str]:
    """Measure the suites; returns those that failed."""
    started_at, state = datetime.now(UTC), State.open()
    folder = source_dir.expanduser().absolute() if source_dir else None
    found: dict[str, SuiteResult] = {}
    seconds: dict[str, float] = {}
    failures: list[str] = []
    path = state.folder / "benchmarks" / f"{started_at:%Y-%m-%dT%H-%M-%SZ}.json"
    with Workspace.opened(state, folder, console) as workspace:
        setting = Setting.now(
            started_at, workspace.postgres_version, f"survivoR of {workspace.source_folder.name}"
        )
        for name, module in chosen.items():
            started = time.monotonic()
            try:
                found[name] = measured(name, module, workspace, quick)
            except Exception as error:  # noqa: BLE001 -- the other suites can still be measured
                failures.append(name)
                _explain(name, error)
            else:
                console.print(rendered(name, found[name]))
            finally:
                workspace.end_suite()
            seconds[name] = round(time.monotonic() - started, 1)
            # After each suite, so that whoever interrupts the next keeps it.
            write_json(path, setting, found, quick=quick, seconds=seconds, failures=failures)
            if docs:
                update_document(setting, found)
    console.print(f"\n{setting.sentence()}", markup=False)
    console.print(f"All samples: {path}", markup=False, soft_wrap=True)
    if docs:
        console.print(f"Tables: {DOCUMENT}", markup=False, soft_wrap=True)
    return failures


def _explain(name: str, error: Exception) -> None:
    """Say what failed; with its traceback unless a program said it in its own words."""
    errors.print(f"error: {error}" if isinstance(error, CaseFailed) else f"error: {name} failed",
        markup=False, soft_wrap=True)  # fmt: skip
    cause = error.__cause__ if isinstance(error, CaseFailed) else error
    if cause and not isinstance(cause, CommandFailed):
        errors.print("".join(traceback.format_exception(cause)), markup=False, soft_wrap=True)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
