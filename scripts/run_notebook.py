"""Executes a notebook of docs/ in place, so that it can be read with its pictures: make notebook.

The client reads its default source, or what GAMEBOT_DATA names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

PROJECT = Path(__file__).resolve().parents[1]
NOTEBOOKS = PROJECT / "docs" / "notebooks"
SECONDS_PER_CELL = 300


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run every cell, in a kernel that imports the client of this checkout."""
    paths = [str(PROJECT / "client" / "src"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    # Times of cells would differ each time.
    client = NotebookClient(
        notebook, timeout=SECONDS_PER_CELL, record_timing=False, coalesce_streams=True
    )
    # No port is opened: whoever reaches a kernel's may run anything.
    client.create_kernel_manager().transport = "ipc"
    client.execute(env=environment)
    # The version of this machine's Python is none of the notebook's business.
    notebook.metadata["language_info"] = {"name": "python"}


def main() -> None:
    """Execute the notebooks that are named, or all."""
    for path in map(Path, sys.argv[1:] or sorted(map(str, NOTEBOOKS.glob("*.ipynb")))):
        notebook = nbformat.read(path, as_version=4)
        execute(notebook)
        nbformat.write(notebook, path)
        print(f"Executed {path.name}")


if __name__ == "__main__":
    main()
