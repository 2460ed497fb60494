"""`make export`: the data package of a release on this machine, and how far it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from include.local.state import State, read_json
from include.warehouse.connection import ConnectionSettings

if TYPE_CHECKING:
    from include.data_package.build import Progress


def export_release(
    state: State,
    settings: ConnectionSettings,
    target: Path | None,
    release_id: int | None,
    console: Console,
) -> None:
    """Write a release into a folder; without one, to where runs leave their packages.

    Raises:
        ReleaseError: nothing is published, or the release is not there or its tables are gone.
        ExportError: the folder cannot be written or holds something else, or the build failed.
        ArtifactsError: the artifacts cannot be written.
    """
    # What Airflow's processes have, whose files these are.
    os.environ["AIRFLOW_HOME"] = str(state.airflow_home)
    os.environ["GAMEBOT_ARTIFACTS_URL"] = state.artifacts.as_uri()
    os.environ["GAMEBOT_MANIFEST_DIR"] = str(state.manifest)
    from include import release_artifacts

    release = release_artifacts.choose_release(settings, release_id)
    with _shown(console, f"Release {release.release_id}") as on_progress:
        if target:
            folder = target.expanduser().absolute()
            package = release_artifacts.export_package(
                settings, release.release_id, folder, on_progress
            )
            told = package.summary
        else:
            folder = state.artifacts / "releases" / str(release.release_id) / "package"
            told = release_artifacts.keep_package(settings, release.release_id, on_progress)
    console.print(escape(told), soft_wrap=True)
    console.print(escape(f"{folder}/README.md says how to load it."), soft_wrap=True)


def package_folder(artifacts: Path) -> Path | None:
    """Return the data package of what readers see, if there is one."""
    pointer = read_json(artifacts / "package.json")
    return artifacts / pointer["path"] if pointer else None


@contextmanager
def _shown(console: Console, name: str) -> Iterator[Callable[[Progress], None]]:
    """Give what shows each step: a bar on a terminal, nothing in a log."""
    if not console.is_terminal:
        yield lambda progress: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[step]}[/]"),
    )
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None, step="")

        def show(progress: Progress) -> None:
            bar.update(
                task, completed=progress.done, total=progress.total, step=escape(progress.step)
            )

        yield show
