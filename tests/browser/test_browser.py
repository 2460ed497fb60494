"""The pages that people see, in a real browser on a real Airflow: two releases and a failed run.

All in one file: the Airflow behind it takes minutes to get there. The tests build on each other
where a release is shown and taken back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="make test installs it")

from playwright.sync_api import expect

from tests.browser.stack import DAG, VIEWER
from tests.browser.watch import tab_stops

if TYPE_CHECKING:
    from tests.browser.stack import Stack
    from tests.browser.watch import Person

ROLLBACK = "survivor_release_rollback"


# Airflow's own pages, with our things in them.


def test_whoever_is_not_signed_in_is_asked_to_and_comes_back(
    stack: Stack, stranger: Person
) -> None:
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
    explanations = {}
    for section in form.get_by_role("button", name=re.compile("^(?!Close|Trigger|Adv)")).all():
        if section.get_attribute("aria-expanded") == "false":
            section.click()
        expect(section).to_have_attribute("aria-expanded", "true")
        # The section before it takes a moment to fold up.
        expect(form.get_by_role("region")).to_have_count(1)
        for field in form.get_by_role("region").get_by_role("group").all_inner_texts():
            name, _, explanation = field.strip().partition("\n")
            explanations[name] = explanation
    assert len(explanations) == 7
    assert [name for name, told in explanations.items() if len(told.split()) < 6] == []
    page.set_viewport_size({"width": 1280, "height": 1500})
    admin.keep(page, "airflow-trigger-form")


def test_the_graph_shows_every_stage_in_its_order(admin: Person) -> None:
    page = admin.open(f"/dags/{DAG}")
    page.get_by_role("button", name="Show Graph").click()
    places = []
    for stage in ("load_bronze", "dbt_build", "models", "audit_with_soda", "publish_release"):
        node = page.locator(f'.react-flow__node[data-id="{stage}"]')
        expect(node).to_be_visible()
        places.append((node.bounding_box() or {})["x"])
    assert places == sorted(places)
    admin.keep(page, "airflow-graph")
    # Airflow remembers the choice.
    page.get_by_role("button", name="Show Grid").click()


def test_a_failed_run_leads_to_the_check_that_stopped_it(stack: Stack, admin: Person) -> None:
    page = admin.open(f"/dags/{DAG}/runs/{stack.failed.dag_run_id}")
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    admin.keep(page, "airflow-failed-run")
    page.locator("table a[href$='/tasks/audit_with_soda']").click()
    # The log opens at its end, where the error is.
    expect(
        page.get_by_text("a season that is over has exactly one winner (found 1").first
    ).to_be_visible()
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


def test_whoever_has_no_role_sees_nothing_of_ours(nobody: Person) -> None:
    with nobody.watch.expecting("403"):
        page = nobody.open("/dags")
        expect(page.get_by_role("link", name="Dags").first).to_be_visible()
        expect(page.get_by_text("Survivor")).to_have_count(0)
        nobody.keep(page, "airflow-without-a-role")
        page = nobody.open("/gamebot/")
        expect(page.get_by_role("heading", level=1)).to_have_text("You may not see or do this")
        nobody.examine(page, "refused")


# The release console.


def test_the_console_is_in_airflows_navigation(admin: Person) -> None:
    page = admin.open("/")
    page.get_by_role("link", name="Releases", exact=True).click()
    console = page.frame_locator("iframe")
    expect(console.get_by_role("heading", name="What readers see")).to_be_visible()
    admin.keep(page, "airflow-with-console")
    console.get_by_role("link", name="Releases", exact=True).click()
    expect(console.get_by_role("heading", name="Releases")).to_be_visible()
    # Whoever goes back to Airflow does not get Airflow inside of Airflow.
    console.get_by_role("link", name="Airflow", exact=True).click()
    expect(page.locator("iframe")).to_have_count(0)


def test_whoever_asks_for_a_page_signs_in_and_gets_it(stack: Stack, stranger: Person) -> None:
    address = f"/gamebot/releases/{stack.first}?outcome=warned"
    with stranger.watch.expecting("401"):
        page = stranger.open(address)
        stranger.sign_in(page, VIEWER, stack.password(VIEWER))
    expect(page).to_have_url(stack.url + address)
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Release {stack.first}")


def test_the_overview_says_what_readers_see(stack: Stack, admin: Person) -> None:
    page = admin.open("/gamebot/")
    expect(page.get_by_role("main")).to_contain_text(f"Release {stack.second}")
    admin.examine(page, "overview")


def test_the_list_shows_how_every_release_ended(stack: Stack, admin: Person) -> None:
    page = admin.open("/gamebot/")
    page.get_by_role("navigation").get_by_role("link", name="Releases", exact=True).click()
    for release, state in (
        (stack.first, "superseded"),
        (stack.second, "published"),
        (stack.failed_release, "failed"),
    ):
        row = page.get_by_role("row", name=re.compile(f"^{release} "))
        expect(row).to_contain_text(state)
    admin.examine(page, "releases")


def test_a_published_release_shows_its_stages_checks_and_rows(stack: Stack, admin: Person) -> None:
    page = admin.open(f"/gamebot/releases/{stack.second}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("published")
    for heading in ("Stages", "Checks", "Rows", "Drift", "Repairs and known exceptions"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    counts = page.get_by_role("region", name="Checks by tool")
    for tool in ("dbt", "soda", "great expectations"):
        expect(counts.get_by_role("row", name=tool)).to_be_visible()
    admin.examine(page, "release-published")
    page.get_by_role("link", name="The run in Airflow").click()
    expect(page).to_have_url(re.compile(re.escape(f"/dags/{DAG}/runs/")))


def test_a_failed_release_shows_the_check_and_the_rows_that_stopped_it(
    stack: Stack, admin: Person
) -> None:
    page = admin.open(f"/gamebot/releases/{stack.failed_release}")
    expect(page.get_by_text("Why it failed")).to_be_visible()
    page.get_by_label("Outcome").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    checks = page.get_by_role("region", name="Checks of bronze.castaways")
    row = checks.get_by_role("row", name=re.compile("a season that is over has exactly one winner"))
    expect(row).to_contain_text("blocks the release")
    expect(row).to_contain_text("US20")
    admin.examine(page, "release-failed")


def test_a_comparison_names_every_cell_that_upstream_corrected(stack: Stack, admin: Person) -> None:
    page = admin.open(f"/gamebot/releases/{stack.second}")
    page.get_by_role("link", name=f"Compare with release {stack.first}").click()
    errata = page.get_by_role("main")
    expect(errata).to_contain_text("Sandra: is from Stanley, not Fayetteville")
    expect(errata).to_contain_text("Parvati: is from Marietta, not Los Angeles")
    expect(errata).to_contain_text("episode 2: viewers is 23,450,000, not 19,860,000")
    expect(errata).not_to_contain_text("|")
    tables = page.get_by_role("region", name="Table by table")
    expect(tables.get_by_role("link", name="bronze.castaways")).to_be_visible()
    expect(tables.get_by_role("link", name="bronze.vote_history")).to_have_count(0)
    admin.examine(page, "compare")


def test_a_season_is_told_in_pictures(admin: Person) -> None:
    page = admin.open("/gamebot/seasons")
    admin.examine(page, "seasons")
    page.get_by_role("link", name="US20", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("US20")
    expect(page.get_by_role("main")).to_contain_text("Sandra")
    expect(page.locator("figure canvas, figure svg").first).to_be_visible()
    admin.examine(page, "season")


def test_the_history_shows_how_long_runs_take_and_what_they_brought(admin: Person) -> None:
    page = admin.open("/gamebot/history")
    expect(page.get_by_role("heading", level=1)).to_have_text("History of the releases")
    expect(page.locator("figure canvas, figure svg").first).to_be_visible()
    admin.examine(page, "history")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Data Docs (Great Expectations)", "Validation Results"),
        ("dbt docs with lineage", "Graph Exploration"),
        ("Soda checks", "What did not pass"),
    ],
)
def test_the_pages_of_the_tools_are_shown(
    stack: Stack, admin: Person, name: str, words: str
) -> None:
    """They load nothing from another host, which they did as their authors wrote them."""
    page = admin.open(f"/gamebot/releases/{stack.second}")
    page.get_by_role("link", name=name).click()
    artefact = page.frame_locator("iframe.artefact")
    expect(artefact.get_by_text(words).first).to_be_visible()
    admin.examine(page, f"artefact-{name.split()[0].lower()}")


def test_everything_is_reached_by_keyboard(stack: Stack, admin: Person) -> None:
    page = admin.open(f"/gamebot/releases/{stack.first}")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    # The main action is the first thing after it.
    assert tab_stops(page, until="Roll back")[-1].startswith("Roll back to this release")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Roll back to release")
    assert tab_stops(page, until="Roll back")[-1].startswith("Roll back to release")


def test_a_viewer_may_look_and_roll_back_nothing(stack: Stack, viewer: Person) -> None:
    before = stack.runs(ROLLBACK)
    page = viewer.open(f"/gamebot/releases/{stack.first}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("superseded")
    expect(page.get_by_role("link", name="Roll back")).to_have_count(0)
    viewer.examine(page, "release-for-a-viewer")
    with viewer.watch.expecting("403"):
        page.goto(f"{stack.url}/gamebot/releases/{stack.first}/show")
        expect(page.get_by_role("heading", level=1)).to_have_text("You may not see or do this")
    answer = page.request.post(
        f"{stack.url}/gamebot/releases/{stack.first}/show",
        headers={"Origin": stack.url, "Sec-Fetch-Site": "same-origin"},
        form={"token": ""},
    )
    assert answer.status == 403
    assert stack.runs(ROLLBACK) == before


def test_a_form_of_another_site_does_nothing(
    stack: Stack, admin: Person, other_site: Callable[[str], str]
) -> None:
    """The cookie comes along: for a browser, other ports of a host are the same site."""
    before = stack.runs(ROLLBACK)
    target = f"{stack.url}/gamebot/releases/{stack.first}/show"
    page = admin.open(f"/gamebot/releases/{stack.first}/show")
    token = page.locator("input[name=token]").input_value()
    for stolen in ("", token):
        form = f'<form method="post" action="{target}"><input name="token" value="{stolen}"></form>'
        address = other_site(f"{form}<script>document.forms[0].submit()</script>")
        with admin.watch.expecting(address, "403"):
            with page.expect_response(target) as posted:
                page.goto(address)
            assert "_token" in (posted.value.request.header_value("Cookie") or "")
            assert posted.value.status == 403
    assert stack.runs(ROLLBACK) == before


def test_an_administrator_rolls_back_with_the_buttons(stack: Stack, admin: Person) -> None:
    page = admin.open(f"/gamebot/releases/{stack.first}")
    page.get_by_role("link", name="Roll back to this release").click()
    expect(page.get_by_role("region", name="What readers will see")).to_contain_text(
        f"release {stack.second}"
    )
    admin.examine(page, "confirm-rollback")
    page.get_by_role("button", name=f"Roll back to release {stack.first}").click()
    page.wait_for_url(f"**/dags/{ROLLBACK}/runs/**")
    run = stack.runs(ROLLBACK)[-1]
    assert stack.finished(run).state == "success"
    assert stack.seen_by_readers() == stack.first
    page.goto(f"{stack.url}/gamebot/")
    expect(page.get_by_role("main")).to_contain_text(f"Release {stack.first}")
    expect(page.get_by_role("main")).to_contain_text(f"Rolled back: release {stack.second}")
    admin.examine(page, "overview-rolled-back")


def test_the_way_back_is_the_same_inside_of_airflow(stack: Stack, admin: Person) -> None:
    """The run's page opened in the frame: Airflow inside of Airflow."""
    page = admin.open("/plugin/gamebot")
    console = page.frame_locator("iframe")
    recent = console.get_by_role("region", name="Latest releases")
    recent.get_by_role("link", name=str(stack.second), exact=True).click()
    console.get_by_role("link", name="Roll back to this release").click()
    console.get_by_role("button", name=f"Roll back to release {stack.second}").click()
    page.wait_for_url(f"**/dags/{ROLLBACK}/runs/**")
    run = stack.runs(ROLLBACK)[-1]
    assert stack.finished(run).state == "success"
    assert stack.seen_by_readers() == stack.second
