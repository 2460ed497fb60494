"""Start the audits from the pipeline: each in the quality environment, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from include.environments import CommandFailed, executable, run
from include.quality.report import BLOCKED, BLOCKS
from include.quality.session import AuditError
from include.warehouse.checks import Tool
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import AUDITOR, Layer


class AuditFailed(RuntimeError):
    """A release broke checks that block it; the message names them and what they found."""

    def __init__(self, release_id: int, tool: Tool, findings: Sequence[str]) -> None:
        self.release_id = release_id
        self.tool = tool
        self.findings = tuple(findings)
        super().__init__(
            f"{len(findings)} blocking checks of {tool} do not hold on release {release_id}:\n"
            + "\n".join(f"* {finding}" for finding in findings)
        )


def audit_with_soda(
    release_id: int,
    connection: ConnectionSettings,
    layers: Sequence[Layer],
    on_line: Callable[[str], None],
) -> None:
    """Audit bronze and silver (those in `layers`) and record the results.

    Args:
        connection: a login that is a member of `gamebot_auditor`.
        on_line: receives the report, line by line.

    Raises:
        AuditFailed: a blocking check does not hold or could not be evaluated.
        AuditError: the audit could not run at all.
        MissingEnvironment: the quality environment was not built.
    """
    arguments = ["include.quality.soda_audit", "--release", str(release_id)]
    arguments += ["--layers", ",".join(layers)]
    _audit("soda", arguments, release_id, connection, on_line)


def audit_with_great_expectations(
    release_id: int,
    connection: ConnectionSettings,
    docs_dir: Path,
    on_line: Callable[[str], None],
) -> None:
    """Audit gold, record the results and write Data Docs: a website without outside links.

    Args:
        connection: a login that is a member of `gamebot_auditor`.
        docs_dir: folder for the website, made when it does not exist.
        on_line: receives the report, line by line.

    Raises:
        AuditFailed: a blocking expectation does not hold or could not be evaluated.
        AuditError: the audit could not run at all.
        MissingEnvironment: the quality environment was not built.
    """
    arguments = ["include.quality.gx_audit", "--release", str(release_id)]
    arguments += ["--docs-dir", str(docs_dir)]
    _audit("great_expectations", arguments, release_id, connection, on_line)


def _audit(
    tool: Tool,
    arguments: Sequence[str],
    release_id: int,
    connection: ConnectionSettings,
    on_line: Callable[[str], None],
) -> None:
    command: list[str | Path] = [executable("quality"), "-u", "-m", *arguments]
    try:
        run(command, connection.acting_as(AUDITOR).as_environment(), on_line)
    except CommandFailed as error:
        # An interpreter that cannot even import the audit ends with the same code.
        concluded = any(line.startswith(BLOCKS) for line in error.last_lines)
        if error.returncode != BLOCKED or not concluded:
            raise AuditError(
                f"The audit of release {release_id} with {tool} could not run:\n"
                + "\n".join(error.last_lines)
            ) from error
        raise AuditFailed(release_id, tool, _findings(connection, release_id, tool)) from error


def _findings(connection: ConnectionSettings, release_id: int, tool: Tool) -> list[str]:
    with connection.connect(role=AUDITOR) as session:
        found = session.execute(
            """
            select layer || '.' || table_name || ': ' || description || ' (' || message || ')'
            from ops.check_results
            where release_id = %s
              and tool = %s
              and (outcome = 'error' or (outcome = 'failed' and severity = 'blocking'))
            order by 1
            """,
            (release_id, tool),
        )
        return [finding for (finding,) in found]
