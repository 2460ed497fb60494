"""What a person may choose: of a run, in the form of the Airflow UI; of all runs, by settings."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import Param
from airflow.sdk.configuration import conf

# Which workers take the tasks, where the executor has several: Airflow's own default, unless said
# otherwise. Those that start dbt or an audit, or hold a dataset, need the most memory.
QUEUE = os.environ.get("GAMEBOT_QUEUE") or conf.get("operators", "default_queue")
HEAVY_QUEUE = os.environ.get("GAMEBOT_HEAVY_QUEUE") or QUEUE

PARAMS = {
    "source": Param(
        os.environ.get("GAMEBOT_SOURCE", "auto"),
        title="Source",
        enum=["auto", "upstream", "snapshot", "directory"],
        description="Where the data comes from: survivoR's repository, its snapshot on the package "
        "registry, or a folder of .rda files. `auto` is the repository, or the snapshot while the "
        "repository cannot be reached and nothing published came from it.",
    ),
    "ref": Param(
        None,
        title="Commit",
        type=["null", "string"],
        description="A commit, tag or branch of survivoR instead of its newest commit.",
    ),
    "source_dir": Param(
        None,
        title="Folder",
        type=["null", "string"],
        description="For source `directory`: a folder of .rda files that every worker can read.",
    ),
    "accept_falls": Param(
        [],
        title="Accept falls",
        type="array",
        items={"type": "string"},
        description="Datasets that may have fewer rows or seasons than what is published, because "
        "upstream took them back on purpose: one name a line.",
    ),
    "target_layer": Param(
        os.environ.get("GAMEBOT_TARGET_LAYER", "gold"),
        title="Target layer",
        enum=["bronze", "silver", "gold"],
        description="Build, audit and publish up to this layer; the others stay as they are.",
    ),
    "force": Param(
        False,
        title="Force",
        type="boolean",
        description="Build a release although neither the data nor the code changed.",
    ),
    "publish": Param(
        True,
        title="Publish",
        type="boolean",
        description="Show the release to readers once it is audited. Otherwise it is a replay: "
        "built although nothing changed, however few rows it has compared with what is published, "
        "and kept for whoever wants to look at it.",
    ),
}


def duration(variable: str, unit: timedelta, default: float) -> timedelta:
    """Read a setting that is a number of minutes, say.

    Raises:
        ValueError: names the setting, which is no number above 0.
    """
    given = os.environ.get(variable) or default
    try:
        length = float(given) * unit
    except (ValueError, OverflowError):
        length = timedelta(0)
    if length <= timedelta(0):
        raise ValueError(f"{variable} must be a number above 0, not {given!r}.")
    return length
