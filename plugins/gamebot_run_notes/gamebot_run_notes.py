"""Writes the note of a run when it ends: in the scheduler; in the API server if a person ends it.

What the note says is left by the run's tasks, so that nothing here needs the warehouse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.models.dagrun import DagRun
    from sqlalchemy import Connection

OURS = "survivor_"


class RunNotes:
    """What Airflow calls when a run ends; it logs an error of ours and goes on."""

    @hookimpl
    def on_dag_run_success(self, dag_run: DagRun) -> None:
        """Write what a task left."""
        if dag_run.dag_id.startswith(OURS):
            _write(dag_run, failed=False)

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun) -> None:
        """Write where it failed and why, and what a task left."""
        if dag_run.dag_id.startswith(OURS):
            _write(dag_run, failed=True)


def _write(dag_run: DagRun, *, failed: bool) -> None:
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None or session.get_bind().dialect.name not in ("postgresql", "sqlite"):
        return
    session.flush()
    # The run belongs to a transaction of Airflow's, which an error of ours must not spoil. A
    # savepoint of the session would count as a commit, which the scheduler forbids.
    with session.connection().begin_nested():
        _write_in(session.connection(), dag_run, failed=failed)


def _write_in(connection: Connection, dag_run: DagRun, *, failed: bool) -> None:
    from airflow.models.dagrun import DagRunNote
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.dialects import postgresql, sqlite

    from include.alerts import FAILURE
    from include.run_notes import NOTE, failure_note, with_note

    left: dict[tuple[str, str], str] = {}
    for xcom in connection.execute(
        select(XComModel.task_id, XComModel.key, XComModel.value)
        .where(XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id)
        .where(XComModel.key.in_([NOTE, FAILURE]))
        .order_by(XComModel.timestamp)
    ):
        value = XComModel.deserialize_value(xcom)
        # A backend of the deployment's own may keep it elsewhere.
        if isinstance(value, str):
            left[xcom.key, xcom.task_id] = value
    notes = [value for (key, _), value in left.items() if key == NOTE]
    text = notes[-1] if notes else None
    if failed:
        tasks: Iterable[str] = connection.scalars(
            select(TaskInstance.task_id)
            .where(TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id)
            .where(TaskInstance.state == "failed")
            .order_by(TaskInstance.end_date)
        )
        text = failure_note(
            dag_run.dag_id, {task: left.get((FAILURE, task)) for task in tasks}, text
        )
    if text is None:
        return
    note = DagRunNote.__table__
    content = with_note(
        connection.scalar(select(note.c.content).where(note.c.dag_run_id == dag_run.id)), text
    )
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    # Somebody may write the first note at this very moment.
    connection.execute(
        insert(note)
        .values(dag_run_id=dag_run.id, content=content)
        .on_conflict_do_update(index_elements=["dag_run_id"], set_={"content": content})
    )


class GamebotRunNotes(AirflowPlugin):
    """What Airflow finds here."""

    name = "gamebot_run_notes"
    listeners: ClassVar = [RunNotes()]
