"""Where survivoR's data comes from: upstream's repository, its published snapshot, or a directory.

`resolve_source` finds the exact version without downloading it, `fetch` brings its files here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from include.ingestion.sources import directory, snapshot, upstream
from include.ingestion.sources.base import (
    FetchedSource,
    ResolvedSource,
    SourceError,
    SourceFile,
    SourceRequest,
    SourceUnavailable,
)
from include.warehouse.schemas import SourceKind

__all__ = [
    "FetchedSource",
    "ResolvedSource",
    "SourceError",
    "SourceFile",
    "SourceRequest",
    "SourceUnavailable",
    "fetch",
    "resolve_source",
]


def resolve_source(
    request: SourceRequest, *, published_kind: SourceKind | None = None
) -> ResolvedSource:
    """Find the exact version that a request means; downloads no data.

    Args:
        request: what a person asks for.
        published_kind: kind of the source behind the published release; None before the first.

    Raises:
        SourceUnavailable: upstream cannot be reached and nothing may stand in for it.
        SourceError: the source does not hold what was asked for.
    """
    if request.source == "snapshot":
        return snapshot.resolve()
    if request.source == "directory":
        return directory.resolve(request.directory or "")
    try:
        return upstream.resolve(request.ref)
    except SourceUnavailable as error:
        if request.source == "upstream" or request.ref:
            raise
        if published_kind not in (None, "snapshot"):
            raise SourceUnavailable(
                f"Upstream cannot be reached, and the snapshot may not replace what is published "
                f"from source {published_kind!r}: {error} Try again later, or name a source: "
                f"'directory' with a folder of its files, or 'snapshot'."
            ) from error
        source = snapshot.resolve()
        note = f"UPSTREAM COULD NOT BE REACHED, so the snapshot stands in. {error} {source.note}"
        return source.model_copy(update={"note": note})


def fetch(
    source: ResolvedSource,
    datasets: Collection[str],
    into: Path,
    on_progress: Callable[[str], None],
) -> FetchedSource:
    """Bring the files of these datasets into a folder and verify them.

    Args:
        source: what `resolve_source` returned, possibly on another machine.
        datasets: the names to fetch; what else the source holds is listed as unknown.
        into: an empty folder that outlives the reading.
        on_progress: called with one line for a person per step.

    Raises:
        SourceUnavailable: the source cannot be reached.
        SourceError: the source does not hold what was resolved.
    """
    fetchers: dict[SourceKind, Callable[..., FetchedSource]] = {
        "upstream": upstream.fetch,
        "snapshot": snapshot.fetch,
        "directory": directory.fetch,
    }
    return fetchers[source.kind](source, datasets, into, on_progress)
