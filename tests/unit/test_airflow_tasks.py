"""What the tasks add to the stages: when to give up, and what the run's colour means."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from structlog.contextvars import clear_contextvars, get_contextvars

from include import pipeline
from include.airflow_tasks import (
    close_release,
    conclude_audit,
    detect_changes,
    name_release_in_log,
    no_retry_after,
    open_release,
    publish_release,
)
from include.ingestion.sources import SourceError, SourceUnavailable
from include.transformation.rendering import BUILT, ModelReportOperator
from include.transformation.results import NodeVerdict, packed
from include.warehouse.connection import ConnectionSettings


def test_what_another_try_would_only_repeat_fails_at_once() -> None:
    with pytest.raises(AirflowFailException, match="no such commit"):  # noqa: SIM117
        with no_retry_after(SourceError, unless=(SourceUnavailable,)):
            raise SourceError("no such commit")


def test_a_long_error_is_told_once_with_what_to_do_in_sight(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Falls in 18 datasets filled two screens, twice, and what to do stood below them."""
    caplog.set_level(logging.INFO, "include")
    lines = ["The contract is broken:", *(f"{n} rows" for n in range(50)), "What to do"]
    with pytest.raises(AirflowFailException) as caught:  # noqa: SIM117
        with no_retry_after(SourceError):
            raise SourceError("\n".join(lines))
    told = str(caught.value).splitlines()
    assert (told[0], told[-2], told[-1]) == ("The contract is broken:", "and 31 more", "What to do")
    assert caught.value.__suppress_context__
    assert set(lines) <= set(caplog.messages)


@pytest.mark.parametrize("error", [SourceUnavailable("upstream is down"), OSError("lost")])
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    with pytest.raises(type(error)):  # noqa: SIM117
        with no_retry_after(SourceError, unless=(SourceUnavailable,)):
            raise error


@pytest.fixture
def closing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Close a release, given why it failed in the warehouse and how the run's tasks came out."""

    def close(
        release_id: int | None, failure: str | None, *, publish: bool = True, **states: str
    ) -> None:
        monkeypatch.setattr(ConnectionSettings, "from_airflow", lambda: None)
        monkeypatch.setattr(pipeline, "close_release", lambda settings, release_id: failure)
        monkeypatch.setattr(pipeline, "release_note", lambda settings, release_id: "a note")
        ti = SimpleNamespace(
            dag_id="survivor_medallion_pipeline",
            run_id="nightly",
            get_task_states=lambda **_: {"nightly": states},
            xcom_push=lambda **_: None,
        )
        close_release.function(release_id, ti, {"publish": publish})

    return close


def test_a_published_release_makes_a_green_run(closing: Any) -> None:
    closing(7, None, publish_release="success")


def test_an_unpublished_release_makes_a_red_run_that_says_why(closing: Any) -> None:
    with pytest.raises(AirflowFailException, match="not published: boot_mapping fell to 14 rows"):
        closing(7, "boot_mapping fell to 14 rows", publish_release="skipped")


def test_a_run_cleared_after_its_publication_is_red_when_it_fails(closing: Any) -> None:
    """The release is live, so nothing failed in the warehouse, but this run's dbt was refused."""
    with pytest.raises(AirflowFailException, match="did not get to publish_release"):
        closing(7, None, publish_release="upstream_failed")


def test_a_replay_is_good_when_it_was_audited_and_red_when_it_failed(closing: Any) -> None:
    closing(7, None, publish=False, publish_release="skipped")
    with pytest.raises(AirflowFailException, match="a column is missing"):
        closing(7, "a column is missing", publish=False, publish_release="upstream_failed")


def test_a_replay_emits_no_event_since_nothing_changed_for_readers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ConnectionSettings, "from_airflow", lambda: None)
    monkeypatch.setattr(
        pipeline, "publish", lambda settings, release_id: {"release_id": 7, "layers": []}
    )
    with pytest.raises(AirflowSkipException, match="Release 7 is a replay"):
        list(publish_release.function(7))


