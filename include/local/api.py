"""The few calls to Airflow's REST API that the local stack makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import httpx
from pydantic import BaseModel

ACTIVE = ("queued", "running")
PAGE = 100


class ApiError(RuntimeError):
    """Airflow answered with an error, or not at all."""


class DagRun(BaseModel, frozen=True):
    """A run of a DAG."""

    dag_id: str
    dag_run_id: str
    state: str
    start_date: datetime | None = None
    end_date: datetime | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.state not in ACTIVE


class TaskInstance(BaseModel):
    """One task of a run."""

    dag_id: str
    dag_run_id: str
    task_id: str
    map_index: int
    operator_name: str | None = None
    state: str | None
    try_number: int
    start_date: datetime | None = None
    end_date: datetime | None = None
    duration: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it stands in the graph without running anything."""
        return self.operator_name == "EmptyOperator"

    @property
    def finished(self) -> bool:
        """Whether it has come to its end, whichever."""
        return self.state in ("success", "failed", "skipped", "upstream_failed", "removed")


class AirflowApi:
    """A signed-in client of one api-server."""

    def __init__(self, url: str, user: str, password: str) -> None:
        """Describe the server; the first call signs in."""
        self._user, self._password = user, password
        # Never through a proxy: the server is on this machine.
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def is_healthy(self, components: tuple[str, ...] = ()) -> bool:
        """Whether the server answers and calls its database and these components healthy."""
        try:
            health = self._http.get("/api/v2/monitor/health", timeout=10).json()
        except (httpx.HTTPError, ValueError):
            return False
        return all(
            health.get(component, {}).get("status") == "healthy"
            for component in ("metadatabase", *components)
        )

    def warm_up(self) -> None:
        """Let the server build what the first task would wait for otherwise."""
        # On a busy machine it goes on building after nobody waits for it any more.
        with suppress(httpx.TimeoutException):
            self._http.get("/execution/health")

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """Return what Airflow knows of a DAG, None when it has not read it yet."""
        return self._get(f"/api/v2/dags/{dag_id}", missing_ok=True)

    def reparse(self, file_token: str) -> None:
        """Ask for a DAG file to be read again now."""
        self._request("PUT", f"/api/v2/parseDagFile/{file_token}", ok=(409,))

    def import_errors(self, since: datetime) -> dict[str, str]:
        """Return the stack trace of each DAG file that could not be read since then."""
        errors = self._get("/api/v2/importErrors")["import_errors"]
        return {
            error["filename"]: error["stack_trace"]
            for error in errors
            if datetime.fromisoformat(error["timestamp"]) >= since
        }

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> DagRun:
        """Start a run with these params."""
        body = {"logical_date": None, "conf": dict(conf)}
        response = self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)
        return DagRun.model_validate(response)

    def run(self, dag_id: str, run_id: str) -> DagRun:
        """Return a run as it is now."""
        return DagRun.model_validate(self._get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))

    def active_runs(self, dag_id: str = "~") -> list[DagRun]:
        """Return the queued and running runs of one DAG or of all."""
        runs = self._get(f"/api/v2/dags/{dag_id}/dagRuns", state=ACTIVE, limit=PAGE)["dag_runs"]
        return [DagRun.model_validate(run) for run in runs]

    def fail(self, run: DagRun) -> None:
        """End a run as failed; its running tasks are told to stop."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.dag_run_id}"
        self._request("PATCH", path, json={"state": "failed"})

    def task_instances(self, run: DagRun) -> list[TaskInstance]:
        """Return all tasks of a run."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.dag_run_id}/taskInstances"
        return [TaskInstance.model_validate(item) for item in self._pages(path, "task_instances")]

    def xcom(self, run: DagRun, task_id: str) -> Any:
        """Return what a task of the run returned, None when it returned nothing."""
        path = (
            f"/api/v2/dags/{run.dag_id}/dagRuns/{run.dag_run_id}"
            f"/taskInstances/{task_id}/xcomEntries/return_value"
        )
        entry = self._get(path, missing_ok=True, deserialize=True)
        return entry["value"] if entry else None

    def runs_caused_by(self, run: DagRun) -> tuple[list[DagRun], bool]:
        """Return the runs that this run's asset events started, and whether more must come."""
        events = self._get(
            "/api/v2/assets/events",
            source_dag_id=run.dag_id,
            source_run_id=run.dag_run_id,
            limit=PAGE,
        )["asset_events"]
        caused: list[DagRun] = []
        pending = False
        for event in events:
            started = event["created_dagruns"]
            consumers = self._get(f"/api/v2/assets/{event['asset_id']}")["scheduled_dags"]
            pending = pending or len(started) < len(consumers)
            caused += [self.run(other["dag_id"], other["run_id"]) for other in started]
        return caused, pending

    def _pages(self, path: str, field: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._get(path, limit=PAGE, offset=offset)
            yield from page[field]
            offset += PAGE
            if offset >= page["total_entries"]:
                return

    def _get(self, path: str, *, missing_ok: bool = False, **params: Any) -> Any:
        return self._request("GET", path, params=params, ok=(404,) if missing_ok else ())

    def _request(self, method: str, path: str, ok: tuple[int, ...] = (), **options: Any) -> Any:
        """Return the decoded answer, None for an error status in `ok`."""
        try:
            if "Authorization" not in self._http.headers:
                self._sign_in()
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ApiError(f"Airflow does not answer: {error}") from error
        if response.status_code in ok:
            return None
        if response.is_error:
            raise ApiError(
                f"Airflow refused {method} {path}: {response.status_code} {response.text[:500]}"
            )
        return response.json() if response.content else None

    def _sign_in(self) -> None:
        login = {"username": self._user, "password": self._password}
        response = self._http.post("/auth/token", json=login)
        response.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
