"""Where the client reads from: folders, stores, files, and what is damaged or missing there."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import gamebot
from gamebot import package as packages_of_the_client
from tests.client.packages import TABLES, write_checksums, write_package, write_store


class Store:
    """A store behind a web server that notes what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = write_store(folder)
        self.asked: list[str] = []
        asked = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path.rpartition("/")[2])
                super().do_GET()

            def log_message(self, *arguments: Any) -> None:
                pass

        handler = functools.partial(Handler, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    yield store
    store.server.shutdown()
    store.server.server_close()


def test_a_store_is_asked_for_the_tables_that_are_read_and_once_only(store: Store) -> None:
    """A notebook on a train should not fetch what it has, nor what nobody reads."""
    votes = gamebot.open(store.url).query("select sum(votes) as votes from ml_features")
    assert votes["votes"].tolist() == [7]
    assert [name for name in store.asked if name.endswith(".parquet")] == ["ml_features.parquet"]
    assert "gamebot.duckdb" not in store.asked
    gamebot.open(f"{store.url}/package.json").load_table("gold.ml_features")
    gamebot.open(f"{store.url}/releases/42/package").load_table("gold.ml_features")
    assert store.asked.count("ml_features.parquet") == 1


def test_a_new_release_of_a_store_is_read_and_the_old_one_stays_for_who_has_it(
    store: Store,
) -> None:
    before = gamebot.open(store.url)
    before.load_table("ml_features")
    write_store(store.folder, release_id=43)
    assert gamebot.open(store.url).release().release_id == 43
    assert before.load_table("castaway_profile").attrs["release"].startswith("release 42")


def test_a_release_that_its_store_has_given_up_says_so(store: Store) -> None:
    client = gamebot.open(store.url)
    shutil.rmtree(store.folder / "releases/42")
    with pytest.raises(gamebot.NoData, match="keeps the last releases only"):
        client.load_table("ml_features")


def test_what_arrives_damaged_is_refused_and_not_kept(store: Store, home: Path) -> None:
    """A proxy that answers with a page of its own must not become the data of next month."""
    file = store.folder / "releases/42/package/parquet/gold/ml_features.parquet"
    good = file.read_bytes()
    file.write_bytes(b"<html>Please sign in</html>")
    client = gamebot.open(store.url)
    with pytest.raises(gamebot.Damaged, match=r"gold/ml_features\.parquet .* differs"):
        client.load_table("ml_features")
    assert not [path for path in home.rglob("*") if path.is_file()]
    file.write_bytes(good)
    assert len(client.load_table("ml_features")) == 2


def test_a_damaged_file_of_the_cache_is_fetched_again(store: Store, home: Path) -> None:
    gamebot.open(store.url).load_table("ml_features")
    [cached] = home.rglob("ml_features.parquet")
    cached.write_bytes(cached.read_bytes()[:-10])
    assert len(gamebot.open(store.url).load_table("ml_features")) == 2


def test_a_store_that_does_not_answer_is_named(store: Store) -> None:
    store.server.shutdown()
    store.server.server_close()
    with pytest.raises(gamebot.Unreachable, match=rf"{store.url}/package\.json cannot be read"):
        gamebot.open(store.url)


def test_a_place_without_a_package_says_what_was_looked_for(store: Store, tmp_path: Path) -> None:
    for place in (f"{store.url}/nowhere", str(tmp_path)):
        with pytest.raises(
            gamebot.NoData, match=r"neither package\.json.*make export writes a package"
        ):
            gamebot.open(place)
    with pytest.raises(gamebot.NoData, match="does not exist"):
        gamebot.open(str(tmp_path / "nowhere"))


def test_a_pointer_cannot_lead_out_of_its_store(store: Store) -> None:
    """Else whoever may write one small file decides what others load from where."""
    for path in ("../elsewhere", "/etc", None):
        (store.folder / "package.json").write_text(json.dumps({"path": path}))
        with pytest.raises(gamebot.Damaged, match="outside the store"):
            gamebot.open(store.url)


def test_a_package_of_a_later_format_asks_for_a_later_client(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "package", format=packages_of_the_client.FORMAT + 1)
    with pytest.raises(gamebot.NewerFormat, match="Install a later gamebot-client"):
        gamebot.open(str(folder))


def test_a_damaged_package_is_refused_with_the_name_of_the_file(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "package")
    file = folder / "parquet/gold/ml_features.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(gamebot.Damaged, match=r"ml_features\.parquet .* differs from its line"):
        gamebot.open(str(folder)).load_table("ml_features")
    write_checksums(folder)
    with pytest.raises(gamebot.Damaged, match=r"ml_features\.parquet of .* cannot be read"):
        gamebot.open(str(folder)).load_table("ml_features")
    file.unlink()
    with pytest.raises(gamebot.Damaged, match=r"lacks parquet/gold/ml_features\.parquet"):
        gamebot.open(str(folder)).load_table("ml_features")
    (folder / "datapackage.json").write_text("{")
    with pytest.raises(gamebot.Damaged, match=r"datapackage\.json .* differs"):
        gamebot.open(str(folder))
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(gamebot.NoData, match="lacks SHA256SUMS"):
        gamebot.open(str(folder))


def test_a_package_that_is_replaced_while_it_is_read_never_mixes_with_the_next(
    tmp_path: Path,
) -> None:
    """make export replaces the folder: half of a join of each release would be no release."""
    folder = write_package(tmp_path / "package")
    client = gamebot.open(str(folder))
    client.load_table("ml_features")
    shutil.rmtree(folder)
    later = {name: table.slice(1) for name, table in TABLES.items()}
    write_package(folder, later, release_id=43)
    assert len(client.load_table("ml_features")) == 2
    with pytest.raises(gamebot.Damaged, match="Open it again"):
        client.load_table("castaway_profile")
    assert len(gamebot.open(str(folder)).load_table("castaway_profile")) == 2


def test_the_duckdb_file_alone_is_enough(tmp_path: Path) -> None:
    file = write_package(tmp_path / "package") / "gamebot.duckdb"
    client = gamebot.open(str(file))
    assert client.query("select sum(votes) as votes from ml_features")["votes"].tolist() == [7]
    assert client.load_table("castaway_profile")["age"].isna().tolist() == [False, True, False]
    assert client.tables().set_index("table").loc["gold.ml_features", "rows"] == 2
    assert client.release().release_id == 42
    alone = Path(shutil.copy(file, tmp_path))
    assert gamebot.open(str(alone)).release().release_id is None
    file.write_bytes(b"no database")
    with pytest.raises(gamebot.Damaged, match="cannot be read as a DuckDB file"):
        gamebot.open(str(file))


def test_the_variable_names_the_default_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEBOT_DATA", str(write_package(tmp_path / "package")))
    assert len(gamebot.load_table("ml_features")) == 2
    assert gamebot.query("select 1 as one")["one"].tolist() == [1]
    assert len(gamebot.tables()) == 2 and len(gamebot.describe("ml_features")) == 3
    assert gamebot.release().release_id == 42


def test_what_the_last_run_left_is_found_without_a_word(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has typed make run should type nothing more than the question."""
    write_store(home / "state/artifacts", release_id=1)
    assert gamebot.Gamebot().release().release_id == 1
    # The state folders of several checkouts, when none is named: the latest counts.
    monkeypatch.delenv("GAMEBOT_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "states"))
    monkeypatch.setattr(packages_of_the_client.os, "geteuid", lambda: 1000)
    write_store(home / "states/gamebot/a/artifacts", 2, "2026-06-13T03:00:00Z")
    write_store(home / "states/gamebot/b/artifacts", 3, "2026-06-14T03:00:00Z")
    (home / "states/gamebot/c").mkdir()
    assert gamebot.Gamebot().release().release_id == 3


def test_without_any_data_three_lines_say_what_to_do() -> None:
    with pytest.raises(gamebot.NoData, match="GAMEBOT_DATA") as raised:
        gamebot.Gamebot()
    assert str(raised.value).count("\n") == 2
    assert "make run" in str(raised.value)


def test_a_missing_library_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(gamebot.MissingExtra, match=r"pip install 'gamebot-client\[warehouse\]'"):
        gamebot.open("postgresql://localhost/warehouse")
    # Not S3's, which another test may have imported.
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(gamebot.MissingExtra, match=r"gcsfs.*gamebot-client\[s3\]"):
        gamebot.open("gs://bucket/gamebot")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_log_has_no_progress_bar(store: Store, is_terminal: bool) -> None:
    """A bar in a log is a line of hundreds of columns for every table."""
    said = io.StringIO()
    said.isatty = lambda: is_terminal  # type: ignore[method-assign]
    with contextlib.redirect_stderr(said):
        gamebot.open(store.url).load_table("ml_features")
    assert ("ml_features.parquet [####################]" in said.getvalue()) == is_terminal
