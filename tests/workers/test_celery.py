"""The pipeline on two workers that share nothing, and what happens when one of them dies.

One deployment for all of these: each test starts from what the one before left.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from include.local.api import DagRun
from tests.drills.reader import Reader
from tests.workers.conftest import TIMELINES
from tests.workers.deployment import (
    WORKERS,
    Deployment,
    Gauge,
    Try,
    said,
    wait_until,
)

RUN_TIMEOUT = 1200
TASK_TIMEOUT = 600


class Timeline:
    """What happened when, of one run."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.began = time.time()
        self._events: list[tuple[float, str]] = []

    def note(self, what: str, at: float | None = None) -> None:
        self._events.append((time.time() if at is None else at, what))

    def add(self, tries: list[Try]) -> None:
        """Note every try; the reports of the models, which take no time, together."""
        reports: dict[str, list[Try]] = {}
        for one in tries:
            if one.task_id.startswith("models."):
                reports.setdefault(one.worker, []).append(one)
                continue
            self.note(f"{one.worker}: {one.task_id}, try {one.number}", one.started.timestamp())
            if one.ended:
                self.note(
                    f"{one.worker}: {one.task_id}, try {one.number}: {one.state}",
                    one.ended.timestamp(),
                )
        for worker, models in reports.items():
            last = max(one.ended for one in models).timestamp()
            self.note(f"{worker}: the last of its {len(models)} reports of models", last)

    def __str__(self) -> str:
        began = datetime.fromtimestamp(self.began, UTC)
        lines = [
            f"{at - self.began:6.1f} s  {what}"
            for at, what in sorted(self._events)
            if at >= self.began
        ]
        return "\n".join([f"{self.title}, {began:%Y-%m-%d %H:%M:%S} UTC", *lines])


@pytest.fixture
def timeline(request: pytest.FixtureRequest) -> Iterator[Timeline]:
    """The timeline of the test, printed at the end of the session."""
    doc = (request.function.__doc__ or request.node.name).strip().splitlines()[0]
    timeline = Timeline(doc)
    yield timeline
    request.config.stash[TIMELINES].append(str(timeline))


@pytest.fixture(autouse=True)
def logs_of_a_failure(request: pytest.FixtureRequest, deployment: Deployment) -> Iterator[None]:
    """Show what the workers and the scheduler said last when a test fails."""
    yield
    for name in (*WORKERS, "scheduler"):
        print(f"--- {name}", said(deployment.state.logs / f"{name}.log")[-3000:], sep="\n")


def release_of(deployment: Deployment, run: DagRun) -> int | None:
    """The release that a run has opened."""
    opened = deployment.warehouse(
        "select release_id from ops.releases where triggered_by = %s", run.dag_run_id
    )
    return opened[0][0] if opened else None


def explanation(deployment: Deployment, run: DagRun) -> str:
    """What the first red task says."""
    red = [one for one in deployment.tries(run) if one.state not in ("success", "skipped")]
    return "\n".join(
        f"{one.task_id} {one.number} {one.state} on {one.worker}: "
        + deployment.log(run, one.task_id, one.number)[-3000:]
        for one in red[:2]
    )


def sessions_of_dbt(deployment: Deployment, release: int) -> list[tuple[int, str]]:
    return deployment.warehouse(
        "select pid, state from pg_stat_activity where application_name = %s",
        f"gamebot dbt_build r{release}",
    )


def wait_until_dbt_is_half_done(deployment: Deployment, run: DagRun) -> tuple[int, str]:
    """Wait until dbt has built some tables of the release; returns it and dbt's worker."""
    wait_until(lambda: release_of(deployment, run), TASK_TIMEOUT)
    release = release_of(deployment, run)
    assert release is not None
    wait_until(
        lambda: (
            deployment.warehouse(
                "select count(*) > 2 from pg_tables where schemaname = %s", f"silver_r{release}"
            )[0][0]
            and sessions_of_dbt(deployment, release)
        ),
        TASK_TIMEOUT,
    )
    return release, next(one.worker for one in deployment.tries(run) if one.task_id == "dbt_build")


def is_published_once(deployment: Deployment, run: DagRun, release: int) -> None:
    """The run is green, and its release came to readers in one step, as the only new one."""
    wait_until(lambda: deployment.state_of(run) in ("success", "failed"), RUN_TIMEOUT, pause=1)
    assert deployment.state_of(run) == "success", explanation(deployment, run)
    events = deployment.warehouse(
        "select event from ops.release_events where release_id = %s", release
    )
    assert events == [("published",)]
    assert deployment.warehouse("select max(release_id) from ops.releases") == [(release,)]
    assert deployment.warehouse("select distinct _release_id from bronze.castaways") == [(release,)]
    assert (
        deployment.warehouse(
            "select release_id from ops.releases where state in ('building', 'audited')"
        )
        == []
    )


def is_the_same_data(deployment: Deployment, release: int, earlier: int) -> None:
    """Every table has as many rows as in an earlier release of the same files."""

    def rows(number: int) -> dict[str, int]:
        return {
            name: deployment.warehouse(f'select count(*) from {layer}_r{number}."{name}"')[0][0]
            for layer in ("bronze", "silver", "gold")
            for (name,) in deployment.warehouse(
                "select tablename from pg_tables where schemaname = %s", f"{layer}_r{number}"
            )
        }

    assert rows(release) == rows(earlier) != {}


