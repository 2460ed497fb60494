"""The events that OpenLineage's file transport wrote, and the graph that they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]


def transport(folder: Path) -> str:
    """Return the setting that makes the provider write each event into a file of this folder."""
    return json.dumps({"type": "file", "log_file_path": str(folder / "event")})


def read_events(folder: Path, job: str = "", kind: str = "") -> list[Event]:
    """Return the events in their order, of one job and one type where these are named."""
    events = [json.loads(path.read_text()) for path in folder.iterdir()]
    chosen = [
        event
        for event in events
        if job in ("", event["job"]["name"]) and kind in ("", event["eventType"])
    ]
    return sorted(chosen, key=lambda event: event["eventTime"])


def edges(events: Iterable[Event]) -> set[tuple[str, str]]:
    """Return what was made from what: by column where a job says so, else all from all."""
    found = set()
    for event in events:
        for output in event["outputs"]:
            columns = output["facets"].get("columnLineage", {}).get("fields", {})
            made_from = {
                field["name"] for column in columns.values() for field in column["inputFields"]
            } or {read["name"] for read in event["inputs"]}
            found |= {(name, output["name"]) for name in made_from}
    return found


def made_from(name: str, graph: set[tuple[str, str]]) -> set[str]:
    """Return everything upstream of a dataset."""
    upstream: set[str] = set()
    wanted = {name}
    while wanted:
        wanted = {source for source, target in graph if target in wanted} - upstream
        upstream |= wanted
    return upstream


def facets(events: Iterable[Event]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every facet with its name."""
    for event in events:
        holders = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
        for holder in holders:
            for kind in ("facets", "inputFacets", "outputFacets"):
                yield from holder.get(kind, {}).items()
