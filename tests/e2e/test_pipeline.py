"""The whole pipeline through the real Airflow, in the order in which a person meets it.

The tests build on each other: each starts from the warehouse that the one before left.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from include.environments import PROJECT_DIR
from include.ingestion.catalog import load_catalog
from include.local.airflow_home import passwords_file
from include.local.api import DagRun
from include.local.databases import PIPELINE_LOGIN, LocalDatabases
from include.warehouse.definitions import list_definitions
from include.warehouse.schemas import OWNER
from include.warehouse.summary import release_summary
from tests.e2e.conftest import TOKENS
from tests.e2e.leaks import files, leaked, tables, watched_processes
from tests.e2e.lineage import edges, facets, made_from, read_events
from tests.e2e.machine import Machine
from tests.survivor_files import write_minimal_survivor

DAG = "survivor_medallion_pipeline"
STAGES = (
    "detect_changes",
    "open_release",
    "load_bronze",
    "dbt_build",
    "audit_with_soda",
    "audit_with_great_expectations",
    "publish_release",
    "close_release",
)
CRASHED: list[str] = []
SILVER = {
    "advantage_strategy",
    "castaway_profile",
    "challenge_performance",
    "edit_features",
    "jury_analysis",
    "season_context",
    "social_positioning",
    "vote_dynamics",
}
GOLD = {
    "ml_features_hybrid": 1441,
    "ml_features_non_edit": 1441,
    "ml_features_as_of": 15490,
    "as_of_pre_season": 1441,
    "as_of_merge": 845,
    "as_of_final_8": 8 * 76,
    "as_of_final_6": 6 * 76,
    "as_of_final_5": 5 * 76,
}


@pytest.fixture(scope="module", autouse=True)
def checkout_stays_clean() -> Iterator[None]:
    """No run may change or create a file in the checkout."""
    if not (PROJECT_DIR / ".git").exists():
        yield
        return
    before = _git_status()
    yield
    assert _git_status() == before


def _git_status() -> str:
    return subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def published(machine: Machine) -> int:
    """Return the number of the release that readers see."""
    return machine.query("select max(_release_id) from bronze.season_summary")[0][0]


def finished(machine: Machine, run: DagRun, seconds: int = 600) -> DagRun:
    deadline = time.monotonic() + seconds
    while not (run := machine.api.run(run.dag_id, run.dag_run_id)).finished:
        assert time.monotonic() < deadline, f"{run.dag_run_id} is still {run.state}"
        time.sleep(0.5)
    return run


def test_a_fresh_machine_without_upstream_ends_with_a_whole_warehouse(machine: Machine) -> None:
    outcome = machine.make("run", source="snapshot")
    assert outcome.code == 0
    assert "Release 1 is published" in outcome.output

    bronze = machine.rows("bronze")
    assert len(bronze.keys() - {"ingestion_runs", "dataset_versions"}) == 19
    assert bronze["dataset_versions"] == 19
    assert machine.rows("silver").keys() == SILVER
    assert machine.rows("gold") == GOLD
    # The silver layer is about the same castaways, votes and challenges as bronze.
    assert machine.rows("silver")["challenge_performance"] == bronze["challenge_results"]

    # By what each was built: else nobody could say later whose a change is.
    with LocalDatabases.of(machine.state).pipeline.connect(role=OWNER) as connection:
        defined = list_definitions(connection, 1)
        summary = release_summary(connection, 1)
    # What is told without counting is what a reader counts.
    for layer in ("bronze", "silver", "gold"):
        assert summary.rows[layer]
        assert summary.rows[layer].items() <= machine.rows(layer).items()
    assert {name for name in defined if not name.startswith("reference.")} == {
        *(f"silver.{model}" for model in SILVER),
        *(f"gold.{model}" for model in GOLD),
    }


def test_lineage_leads_from_upstreams_file_to_what_readers_see(machine: Machine) -> None:
    folder = machine.state.folder / "lineage"
    for task in (*STAGES, *(f"models.{model}" for model in SILVER | GOLD.keys())):
        told = [event["eventType"] for event in read_events(folder, f"{DAG}.{task}")]
        assert told == ["START", "COMPLETE"], task

    ended = read_events(folder, kind="COMPLETE")
    graph = edges(ended)
    way = [
        "gamebot-lite/gamebot.sqlite",
        "warehouse.bronze_rN.castaways",
        "warehouse.silver_rN.castaway_profile",
        "warehouse.gold_rN.ml_features_hybrid",
        "warehouse.gold.ml_features_hybrid",
    ]
    for name, after in pairwise(way):
        assert name in made_from(after, graph)
    # Each view shows one table, although one task publishes them all.
    assert {source for source, view in graph if view == way[-1]} == {way[-2]}
    # All begins with upstream's file or a seed: an ephemeral model is no table.
    starts = {source for source, _ in graph} - {target for _, target in graph}
    assert way[0] in starts
    assert all(name.startswith("warehouse.reference_rN.") for name in starts - {way[0]})

    (loaded,) = read_events(folder, f"{DAG}.load_bronze", "COMPLETE")
    castaways = next(each for each in loaded["outputs"] if each["name"] == way[1])
    assert castaways["namespace"].startswith("postgres://127.0.0.1:")
    assert castaways["outputFacets"]["outputStatistics"]["rowCount"] > 1000
    assert castaways["facets"]["version"]["datasetVersion"] == "1"
    (symlink,) = castaways["facets"]["symlinks"]["identifiers"]
    assert symlink["name"] == "warehouse.bronze_r1.castaways"

    for task, checks in {"dbt_build": 500, "audit_with_soda": 150}.items():
        (audited,) = read_events(folder, f"{DAG}.{task}", "COMPLETE")
        assertions = [
            each
            for table in audited["inputs"]
            for each in table["inputFacets"]["dataQualityAssertions"]["assertions"]
        ]
        assert len(assertions) > checks
        assert all(each["success"] for each in assertions if each["severity"] == "error")

    for name, facet in facets(read_events(folder)):
        if name != "unknownSourceAttribute":
            assert facet["_producer"].startswith("https://") and "_schemaURL" in facet, name


def test_the_log_and_the_files_of_dbt_name_their_release(machine: Machine) -> None:
    (log,) = machine.state.logs.glob("tasks/*/*/task_id=dbt_build/attempt=1.log")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    first = next(n for n, entry in enumerate(entries) if "Running with dbt" in entry["event"])
    assert {entry.get("release_id") for entry in entries[first:]} == {1}
    assert any("OK created sql table model silver_r1.season_context" in e["event"] for e in entries)
    kept = machine.state.artifacts / "releases" / "1" / "dbt"
    assert any(kept.as_uri() in entry["event"] for entry in entries)
    assert {path.name for path in kept.iterdir()} == {
        "dbt.log",
        "manifest.json",
        "run_results.json",
    }


# What fans can check. A warehouse that counts rows instead of meanings gets each of these wrong.
FACTS = {
    "jury votes of Heroes vs. Villains": (
        "select castaway, jury_votes_received from gold.ml_features_non_edit"
        " join silver.castaway_profile using (version_season, castaway_id)"
        " where version_season = 'US20' and is_finalist order by 2 desc",
        [("Sandra", 6), ("Parvati", 3), ("Russell", 0)],
    ),
    "individual immunity wins of Tom in Palau": (
        "select individual_immunity_wins from gold.ml_features_non_edit"
        " join silver.castaway_profile using (version_season, castaway_id)"
        " where version_season = 'US10' and castaway = 'Tom'",
        [(5,)],
    ),
    "ages of Boston Rob": (
        "select array_agg(age order by season) from silver.castaway_profile"
        " where castaway_id = 'US0055'",
        [([25, 27, 33, 34, 43],)],
    ),
    "returnees of four seasons": (
        "select array_agg(returnee_count order by season_number) from silver.season_context"
        " where version_season in ('US16', 'US22', 'US38', 'US45')",
        [([10, 2, 4, 1],)],
    ),
    "votes when Stephen left Cambodia, two of which stand twice upstream": (
        "select target.castaway, count(*) from silver.vote_dynamics vote"
        " join silver.castaway_profile target on target.version_season = vote.version_season"
        " and target.castaway_id = vote.target_id"
        " where vote.version_season = 'US31' and boot_vote_number = 12 and vote_round = 1"
        " group by 1 order by 2 desc",
        [("Stephen", 4), ("Abi-Maria", 3), ("Joe", 2)],
    ),
    "votes for Jessica, who left by drawing a rock": (
        "select coalesce(sum(vote_correct), 0) from silver.vote_dynamics"
        " where version_season = 'US33' and boot_vote_number = 11",
        [(0,)],
    ),
    "seasons with Redemption Island": (
        "select array_agg(version_season order by version_season) from silver.season_context"
        " where has_redemption_island",
        [(["NZ01", "US22", "US23", "US27"],)],
    ),
}


@pytest.mark.parametrize("fact", FACTS)
def test_fans_find_what_they_know(machine: Machine, fact: str) -> None:
    question, answer = FACTS[fact]
    assert machine.query(question) == answer


def test_a_second_run_says_that_there_is_nothing_new(machine: Machine) -> None:
    outcome = machine.make("run", source="snapshot")
    assert outcome.code == 0
    assert "Nothing new: release 1" in outcome.output
    assert "Release 2" not in machine.make("releases").output


@pytest.fixture(scope="module")
def airflow(machine: Machine) -> None:
    """Airflow as `make up` leaves it, which `make run` then uses too."""
    assert machine.make("up").code == 0


@pytest.mark.usefixtures("airflow")
def test_a_monitor_learns_without_signing_in_what_readers_see(machine: Machine) -> None:
    response = machine.api._http.get("/gamebot/health")
    assert (response.status_code, response.json()["warehouse"]) == (200, {"status": "healthy"})
    layers = response.json()["published"]
    assert {layer: it["release_id"] for layer, it in layers.items()} == {
        "bronze": 1,
        "silver": 1,
        "gold": 1,
    }


def newest_run(machine: Machine, dag_id: str = DAG) -> dict[str, Any]:
    """Return what the REST API says of the run that was started last."""
    runs = machine.api._get(f"/api/v2/dags/{dag_id}/dagRuns", order_by="-id", limit=1)
    run: dict[str, Any] = runs["dag_runs"][0]
    return run


@pytest.mark.usefixtures("airflow")
def test_a_person_finds_the_sql_the_sum_and_no_wall_of_text(machine: Machine) -> None:
    run = newest_run(machine)
    assert run["note"].startswith("**[Release 1](gamebot/releases/1)** is published: snapshot")
    assert "| bronze |" in run["note"] and "(dbt)" in run["note"]

    path = f"/api/v2/dags/{DAG}/dagRuns/{run['dag_run_id']}/taskInstances"
    tasks = machine.api._get(f"{path}?limit=100")["task_instances"]
    rendered = {task["task_id"]: task["rendered_fields"] for task in tasks}
    assert '"bronze_r1"."vote_history"' in rendered["models.vote_dynamics"]["compiled_sql"]
    # Airflow keeps 4 kB of a field unless it is told otherwise.
    longest = rendered["models.ml_features_as_of"]["compiled_sql"]
    assert len(longest) > 20_000 and "runcated" not in longest
    assert "--select 'source:*" in rendered["dbt_build"]["dbt_command"]
    links = machine.api._get(f"{path}/audit_with_great_expectations/links")["extra_links"]
    assert links["Release"] == "gamebot/releases/1"

    for task_id in ("dbt_build", "audit_with_soda", "audit_with_great_expectations"):
        (log,) = machine.state.logs.glob(f"tasks/dag_id={DAG}/*/task_id={task_id}/attempt=1.log")
        in_the_open, depth = [], 0
        for line in log.read_text().splitlines():
            event = json.loads(line)["event"]
            depth += event.startswith("::group::")
            if not depth:
                in_the_open.append(event)
            depth -= event.startswith("::endgroup::")
        assert depth == 0, task_id
        assert 2 <= len(in_the_open) < 15, in_the_open
        assert any("tests: " in event or "checks: " in event for event in in_the_open)


@pytest.mark.usefixtures("airflow")
def test_published_data_that_went_bad_is_found_and_readers_are_left_in_peace(
    machine: Machine,
) -> None:
    """Somebody repaired the database by hand."""
    before = machine.contents("gold")
    superuser = LocalDatabases.of(machine.state).server.settings("warehouse")
    with superuser.connect(autocommit=True) as admin:
        admin.execute("update bronze_r1.castaways set age = age * 12")
    run = finished(machine, machine.api.trigger("survivor_release_audit", {}))
    assert run.state == "failed"
    states = {task.task_id: task.state for task in machine.api.task_instances(run)}
    assert states["audit_with_soda"] == states["dbt_test"] == "failed"
    assert states["audit_with_great_expectations"] == "success"
    note = newest_run(machine, run.dag_id)["note"]
    assert "`audit_with_soda`" in note and "Readers see it in bronze, silver, gold" in note
    assert "docs/runbooks/rollback.md" in note
    with superuser.connect(autocommit=True) as admin:
        found = admin.execute(
            "select tool, check_id from ops.check_results where release_id = 1 and outcome = "
            "'failed' and severity = 'blocking' and tool in ('dbt', 'soda')"
        ).fetchall()
        assert ("soda", "bronze.castaways.ages_lie_between_15_and_90") in found
        assert {tool for tool, _ in found} == {"dbt", "soda"}
        admin.execute("update bronze_r1.castaways set age = age / 12")
    assert machine.contents("gold") == before
    assert published(machine) == 1


@pytest.mark.usefixtures("airflow")
def test_a_broken_file_is_named_and_readers_notice_nothing(
    machine: Machine, tmp_path: Path
) -> None:
    folder = write_minimal_survivor(tmp_path / "truncated")
    broken = folder / "vote_history.rda"
    broken.write_bytes(broken.read_bytes()[:-40])
    outcome = machine.make("run", source="directory", source_dir=str(folder))
    assert outcome.code == 1
    assert "vote_history.rda cannot be read" in outcome.output
    assert published(machine) == 1
    run = newest_run(machine)
    assert "* `load_bronze`: " in run["note"] and "vote_history.rda cannot be read" in run["note"]
    assert "docs/runbooks/failed-run.md" in run["note"]
    assert "Readers keep [Release 1]" in run["note"]
    # No worker was troubled with models that dbt never got to.
    tasks = machine.api.task_instances(DagRun.model_validate(run))
    assert not [task.task_id for task in tasks if "models." in task.task_id and task.duration]


@pytest.mark.usefixtures("airflow")
def test_a_kill_in_the_middle_of_dbt_harms_nobody(machine: Machine) -> None:
    """The machine lost power while dbt was building."""
    before = machine.contents("gold")
    run = machine.api.trigger(DAG, {"source": "snapshot", "force": True})
    deadline = time.monotonic() + 300
    while not machine.builds_models():
        assert time.monotonic() < deadline, "dbt did not start"
        time.sleep(0.1)
    time.sleep(3)
    for process in machine.airflow_processes():
        process.kill()
    assert machine.contents("gold") == before

    # The next start ends what the crash left.
    assert machine.make("up").code == 0
    assert finished(machine, run).state == "failed"
    CRASHED.append(run.dag_run_id)


@pytest.mark.usefixtures("airflow")
def test_a_cleared_task_goes_on_where_the_crash_was_with_every_model_reported(
    machine: Machine,
) -> None:
    before = machine.contents("silver") | machine.contents("gold")
    release = published(machine)
    crashed = machine.api.run(DAG, CRASHED[0])
    machine.clear(crashed, "dbt_build")
    run = finished(machine, crashed)
    states = {task.task_id: task.state for task in machine.api.task_instances(run)}
    assert run.state == "success"
    assert set(states.values()) == {"success"}
    assert {f"models.{name}" for name in SILVER | GOLD.keys()} <= states.keys()

    assert published(machine) > release
    assert machine.contents("silver") | machine.contents("gold") == before

    # Once readers see it, nothing of it can be built again.
    machine.clear(run, "dbt_build")
    assert finished(machine, run).state == "failed"
    assert machine.contents("silver") | machine.contents("gold") == before


@pytest.mark.usefixtures("airflow")
def test_a_run_up_to_silver_leaves_gold_alone(machine: Machine) -> None:
    newest = published(machine)
    outcome = machine.make("run", source="snapshot", target_layer="silver", force="1")
    assert outcome.code == 0
    assert published(machine) > newest
    assert machine.rows("gold") == GOLD
    events = machine.api._get("/api/v2/assets/events?order_by=-timestamp&limit=10")
    told = [
        event["name"]
        for event in events["asset_events"]
        if event["extra"]["release_id"] == published(machine)
    ]
    assert sorted(told) == ["survivor_bronze", "survivor_silver", "survivor_warehouse"]


def test_an_earlier_release_comes_back_by_its_number(machine: Machine) -> None:
    newest = published(machine)
    assert machine.make("rollback 1").code == 0
    assert published(machine) == 1
    # What was rolled away does not come back by itself.
    assert "Nothing new" in machine.make("run", source="snapshot").output
    assert published(machine) == 1
    assert machine.make(f"rollback {newest}").code == 0
    assert published(machine) == newest
    assert machine.make("rollback 4711").code == 1


@pytest.mark.usefixtures("airflow")
def test_no_secret_is_found_anywhere_after_runs_that_failed(
    machine: Machine, tmp_path: Path
) -> None:
    """Errors, logs and rendered templates like to repeat what a program was given."""
    folder = str(write_minimal_survivor(tmp_path / "minimal"))
    made_up = {
        "source": "directory",
        "source_dir": folder,
        "accept_falls": list(load_catalog().datasets),
    }
    with watched_processes() as commands:
        runs = [
            fails_with_password_changed_elsewhere(machine),
            fails_in(machine, "detect_changes", {"source": "upstream"}),
            fails_in(machine, "audit_with_soda", {**made_up, "target_layer": "bronze"}),
            fails_in(machine, "dbt_build", made_up),
            fails_and_says_so(machine, {"source": "directory", "source_dir": str(tmp_path)}),
        ]
    state = machine.state
    databases = LocalDatabases.of(state)
    places = {
        "process list": b"\n".join(commands),
        **dict(
            files(
                state.folder,
                # Where secrets are kept, for their owner's eyes only.
                but_for=[
                    state.folder / "secrets.json",
                    Path(passwords_file(state)),
                    state.postgres / "data",
                ],
            )
        ),
        **dict(tables(databases.server.settings("airflow"), "public")),
        **dict(tables(databases.server.settings("warehouse"), "ops")),
    }
    # Each task that failed told so, and an audit which checks did not hold.
    lineage = state.folder / "lineage"
    told = {event["job"]["name"] for event in read_events(lineage, kind="FAIL")}
    assert {f"{DAG}.{task}" for task in ("detect_changes", "audit_with_soda", "dbt_build")} <= told
    *_, audited = read_events(lineage, f"{DAG}.audit_with_soda", "FAIL")
    assert any(
        not assertion["success"]
        for table in audited["inputs"]
        for assertion in table["inputFacets"]["dataQualityAssertions"]["assertions"]
    )
    *_, loaded = read_events(lineage, f"{DAG}.load_bronze", "COMPLETE")
    assert (f"{folder}/castaways.rda", "warehouse.bronze_rN.castaways") in edges([loaded])

    # It was looked for where something was to be found.
    everything = b"\n".join(places.values())
    for run in runs:
        assert run.dag_run_id.encode() in places["table public.rendered_task_instance_fields"]
    assert b"password authentication failed" in everything
    assert b"dbt_project.yml" in everything
    assert b"soda_audit" in places["process list"]
    assert str(made_up["source_dir"]).encode() in places["table ops.ingestion_runs"]

    assert leaked(places.items(), {**state.secrets(), **TOKENS}) == set()
    for name in ("secrets.json", Path(passwords_file(state)).relative_to(state.folder)):
        assert (state.folder / name).stat().st_mode & 0o077 == 0


def fails_in(machine: Machine, task_id: str, conf: Mapping[str, object]) -> DagRun:
    """Let a run fail in one of its tasks, without the tries and tasks that would follow."""
    run = machine.api.trigger(DAG, conf)
    deadline = time.monotonic() + 300
    while True:
        states = {task.task_id: task.state for task in machine.api.task_instances(run)}
        if states.get(task_id) in ("failed", "up_for_retry"):
            machine.api.fail(run)
            return run
        assert time.monotonic() < deadline, f"{task_id} is {states.get(task_id)}"
        time.sleep(0.2)


def fails_and_says_so(machine: Machine, conf: Mapping[str, object]) -> DagRun:
    """Let a run fail to its end, whose alerts then reach nobody."""
    run = finished(machine, machine.api.trigger(DAG, conf))
    deadline = time.monotonic() + 60
    while not all(
        f"{name} could not send".encode() in b"".join(dict(files(machine.state.logs)).values())
        for name in ("SmtpNotifier", "SlackWebhookNotifier")
    ):
        assert time.monotonic() < deadline, "no alert was tried"
        time.sleep(1)
    return run


def fails_with_password_changed_elsewhere(machine: Machine) -> DagRun:
    """Let a run fail after a rotation that nobody told Airflow of."""
    with LocalDatabases.of(machine.state).server.settings().connect(autocommit=True) as admin:
        kept = admin.execute(
            "select rolpassword from pg_authid where rolname = %s", (PIPELINE_LOGIN,)
        ).fetchone()
        assert kept is not None
        admin.execute(f"alter role {PIPELINE_LOGIN} password 'another'")
        try:
            return fails_in(machine, "detect_changes", {"source": "snapshot"})
        finally:
            admin.execute(f"alter role {PIPELINE_LOGIN} password '{kept[0]}'")
