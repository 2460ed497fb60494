#!/usr/bin/env python
"""Draw the diagrams of docs/architecture.md from the code.

    python scripts/diagrams.py

Each is a Mermaid flowchart between a comment that names it and its end. They show the tasks of the
DAG, the modules that import one another, and the tables that are built from one another. Of tasks
and modules an edge that a longer way implies is left out.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

DOCUMENT = PROJECT / "docs" / "architecture.md"
DIAGRAM = re.compile(r"(<!-- diagram of (\w+): make diagrams -->\n).*?(<!-- end -->)", re.DOTALL)

# What a node leads to.
Graph = dict[str, set[str]]


def tasks() -> Graph:
    """Return what runs after each task; the models' tasks are one node."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(PROJECT / "dags")
    assert not bag.import_errors, bag.import_errors
    graph: Graph = {}
    for task in bag.dags["survivor_medallion_pipeline"].tasks:
        followers = {_task_node(name) for name in task.downstream_task_ids}
        node = _task_node(task.task_id)
        graph.setdefault(node, set()).update(followers - {node})
    return graph


def _task_node(task_id: str) -> str:
    return "models.*" if task_id.startswith("models.") else task_id


def modules() -> Graph:
    """Return what the DAG files and each module or package of `include` import of `include`."""
    graph: Graph = defaultdict(set)
    for path in [*PROJECT.glob("dags/*.py"), *PROJECT.glob("include/**/*.py")]:
        parts = path.relative_to(PROJECT).with_suffix("").parts
        node = parts[0] if parts[0] == "dags" else parts[1]
        imports = (
            each
            for each in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(each, ast.ImportFrom) and each.module
        )
        for each in imports:
            root, *module = (each.module or "").split(".")
            if root == "include":
                names = module[:1] or [alias.name for alias in each.names]
                graph[node].update(name for name in names if name != node)
    return dict(graph)


def tables() -> Graph:
    """Return which published tables are built from each dataset and table, helpers left out."""
    from include.transformation.manifest import manifest_path

    manifest = json.loads(manifest_path().read_text(encoding="utf-8"))
    nodes = manifest["sources"] | manifest["nodes"]

    def published(unique_id: str) -> bool:
        node = nodes[unique_id]
        path = Path(node["original_file_path"])
        return node["resource_type"] == "source" or path.parts[1:-1] in (("silver",), ("gold",))

    def origins(unique_id: str) -> set[str]:
        found: set[str] = set()
        for parent in manifest["parent_map"][unique_id]:
            if nodes[parent]["resource_type"] in ("source", "model"):
                found |= {parent} if published(parent) else origins(parent)
        return found

    graph: Graph = defaultdict(set)
    for unique_id, node in nodes.items():
        if node["resource_type"] == "model" and published(unique_id):
            for origin in origins(unique_id):
                graph[_table_node(nodes[origin])].add(_table_node(node))
    return dict(graph)


def _table_node(node: dict[str, str]) -> str:
    layer = (
        "bronze" if node["resource_type"] == "source" else node["original_file_path"].split("/")[1]
    )
    return f"{layer}.{node['name']}"


def reduced(graph: Graph) -> Graph:
    """Return the graph without the edges that a longer way implies.

    Raises:
        graphlib.CycleError: something leads back to itself.
    """
    nodes = list(TopologicalSorter(graph).static_order())
    reachable: Graph = {}
    for node in nodes:
        followers = graph.get(node, set())
        reachable[node] = followers.union(*(reachable[name] for name in followers))
    return {
        node: {
            name
            for name in graph.get(node, set())
            if not any(name in reachable[other] for other in graph[node] - {name})
        }
        for node in nodes
    }


def flowchart(graph: Graph) -> str:
    """Return a Mermaid flowchart; nodes that are all called `group.name` are boxed by group."""
    nodes = sorted({*graph, *(name for followers in graph.values() for name in followers)})
    boxed = all("." in node for node in nodes)
    lines = ["flowchart LR"]
    for group, members in groupby(nodes, lambda node: node.split(".")[0] if boxed else ""):
        lines += [f"    subgraph {group}"] if group else []
        lines += [f'        {_id(node)}["{node.removeprefix(f"{group}.")}"]' for node in members]
        lines += ["    end"] if group else []
    lines += [
        f"    {_id(node)} --> {_id(follower)}"
        for node in nodes
        for follower in sorted(graph.get(node, ()))
    ]
    return "\n".join(lines)


def _id(node: str) -> str:
    return re.sub(r"\W+", "_", node)


def drawn(text: str) -> str:
    """Return a document with its diagrams as the code is now."""
    diagrams = {
        "tasks": lambda: reduced(tasks()),
        "modules": lambda: reduced(modules()),
        "tables": tables,
    }

    def draw(found: re.Match[str]) -> str:
        return f"{found[1]}```mermaid\n{flowchart(diagrams[found[2]]())}\n```\n{found[3]}"

    return DIAGRAM.sub(draw, text)


if __name__ == "__main__":
    # Airflow would make itself a home in that of the person, and say a lot.
    with TemporaryDirectory() as home:
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
        DOCUMENT.write_text(drawn(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
