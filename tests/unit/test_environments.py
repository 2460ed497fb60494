"""Programs of the other environments: found where they are, heard out, and never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from include.environments import (
    PROJECT_DIR,
    CommandFailed,
    MissingEnvironment,
    executable,
    on_a_leash,
    run,
)


def silent(line: str) -> None:
    pass


def run_until_it_prints_a_pid(program: str) -> int:
    """Run Python until it prints a process id, and interrupt it there as a killed task is."""
    started: list[int] = []

    def interrupted(line: str) -> None:
        started.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", program], {}, interrupted)
    return started[0]


def test_a_setting_says_where_an_environment_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "dbt"
    program.parent.mkdir()
    program.touch()
    monkeypatch.setenv("GAMEBOT_DBT_ENV", str(tmp_path))
    assert executable("dbt", "dbt") == program


def test_a_missing_environment_is_named_with_the_command_that_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEBOT_QUALITY_ENV", str(tmp_path / "nowhere"))
    with pytest.raises(MissingEnvironment, match=r"build_environments\.sh quality"):
        executable("quality")


def test_lines_come_as_they_are_printed_and_settings_arrive() -> None:
    lines: list[str] = []
    program = "import os, sys; print(os.environ['WORD']); print('to stderr', file=sys.stderr)"
    run([sys.executable, "-u", "-c", program], {"WORD": "tribe"}, lines.append)
    assert lines == ["tribe", "to stderr"]


def test_the_warehouse_that_is_handed_over_is_not_mixed_with_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DB_HOST", "production")
    monkeypatch.setenv("DB_SSLMODE", "require")
    program = "import os; print({k: v for k, v in os.environ.items() if k.startswith('DB_')})"
    lines: list[str] = []
    run([sys.executable, "-c", program], {"DB_HOST": "localhost"}, lines.append)
    run([sys.executable, "-c", program], {}, lines.append)
    assert lines == [
        "{'DB_HOST': 'localhost'}",
        "{'DB_HOST': 'production', 'DB_SSLMODE': 'require'}",
    ]


def test_a_failure_says_what_the_program_said_last() -> None:
    program = "print('relation does not exist'); raise SystemExit(3)"
    with pytest.raises(CommandFailed, match="relation does not exist") as failure:
        run([sys.executable, "-c", program], {}, silent)
    assert failure.value.returncode == 3


def test_a_program_that_was_killed_is_not_said_to_have_failed() -> None:
    program = (
        "import os, signal; print('at work', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    with pytest.raises(CommandFailed, match=r"killed by SIGKILL, .* memory .*: give it more:\nat"):
        run([sys.executable, "-c", program], {}, silent)


def test_whoever_stops_listening_ends_the_program_and_what_it_started() -> None:
    """A killed task must not leave dbt building behind its back."""
    program = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(child.pid, flush=True);"
        "time.sleep(600)"
    )
    pid = run_until_it_prints_a_pid(program)
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.05)
    else:
        assert not psutil.pid_exists(pid)


@pytest.mark.skipif(not on_a_leash(), reason="needs setpriv, which only Linux has")
def test_a_program_ends_with_the_task_that_was_killed() -> None:
    """Its task was killed and tried again, and two dbts built the same release."""
    sleeper = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    task = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from include.environments import run;"
            f"run([sys.executable, '-c', {sleeper!r}], {{}}, lambda line: print(line, flush=True))",
        ],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert task.stdout is not None
    pid = int(task.stdout.readline())
    task.kill()
    task.wait()
    task.stdout.close()
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)


def test_what_does_not_want_to_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.environments.SECONDS_TO_END", 0.5)
    program = (
        "import os, signal, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(os.getpid(), flush=True);"
        "time.sleep(600)"
    )
    pid = run_until_it_prints_a_pid(program)
    assert not psutil.pid_exists(pid)


def test_a_program_that_ended_meanwhile_does_not_hide_the_interruption() -> None:
    def interrupted(line: str) -> None:
        os.waitpid(int(line), 0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", "import os; print(os.getpid())"], {}, interrupted)
