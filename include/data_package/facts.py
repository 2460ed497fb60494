"""What every file says of the release that it was made from, and of whose data it is."""

from __future__ import annotations

from datetime import UTC, datetime

from include.warehouse.releases import Release

LICENCE = "MIT"
ATTRIBUTION = "survivoR, Copyright (c) 2021 Daniel Oehm and contributors, MIT License"
UPSTREAM_URL = "https://github.com/doehm/survivoR"


def release_facts(release: Release) -> dict[str, str | int]:
    """Return the release's facts, in words and numbers; what is not known is left out."""
    facts: dict[str, str | int | None] = {
        "release_id": release.release_id,
        "source": f"{release.source_kind} {release.source_version}",
        "commit": release.source_commit,
        "published_at": moment(release.published_at),
        "definition": release.code_fingerprint,
        "licence": LICENCE,
        "attribution": ATTRIBUTION,
    }
    return {name: value for name, value in facts.items() if value is not None}


def moment(at: datetime | None) -> str | None:
    """Return a moment as it is written everywhere in the package."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else None