@pytest.mark.parametrize("layers", [["bronze", "silver", "gold"], ["bronze", "silver"], ["bronze"]])
def test_only_the_layers_that_were_published_get_an_event(
    monkeypatch: pytest.MonkeyPatch, layers: list[str]
) -> None:
    """A run up to silver leaves gold as it was: whoever reads gold has nothing to do."""
    publication = {
        "release_id": 7,
        "commit": "80aaf49",
        "layers": layers,
        "rows": dict.fromkeys(layers, 1441),
    }
    monkeypatch.setattr(ConnectionSettings, "from_airflow", lambda: None)
    monkeypatch.setattr(pipeline, "publish", lambda settings, release_id: publication)
    events = list(publish_release.function(7))
    assert [(event.asset.name, event.asset.uri) for event in events] == [
        ("survivor_warehouse", "survivor_warehouse"),
        *((f"survivor_{layer}", f"x-survivor://warehouse/{layer}") for layer in layers),
    ]
    assert events[0].extra == publication
    assert events[1].extra == {"release_id": 7, "commit": "80aaf49", "rows": 1441}
    # An outlet gets its event whether or not the task names it; one behind an alias only then.
    assert [event.alias is not None for event in events] == [False, *(True for _ in layers)]


def test_a_release_knows_how_its_run_was_started_and_by_whom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(ConnectionSettings, "from_airflow", lambda: None)
    monkeypatch.setattr(
        pipeline, "open_release", lambda settings, source, **options: asked.update(options)
    )
    source = {
        "kind": "directory",
        "version": "v",
        "location": "x",
        "commit": None,
        "fingerprint": "f",
    }
    run = SimpleNamespace(run_id="manual__1", run_type="manual", triggering_user_name="ana")
    left: dict[str, Any] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: left.update({key: value}))
    try:
        open_release.function(source, {"target_layer": "gold", "publish": False}, run, ti)
    finally:
        clear_contextvars()
    assert asked == {
        "target_layer": "gold",
        "triggered_by": "manual__1",
        "run_type": "manual",
        "triggering_user": "ana",
        "is_replay": True,
    }


@pytest.mark.parametrize("task_id", ["open_release", "find_release"])
@pytest.mark.parametrize("keys", [{"release_id": 7, "commit": "80aaf49"}, None])
def test_each_line_of_a_log_names_the_release_once_there_is_one(
    task_id: str, keys: dict[str, Any] | None
) -> None:
    """Whichever task of the DAG knows it first; each task asks once."""
    asked: list[str] = []

    def pull(task_ids: str, key: str) -> dict[str, Any] | None:
        asked.append(task_ids)
        return keys

    context = {
        "ti": SimpleNamespace(task_id="load_bronze", xcom_pull=pull),
        "dag": SimpleNamespace(task_ids=["load_bronze", task_id]),
    }
    try:
        name_release_in_log(context)  # type: ignore[arg-type]
        assert get_contextvars() == (keys or {})
        assert asked == [task_id]
    finally:
        clear_contextvars()


