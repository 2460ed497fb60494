"""Everything in here builds and runs containers, which takes minutes: `make containers`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.astro.podman import reason_to_skip

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `make test` leaves them out."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.containers)


@pytest.fixture(scope="session", autouse=True)
def _podman() -> None:
    if reason := reason_to_skip():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def image() -> str:
    """The project's image, built from the Dockerfile as it stands."""
    from tests.astro.images import project_image

    return project_image()


@pytest.fixture(scope="session")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .env of somebody who copied .env.example."""
    from tests.astro.images import PROJECT

    copy = tmp_path_factory.mktemp("env") / ".env"
    copy.write_text((PROJECT / ".env.example").read_text(encoding="utf-8"), encoding="utf-8")
    return copy
