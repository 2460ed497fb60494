"""`python -m tests.e2e.hosted`: the local stack in the surroundings of a hosted Airflow.

Its processes are those of `include.local`; what they are told of the world is in `hosted.json` of
the state folder, and the connections are in no variable of theirs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion

from include.local import airflow_home, cli, stack
from include.local.databases import LocalDatabases
from include.local.state import State
from include.warehouse.connection import CONNECTION_ID

SETTINGS = "hosted.json"


class DeployedDags(BaseDagBundle):
    """Stands in for Astro's bundle: a folder for each deploy, named after its time.

    A run keeps to the deploy that it began with, and the next one takes the newest.
    """

    supports_versioning = True

    def __init__(self, *, deploys: str, **options: Any) -> None:
        super().__init__(**options)
        self._deploys = Path(deploys)

    def get_current_version(self) -> BundleVersion:
        """Return the deploy that this bundle shows."""
        newest = max(folder.name for folder in self._deploys.iterdir())
        return BundleVersion(version=self.version or newest)

    def refresh(self) -> None:
        """Nothing to fetch: a deploy puts its folder there."""

    @property
    def path(self) -> Path:
        """The folder with dags/ in it."""
        return self._deploys / self.get_current_version().version


def hosted_environment(state: State, databases: LocalDatabases, api_port: int) -> dict[str, str]:
    """Return the environment of Airflow's processes: no connection in it, and no way to include/
    but the module path.
    """
    environment = {
        name: value
        for name, value in LOCAL_ENVIRONMENT(state, databases, api_port).items()
        if not name.startswith("DB_") and name != f"AIRFLOW_CONN_{CONNECTION_ID.upper()}"
    }
    return environment | json.loads((state.folder / SETTINGS).read_text())


LOCAL_ENVIRONMENT = airflow_home.airflow_environment

if __name__ == "__main__":
    airflow_home.airflow_environment = hosted_environment
    stack.airflow_environment = hosted_environment
    cli.main()
