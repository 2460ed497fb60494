"""What reading each DAG file imports and touches, beyond importing Airflow.

    python -m tests.costs.parsing    # in an Airflow home

As the dag-processor does it: a process that has imported Airflow forks for each file, so that none
profits from what another one imported. Prints one JSON object.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import socket
import sys
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

from airflow.dag_processing import processor  # noqa: F401  what the dag-processor has imported
from airflow.dag_processing.dagbag import BundleDagBag

# Nothing of ours is imported here: it would not be counted any more.
PROJECT_DIR = Path(__file__).resolve().parents[2]

# What Python itself brings differs between its versions, and these have a name of the moment.
NOT_COUNTED = re.compile(r"unusual_prefix_\w+|[0-9a-f]{16,}__mypyc|_cython_\w+|__\w+__")

WAREHOUSE = "connections to the warehouse"
HEARD = {
    "sqlite3.connect": "connections to Airflow's database",
    "subprocess.Popen": "programs started",
    "os.posix_spawn": "programs started",
    "os.system": "programs started",
}


def package_of(module: str) -> str:
    """Return the package whose import this module is part of; each provider is one."""
    parts = module.split(".")
    return ".".join(parts[:3] if parts[:2] == ["airflow", "providers"] else parts[:1])


def count(file: Path, answer: Connection) -> None:
    """Read one DAG file in this process and send what that took."""
    touched = Counter(dict.fromkeys([*HEARD.values(), WAREHOUSE], 0))

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in HEARD:
            touched[HEARD[event]] += 1

    # libpq tells no audit hook, so a warehouse counts who rings, and hangs up.
    with socket.create_server(("127.0.0.1", 0)) as warehouse:
        Thread(target=hang_up, args=(warehouse, touched), daemon=True).start()
        os.environ["AIRFLOW_CONN_SURVIVOR_POSTGRES"] = json.dumps(
            {"conn_type": "postgres", "host": "127.0.0.1", "port": warehouse.getsockname()[1]}
            | {"schema": "costs", "login": "costs"}
        )
        before = set(sys.modules)
        sys.addaudithook(hear)
        bag = BundleDagBag(dag_folder=file, bundle_path=PROJECT_DIR, bundle_name="costs")
        packages = Counter(map(package_of, set(sys.modules) - before))
    from airflow.providers.standard.operators.empty import EmptyOperator

    figures = {f"read {file.name}: {what}": times for what, times in touched.items()}
    for package, modules in packages.items():
        if package not in sys.stdlib_module_names and not NOT_COUNTED.fullmatch(package):
            figures[f"read {file.name}: modules of {package}"] = modules
    for dag_id, dag in bag.dags.items():
        empty = sum(isinstance(task, EmptyOperator) for task in dag.tasks)
        figures[f"{dag_id}: tasks"] = len(dag.tasks)
        figures[f"{dag_id}: tasks that a worker runs"] = len(dag.tasks) - empty
    answer.send(figures)


def hang_up(warehouse: socket.socket, touched: Counter[str]) -> None:
    """Count who connects, until the socket is closed."""
    with suppress(OSError):
        while True:
            warehouse.accept()[0].close()
            touched[WAREHOUSE] += 1


def main() -> None:
    """Read every DAG file and print what it took."""
    figures: dict[str, int] = {}
    for file in sorted((PROJECT_DIR / "dags").glob("*.py")):
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=count, args=(file, theirs))
        process.start()
        theirs.close()
        figures |= ours.recv()
        process.join()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
