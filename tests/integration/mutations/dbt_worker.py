"""Runs dbt commands in one process of the dbt environment, again and again.

A dbt start costs seconds, for imports and for reading the project. This pays for the first once,
and for the second once per request: a line with a JSON list of commands, each a list of arguments.
The answer is a line with what became of every node.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from dbt.cli.main import dbtRunner, dbtRunnerResult

# Nobody reads the artifacts, and writing them takes as long as the tests.
FLAGS = ["--no-write-json", "--quiet"]


def invoke(dbt: dbtRunner, command: list[str]) -> dbtRunnerResult:
    """Run one command.

    Raises:
        RuntimeError: dbt could not run it; a node that fails is no such case.
    """
    outcome = dbt.invoke([*FLAGS, *command])
    if outcome.exception:
        raise RuntimeError(str(outcome.exception)) from outcome.exception
    return outcome


def answer(commands: list[list[str]]) -> dict[str, Any]:
    """Read the project as it is now and run the commands on it."""
    try:
        dbt = dbtRunner(manifest=invoke(dbtRunner(), ["parse"]).result)
        results = [result for command in commands for result in invoke(dbt, command).result]
    except RuntimeError as error:
        return {"error": str(error)}
    return {"nodes": {result.node.name: str(result.status) for result in results}, "error": None}


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # What dbt prints goes to the log; the way out is for answers alone.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
