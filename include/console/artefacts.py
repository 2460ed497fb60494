"""What runs left for people at the artefact URL, read without holding up the API server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from include.artifacts import ArtifactMissing, ArtifactsError, kept_names, open_kept

log = logging.getLogger(__name__)

T = TypeVar("T")

# An object store that hangs would be tried again by its library for minutes.
SECONDS = 5
# More is no file of ours to be read as a whole.
LARGEST_JSON = 50_000_000

_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="gamebot-artefacts")

# What is shown of a release, in this order, and where each begins.
PAGES = {
    "great_expectations": ("Data Docs (Great Expectations)", "index.html"),
    "soda": ("Soda checks", "index.html"),
    "dbt_docs": ("dbt docs with lineage", "index.html"),
    "changes": ("Changes since the release before", "CHANGES.md"),
    "package": ("Data package", "README.md"),
    "dbt": ("dbt's log and results", "run_results.json"),
}


async def in_time(work: Callable[..., T], *arguments: Any) -> T:
    """Run `work` in a thread.

    Raises:
        ArtifactsError: as `work`, or it took too long.
    """
    future = asyncio.get_running_loop().run_in_executor(_threads, work, *arguments)
    done, _ = await asyncio.wait({future}, timeout=SECONDS)
    if not done:
        future.cancel()
        raise ArtifactsError(f"The artefacts could not be read within {SECONDS} seconds.")
    return future.result()


async def names_of(release_id: int) -> list[str] | None:
    """Return which artefacts of a release there are, None when nobody knows."""
    try:
        return await in_time(kept_names, release_id)
    except ArtifactsError:
        log.warning("The artefacts of release %s cannot be listed", release_id, exc_info=True)
        return None


async def kept_json(path: str) -> Any:
    """Return what a JSON file says.

    Raises:
        ArtifactMissing: there is none.
        ArtifactsError: it cannot be read.
    """
    return await in_time(_read_json, path)


def _read_json(path: str) -> Any:
    file, size = open_kept(path)
    with file:
        if size > LARGEST_JSON:
            raise ArtifactsError(f"{path} has {size} bytes, more than {LARGEST_JSON}.")
        try:
            return json.loads(file.read())
        except ValueError as error:
            raise ArtifactsError(f"{path} is no JSON: {error}") from error


async def package_pointer() -> dict[str, Any] | str | None:
    """Return what the newest data package is; None when there is none, or why nobody knows."""
    try:
        pointer = await kept_json("package.json")
    except ArtifactMissing:
        return None
    except ArtifactsError:
        log.warning("The data package's pointer cannot be read", exc_info=True)
        return "The artefacts cannot be read now; the API server's log says why."
    return pointer if isinstance(pointer, dict) else None
