"""What a person may choose: of a run, in the form of the Airflow UI; of all runs, by settings."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import Param
from airflow.sdk.configuration import conf

from include.ingestion.catalog import load_catalog

# Which workers take the tasks, where the executor has several: Airflow's own default, unless said
# otherwise. Those that start dbt or an audit, or hold a dataset, need the most memory.
QUEUE = os.environ.get("GAMEBOT_QUEUE") or conf.get("operators", "default_queue")
HEAVY_QUEUE = os.environ.get("GAMEBOT_HEAVY_QUEUE") or QUEUE


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


# What every task of every DAG has, unless it says otherwise.
DEFAULT_ARGS: dict[str, Any] = {
    "owner": "gamebot",
    "pool": os.environ.get("GAMEBOT_POOL", "default_pool"),
    "queue": QUEUE,
    "retries": 2,
    "retry_delay": duration("GAMEBOT_RETRY_SECONDS", timedelta(seconds=1), default=10),
    "retry_exponential_backoff": True,
    "execution_timeout": timedelta(minutes=30),
    # A task says itself what came of it.
    "show_return_value_in_logs": False,
}

# Where whoever finds a DAG red reaches its owner: a mail address or a page.
OWNER_LINKS = {"gamebot": link} if (link := os.environ.get("GAMEBOT_OWNER_LINK")) else {}

# The headings of the form. What has none stands first, and open.
RELEASE = "What becomes of it"
EXCEPTIONS = "Exceptions"

PARAMS = {
    "source": Param(
        os.environ.get("GAMEBOT_SOURCE", "auto"),
        title="Source",
        enum=["auto", "upstream", "snapshot", "directory"],
        values_display={
            "auto": "auto: the repository, else its snapshot",
            "upstream": "upstream: survivoR's repository",
            "snapshot": "snapshot: the package gamebot-lite",
            "directory": "directory: a folder of .rda files",
        },
        description_md="Where the data comes from. *auto* is the repository of "
        "[survivoR](https://github.com/doehm/survivoR), or its snapshot on the package registry "
        "while the repository cannot be reached and nothing published came from it.",
    ),
    "ref": Param(
        None,
        title="Commit",
        type=["null", "string"],
        description_md="Instead of the newest commit: a "
        "[commit](https://github.com/doehm/survivoR/commits), tag or branch. For the sources "
        "*auto* and *upstream*.",
    ),
    "source_dir": Param(
        None,
        title="Folder",
        type=["null", "string"],
        description_md="For source *directory* alone: a folder of .rda files that every worker "
        "can read, such as */data/survivoR/2026-06-12*.",
    ),
    "target_layer": Param(
        os.environ.get("GAMEBOT_TARGET_LAYER", "gold"),
        title="Target layer",
        section=RELEASE,
        enum=["bronze", "silver", "gold"],
        values_display={
            "bronze": "bronze: the copies of upstream's files",
            "silver": "silver: and the tables made from them",
            "gold": "gold: and the features",
        },
        description_md="Build, audit and publish up to this layer; the others stay as they are.",
    ),
    "publish": Param(
        True,
        title="Publish",
        section=RELEASE,
        type="boolean",
        description_md="Show the release to readers once it is audited. Without this it is a "
        "**replay**: built although nothing changed, however few rows it has compared with what "
        "is published, and kept for whoever wants to look at it.",
    ),
    "force": Param(
        False,
        title="Force",
        section=EXCEPTIONS,
        type="boolean",
        description_md="Build a release although neither the data nor the code changed.",
    ),
    "accept_falls": Param(
        [],
        title="Accept falls",
        section=EXCEPTIONS,
        type=["array", "null"],
        items={"type": "string"},
        # What the form offers; a name that is none of these is refused by the first task.
        examples=sorted(load_catalog().datasets),
        description_md="Datasets that may have fewer rows or seasons than what is published, "
        "because upstream took them back on purpose. A replay accepts them all.",
    ),
}


def _release(description: str) -> dict[str, Param]:
    # The form of Airflow offers no list that would be up to date.
    return {
        "release_id": Param(
            None, title="Release", type=["null", "integer"], description_md=description
        )
    }


# Of the DAGs that are about a release that is there already.
ROLLBACK_PARAMS = _release(
    "The number of the release to show, from the [console](gamebot/). Without one, the log of the "
    "run says which there are."
)
AUDIT_PARAMS = _release(
    "The number of the release to audit again, from the [console](gamebot/). Without one, it is "
    "what readers see."
)
ARTIFACT_PARAMS = _release(
    "The number of the release whose files and pages are to be made, from the [console](gamebot/). "
    "Without one, it is what readers see."
)
