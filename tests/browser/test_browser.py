"""The pages that people see, in a real browser on a real Airflow: two releases and a failed run.

All in one file: the Airflow behind it takes minutes to get there. The tests build on each other where
a release is shown and taken back.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="make test installs it")

from playwright.sync_api import expect

from tests.browser.stack import DAG, NOBODY, VIEWER

if TYPE_CHECKING:
    from tests.browser.stack import Stack
    from tests.browser.watch import Person

ROLLBACK = "survivor_release_rollback"


# Airflow's own pages, with our things in them.


def test_whoever_is_not_signed_in_is_asked_to_and_comes_back(stack: Stack, stranger: Person) -> None:
    page = stranger.open(f"/dags/{DAG}")
    with stranger.watch.expecting("401"):
        page.get_by_label("Username").fill("admin")
        page.locator("input[type=password]").fill("a guess")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Invalid credentials")).to_be_visible()
        stranger.keep(page, "airflow-sign-in-refused")
        stranger.sign_in(page, VIEWER, stack.password(VIEWER))
    expect(page).to_have_url(f"{stack.url}/dags/{DAG}")
    expect(page.get_by_role("heading", name="Survivor medallion pipeline")).to_be_visible()


def test_the_list_shows_our_dags_by_their_names_for_people(admin: Person) -> None:
    page = admin.open("/dags")
    for name in ("Survivor medallion pipeline", "Survivor release rollback"):
        expect(page.get_by_role("link", name=name)).to_be_visible()
    admin.keep(page, "airflow-dags")


def test_the_dag_explains_itself(admin: Person) -> None:
    page = admin.open(f"/dags/{DAG}")
    page.get_by_role("button", name="Dag Docs").click()
    docs = page.get_by_role("dialog")
    expect(docs.get_by_role("heading", name=re.compile("survivoR in, an audited"))).to_be_visible()
    admin.keep(page, "airflow-dag-docs")


def test_the_form_explains_every_field(admin: Person) -> None:
    page = admin.open(f"/dags/{DAG}")
    page.get_by_role("button", name="Trigger Dag").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_role("button", name="Run Parameters")).to_be_visible()
    fields = form.get_by_role("region").get_by_role("group")
    expect(fields.nth(6)).to_be_visible()
    for field in fields.all():
        name, _, explanation = field.inner_text().strip().partition("\n")
        assert name and len(explanation.split()) > 5, f"{name} is not explained: {explanation!r}"
    page.set_viewport_size({"width": 1280, "height": 1500})
    admin.keep(page, "airflow-trigger-form")


def test_the_graph_shows_every_stage_in_its_order(admin: Person) -> None:
    page = admin.open(f"/dags/{DAG}")
    page.get_by_role("button", name="Show Graph").click()
    graph = page.locator(".react-flow")
    stages = [stage.bounding_box() for stage in (
        graph.get_by_text("load_bronze", exact=True), graph.get_by_text("publish_release", exact=True)
    )]
    admin.keep(page, "airflow-graph")
    assert all(stages)


def test_a_failed_run_leads_to_the_check_that_stopped_it(stack: Stack, admin: Person) -> None:
    page = admin.open(f"/dags/{DAG}/runs/{stack.failed.dag_run_id}")
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    admin.keep(page, "airflow-failed-run")
    page.get_by_role("link", name="audit_with_soda").first.click()
    admin.keep(page, "airflow-failed-task")
    expect(page.get_by_text("a season that is over has exactly one winner").first).to_be_visible()
    admin.keep(page, "airflow-log-of-the-failed-task")


def test_the_assets_are_there_for_whoever_builds_on_them(admin: Person) -> None:
    page = admin.open("/assets")
    expect(page.get_by_text("survivor_warehouse")).to_be_visible()
    admin.keep(page, "airflow-assets")


def test_a_viewer_can_start_nothing_in_airflow(stack: Stack, viewer: Person) -> None:
    page = viewer.open(f"/dags/{ROLLBACK}")
    expect(page.get_by_role("heading", name="Survivor release rollback")).to_be_visible()
    answer = page.request.post(
        f"{stack.url}/api/v2/dags/{ROLLBACK}/dagRuns",
        data={"logical_date": None, "conf": {"release_id": stack.first}},
    )
    assert answer.status in (401, 403)


def test_whoever_has_no_role_sees_nothing_of_ours(stack: Stack, nobody: Person) -> None:
    with nobody.watch.expecting("403"):
        page = nobody.open("/dags")
        expect(page.get_by_text("Survivor")).to_have_count(0)
        nobody.keep(page, "airflow-without-a-role")
        assert nobody.open("/gamebot/").get_by_text("release").count() >= 0


# The release console.


def test_the_console_is_in_airflows_navigation(admin: Person) -> None:
    page = admin.open("/")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Releases").click()
    console = page.frame_locator("iframe")
    expect(console.get_by_role("heading", level=1)).to_be_visible()
    admin.keep(page, "airflow-with-console")


def test_the_overview_says_what_readers_see(stack: Stack, admin: Person) -> None:
    page = admin.open("/gamebot/")
    expect(page.get_by_role("main")).to_contain_text(f"Release {stack.second}")
    admin.examine(page, "overview")
