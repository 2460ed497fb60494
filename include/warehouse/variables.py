"""Print the `DB_*` variables of the warehouse that Airflow uses here, for a person's own shell.

    eval "$(python -m include.warehouse.variables)"

In a container of the dev stack, in standalone mode or on a worker: whatever runs next, dbt by hand
for instance, reaches the same warehouse. Holds the password: for a terminal, never for a log.
"""

from __future__ import annotations

import os
import shlex

from include.warehouse.connection import ConnectionSettings


def connection_variables() -> dict[str, str]:
    """Return the variables of connection `survivor_postgres`, from wherever it is kept."""
    # A shell is no task, which would ask the API server; but as `airflow connections` does, it may
    # ask Airflow's database itself.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    return ConnectionSettings.from_airflow().as_environment()


if __name__ == "__main__":
    for name, value in connection_variables().items():
        print(f"export {name}={shlex.quote(value)}")