def test_two_workers_build_one_release(
    deployment: Deployment, timeline: Timeline, request: pytest.FixtureRequest
) -> None:
    """Two workers, and a message that is delivered twice"""
    with Gauge(deployment) as gauge:
        run = deployment.trigger()
        release, worker = wait_until_dbt_is_half_done(deployment, run)
        other = next(name for name in WORKERS if name != worker)
        assert deployment.deliver_again() >= 1
        timeline.note("Redis delivers the message of dbt_build again")
        is_published_once(deployment, run, release)
    tries = deployment.tries(run)
    timeline.add(tries)
    timeline.note(f"release {release} is published, the run is over")
    assert {one.worker for one in tries} == set(WORKERS)
    assert {one.number for one in tries} == {1}, "a task was run twice"
    ignored = [
        name
        for name in WORKERS
        if "already running elsewhere" in said(deployment.workers[name].log)
    ]
    assert ignored in ([worker], [other])

    # The API server has none of the workers' files: it shows what they left on S3.
    for name in WORKERS:
        task = next(one.task_id for one in tries if one.worker == name)
        assert "Pre Execute" in deployment.log(run, task, 1)
    # What a task puts into /tmp goes with it; Cosmos' cache and Celery's folder are empty of data.
    for machine in deployment.workers.values():
        left = machine.temporary_files()
        assert not [name for name in left if name != "cosmos" and not name.startswith("pymp-")]
    request.config.stash[TIMELINES].append(used(gauge, tries))


def used(gauge: Gauge, tries: list[Try]) -> str:
    """Return the table of what each task used at most."""
    lines = [f"an idle worker: {gauge.idle / 2**20:.0f} MiB"]
    reports: list[int] = []
    for one in tries:
        peak = gauge.peaks.get(one.key)
        if peak is None:
            continue
        if one.task_id.startswith("models."):
            reports.append(peak.memory)
            continue
        seconds = (one.ended - one.started).total_seconds()
        lines.append(
            f"{one.task_id}: {peak.memory / 2**20:.0f} MiB, {peak.disk / 2**20:.1f} MiB in /tmp, "
            f"{seconds:.0f} s"
        )
    lines.append(f"a report of a model: {max(reports, default=0) / 2**20:.0f} MiB")
    return "\n".join(lines)


@pytest.mark.parametrize("how", ["kill", "vanish"])
def test_a_worker_dies_in_the_middle_of_dbt(
    deployment: Deployment, reader: Reader, timeline: Timeline, how: str
) -> None:
    """A worker dies in the middle of dbt"""
    timeline.title += {
        "kill": ": signal 9 to all its processes",
        "vanish": ": its machine loses power, nothing says goodbye",
    }[how]
    before = deployment.warehouse("select max(release_id) from ops.releases")[0][0]
    since = time.time()
    run = deployment.trigger(force=True)
    release, victim = wait_until_dbt_is_half_done(deployment, run)
    survivor = next(name for name in WORKERS if name != victim)
    died = time.time()
    sessions = len(sessions_of_dbt(deployment, release))
    timeline.note(f"{victim} dies, with {sessions} sessions of dbt")
    getattr(deployment.workers[victim], how)()
    first = {pid for pid, _ in sessions_of_dbt(deployment, release)}
    gone = None
    while deployment.state_of(run) == "running":
        assert time.time() - died < RUN_TIMEOUT
        now = {pid for pid, _ in sessions_of_dbt(deployment, release)}
        if gone is None and not first & now:
            gone = time.time()
            timeline.note("the database has ended the last session that dbt left")
        time.sleep(0.5)
    tries = deployment.tries(run)
    timeline.add(tries)
    is_published_once(deployment, run, release)
    timeline.note(f"release {release} is published, the run is over")

    of_dbt = [one for one in tries if one.task_id == "dbt_build"]
    assert [one.worker for one in of_dbt] == [victim, *[survivor] * (len(of_dbt) - 1)]
    assert len(of_dbt) == 2, explanation(deployment, run)
    assert {one.number for one in tries if one.task_id != "dbt_build"} == {1}
    assert {one.worker for one in tries if one.started > of_dbt[1].started} == {survivor}
    if how == "vanish":
        assert "that a killed task left" in deployment.log(run, "dbt_build", 2)

    # A day later Redis takes the dead worker for slow, and delivers its message to another one.
    assert deployment.deliver_again() >= 1
    wait_until(lambda: "not_found" in said(deployment.workers[survivor].log), TASK_TIMEOUT)
    assert deployment.state_of(run) == "success"
    assert deployment.tries(run) == tries

    reader.wait_for_look(time.time())
    verdict = reader.judge(since)
    timeline.note(f"readers: {verdict}")
    assert verdict.complaints == []
    assert verdict.releases == [before, release]
    is_the_same_data(deployment, release, before)

    deployment.switch_on(victim)
    deployment.wait_for_worker(victim)
