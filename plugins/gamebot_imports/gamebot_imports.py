"""Imports once what each task would import again to read a DAG file.

A scheduler with its LocalExecutor and a DAG processor load their plugins when they start and fork
afterwards: whatever is imported by then, their children need not look for. Nothing of `include` may
be among it, since a running Airflow must see our changes.
"""

from __future__ import annotations

from importlib import import_module

from airflow.plugins_manager import AirflowPlugin

for module in (
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.decorators.short_circuit",
    "airflow.sdk.definitions.decorators",
    "cosmos.airflow.task_group",
    "cosmos.operators.local",
    "cosmos.profiles",
    "psycopg",
):
    import_module(module)


class GamebotImports(AirflowPlugin):
    """What Airflow finds here."""

    name = "gamebot_imports"
