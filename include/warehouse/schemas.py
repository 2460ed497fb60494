"""The names of layers, roles and schemas: the one place that spells them."""

from __future__ import annotations

from typing import Literal, get_args

Layer = Literal["bronze", "silver", "gold"]
SourceKind = Literal["upstream", "snapshot", "directory"]

LAYERS: tuple[Layer, ...] = get_args(Layer)

# dbt seeds and helper tables: they belong to a release but are not published.
REFERENCE = "reference"

OWNER = "gamebot_owner"
LOADER = "gamebot_loader"
TRANSFORMER = "gamebot_transformer"
AUDITOR = "gamebot_auditor"
READER = "gamebot_reader"

# Whoever may create tables in a release's schema owns it.
SCHEMA_OWNERS = {
    "bronze": LOADER,
    REFERENCE: TRANSFORMER,
    "silver": TRANSFORMER,
    "gold": TRANSFORMER,
}


def release_schema(layer: str, release_id: int) -> str:
    """Return the schema that holds one layer of one release, such as `silver_r42`."""
    return f"{layer}_r{release_id}"


def layers_up_to(target: Layer) -> tuple[Layer, ...]:
    """Return the layers that a run with this target builds, lowest first."""
    return LAYERS[: LAYERS.index(target) + 1]