PARAMS = {
    "source": "auto",
    "ref": None,
    "source_dir": None,
    "accept_falls": [],
    "target_layer": "gold",
    "force": False,
    "publish": True,
}


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"source": "snapshot", "ref": "80aaf49"}, "ref applies to upstream"),
        ({"source": "directory"}, "needs the folder"),
        ({"source": "upstream", "source_dir": "/data"}, "a folder applies to source 'directory'"),
        ({"accept_falls": ["boot_maping"]}, "unknown datasets: boot_maping"),
    ],
)
def test_what_a_form_says_that_means_nothing_is_refused_by_the_first_task(
    chosen: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt dataset used to be found after the download, in words for programmers."""
    monkeypatch.setattr(ConnectionSettings, "from_airflow", lambda: None)
    with pytest.raises(AirflowFailException, match=reason) as caught:
        detect_changes.function(PARAMS | chosen)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("state", ["failed", "upstream_failed"])
def test_an_audit_that_is_red_says_what_it_means_and_which_it_was(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="survivor_release_audit",
        run_id="manual__1",
        get_task_states=lambda **_: {
            "manual__1": {
                "dbt_test": "success",
                "audit_with_soda": state,
                "audit_with_great_expectations": "skipped",
            }
        },
        xcom_push=lambda key, value: left.update({key: value}),
    )
    outcome = pipeline.AuditOutcome(
        checks={"soda": {"passed": 3, "failed": 1}}, consequence="Readers see it. 41 can be shown."
    )
    monkeypatch.setattr(ConnectionSettings, "from_airflow", lambda: None)
    monkeypatch.setattr(pipeline, "audit_outcome", lambda settings, release_id: outcome)
    with pytest.raises(AirflowFailException, match=r"not pass audit_with_soda.*41 can be shown"):
        conclude_audit.function(7, ti)
    assert "3 passed, 1 failed (soda)" in left["run_note"]
    assert "41 can be shown" in left["run_note"]


def test_a_run_with_nothing_new_has_nothing_to_close(closing: Any) -> None:
    with pytest.raises(AirflowSkipException):
        closing(None, None, detect_changes="success", open_release="skipped")


@pytest.mark.parametrize(
    "states",
    [
        {"detect_changes": "failed", "open_release": "upstream_failed"},
        {"detect_changes": "success", "open_release": "failed"},
        {"detect_changes": "skipped", "open_release": "skipped"},
    ],
)
def test_a_run_that_failed_before_its_release_is_red(closing: Any, states: dict[str, str]) -> None:
    """This task decides the run's state: with a wrong password it was skipped and the run green."""
    with pytest.raises(AirflowFailException, match="No release was opened"):
        closing(None, None, **states)


class TaskInstance:
    """As much of one as a report needs: what `dbt_build` left for it."""

    def __init__(self, **verdict: Any) -> None:
        values = {
            "state": "built",
            "seconds": 0.4,
            "rows": 1441,
            "errored": False,
            "tests_passed": 3,
            "problems": (),
            "relation": "silver_r7.votes",
        }
        node = NodeVerdict(**{**values, **verdict}).model_dump()
        sql = {"model.survivor.votes": "select '{{ no template }}'"}
        self.built = {"nodes": {"model.survivor.votes": node}, "sql": packed(sql)}

    def xcom_pull(self, task_ids: str, key: str) -> Any:
        assert (task_ids, key) == ("dbt_build", BUILT)
        return self.built


def report(ti: TaskInstance, unique_id: str = "model.survivor.votes") -> ModelReportOperator:
    """Do what Airflow does with a model's task."""
    task = ModelReportOperator(task_id="votes", unique_id=unique_id)
    task.render_template_fields({"ti": ti})  # type: ignore[typeddict-item]
    task.execute({"ti": ti})  # type: ignore[typeddict-item]
    return task


def test_a_models_task_is_green_when_it_was_built_and_shows_its_sql() -> None:
    assert report(TaskInstance()).compiled_sql == "select '{{ no template }}'"


def test_a_models_task_is_red_with_what_dbt_said() -> None:
    failed = TaskInstance(state="failed", problems=("failed: one winner per season (Got 2)",))
    with pytest.raises(AirflowFailException, match="one winner per season"):
        report(failed)


@pytest.mark.parametrize("unique_id", ["model.survivor.votes", "model.survivor.unselected"])
def test_a_models_task_is_skipped_when_dbt_did_not_get_to_it(unique_id: str) -> None:
    with pytest.raises(AirflowSkipException):
        report(TaskInstance(state="skipped"), unique_id)


def test_a_models_task_is_skipped_when_dbt_left_nothing() -> None:
    killed = TaskInstance()
    killed.built = {}
    with pytest.raises(AirflowSkipException, match="ended before it got here"):
        report(killed)
