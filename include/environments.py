"""The virtualenvs beside Airflow's own, and how a program of theirs is run.

dbt and the audit tools need packages that Airflow's constraints forbid, and only developers need
scikit-learn, so they live in environments of their own, built by `scripts/build_environments.sh`.
Each is looked for, in this order, where a variable says, where the image has it, and in the
checkout.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

Environment = Literal["dbt", "quality", "baseline"]

PROJECT_DIR = Path(__file__).resolve().parent.parent
IMAGE_ENVIRONMENTS = Path("/usr/local/gamebot/venvs")
CHECKOUT_ENVIRONMENTS = PROJECT_DIR / ".venvs"
LINES_KEPT_FOR_ERRORS = 20

# Enough for dbt to cancel its queries, and less than the 5 seconds after which Airflow kills a task
# that it has told to stop, for then nobody is left to kill the program.
SECONDS_TO_END = 3

# None of the tools may phone home: it leaks what runs here and stalls where nothing resolves.
NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "GX_ANALYTICS_ENABLED": "False",
    "SCARF_NO_ANALYTICS": "true",
}


class MissingEnvironment(RuntimeError):
    """A virtualenv that a step needs was not built."""


class CommandFailed(RuntimeError):
    """A program ended with an exit code other than 0; the message holds its last lines."""

    def __init__(self, program: str, returncode: int, last_lines: Sequence[str]) -> None:
        self.returncode = returncode
        self.last_lines = tuple(last_lines)
        ended = f"ended with exit code {returncode}"
        if returncode < 0:
            ended = f"was killed by {signal.Signals(-returncode).name}"
        if returncode == -signal.SIGKILL:
            ended += ", as happens to the largest process where memory runs out: give it more"
        super().__init__(f"{program} {ended}:\n" + "\n".join(last_lines))


def executable(environment: Environment, program: str = "python") -> Path:
    """Return the path of a program in one of the virtualenvs.

    Raises:
        MissingEnvironment: names the places looked at and the command that builds it.
    """
    variable = f"GAMEBOT_{environment.upper()}_ENV"
    configured = os.environ.get(variable)
    places = (
        [Path(configured)]
        if configured
        else [IMAGE_ENVIRONMENTS / environment, CHECKOUT_ENVIRONMENTS / environment]
    )
    for place in places:
        path = place / "bin" / program
        if path.exists():
            return path
    raise MissingEnvironment(
        f"No {program} of the {environment} environment in {' or '.join(map(str, places))}. "
        f"Build it with scripts/build_environments.sh {environment}, or set {variable}."
    )


def on_a_leash() -> list[str]:
    """Return what goes before a command, so that it ends when this process is killed.

    Else dbt builds on when its task is gone, beside the dbt of the task's next try. Linux only.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder for the files of one task, which goes with it.

    Raises:
        OSError: it cannot be made or is full; the message says what to do.
    """
    folder = None
    try:
        with tempfile.TemporaryDirectory(prefix="gamebot-") as folder:
            yield Path(folder)
    except OSError as error:
        # Where a disk is full, the system often does not say for which file.
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if folder and not full and not str(error.filename).startswith(folder):
            raise
        place = folder or error.filename or "temporary directory"
        raise OSError(
            error.errno,
            f"{place}: {error.strerror}. Free space there, or let TMPDIR name a folder that can be "
            "written",
        ) from error


def run(
    command: Sequence[str | Path],
    env: Mapping[str, str],
    on_line: Callable[[str], None],
    cwd: Path = PROJECT_DIR,
) -> None:
    """Run a program to its end, handing over each line that it prints as it comes.

    Args:
        command: program and arguments; never holds a secret, since other users may read it.
        env: variables added to this process's own; secrets belong here. Where they name a
            warehouse, this process's `DB_*` are not passed on.
        on_line: receives stdout and stderr, interleaved, without line ends.
        cwd: the working directory.

    Raises:
        CommandFailed: the program ended with an exit code other than 0.
    """
    process = subprocess.Popen(
        [*on_a_leash(), *(str(part) for part in command)],
        env={**_inherited(env), **NO_TELEMETRY, **env},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # A group of its own, so that whatever the program started ends with it.
        start_new_session=True,
    )
    last_lines: deque[str] = deque(maxlen=LINES_KEPT_FOR_ERRORS)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            line = line.rstrip("\n")
            last_lines.append(line)
            on_line(line)
        returncode = process.wait()
    except BaseException:
        _end(process)
        raise
    if returncode:
        raise CommandFailed(Path(command[0]).name, returncode, last_lines)


def _inherited(env: Mapping[str, str]) -> dict[str, str]:
    # A person's DB_SSLMODE, say, belongs to another warehouse than the one that is handed over.
    foreign = ("DB_",) if "DB_HOST" in env else ()
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _end(process: subprocess.Popen[str]) -> None:
    for word in (signal.SIGTERM, signal.SIGKILL):
        # Nobody may be left; where only a zombie is, macOS answers that it is not permitted.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, word)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_END)
