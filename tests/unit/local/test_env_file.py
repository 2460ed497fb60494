"""One .env for every mode of `astro dev`: completed, never taken from the person who wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.environments import PROJECT_DIR
from include.local.databases import PIPELINE_LOGIN
from include.local.env_file import misreadable, prepare_env_file, settings
from include.warehouse.connection import CONNECTION_VARIABLE, ConnectionSettings

PASSWORD = "w'ord/%40&\"@:# $HOME ü"  # pragma: allowlist secret
OTHERS = "postgres://ana:secret@localhost:5433/warehouse"  # pragma: allowlist secret


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / ".env.example").write_text((PROJECT_DIR / ".env.example").read_text())
    return tmp_path


def connection(**changes: object) -> ConnectionSettings:
    known = {"host": "127.0.0.1", "port": 5433, "dbname": "warehouse", "user": PIPELINE_LOGIN}
    return ConnectionSettings.model_validate({**known, "password": PASSWORD, **changes})


def prepared(checkout: Path, **changes: object) -> str:
    """Prepare, and return all that was told; it never holds the password."""
    told = "\n".join(prepare_env_file(checkout, connection(**changes)))
    assert PASSWORD not in told and connection().uri() not in told
    return told


def test_a_new_one_has_what_both_modes_need_and_is_for_its_owner_only(checkout: Path) -> None:
    assert "Made" in prepared(checkout)
    path = checkout / ".env"
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert settings(text)["AIRFLOW__CORE__PLUGINS_FOLDER"] == "plugins"
    assert settings(text)[CONNECTION_VARIABLE] == connection().uri()
    assert list(misreadable(text)) == []
    # The image has its own paths, which .env would win over.
    assert not any(value.startswith("/") for value in settings(text).values())


def test_airflow_reads_the_same_connection_out_of_it(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("airflow")
    prepared(checkout)
    value = settings((checkout / ".env").read_text())[CONNECTION_VARIABLE]
    monkeypatch.setenv(CONNECTION_VARIABLE, value)
    assert ConnectionSettings.from_airflow() == connection()


def test_a_second_time_there_is_nothing_to_do(checkout: Path) -> None:
    prepared(checkout)
    before = (checkout / ".env").read_text()
    assert "Nothing to do" in prepared(checkout)
    assert (checkout / ".env").read_text() == before


def test_lines_of_a_persons_own_stay_as_they_are(checkout: Path) -> None:
    """Whoever had a token or another warehouse in there lost it."""
    own = f"# mine\nGITHUB_TOKEN=abc\nDO_NOT_TRACK=0\n{CONNECTION_VARIABLE}={OTHERS}"
    (checkout / ".env").write_text(own)
    told = prepared(checkout)
    text = (checkout / ".env").read_text()
    assert text.startswith(f"{own}\n")
    assert "AIRFLOW__CORE__PLUGINS_FOLDER=plugins" in text
    assert (settings(text)["DO_NOT_TRACK"], settings(text)[CONNECTION_VARIABLE]) == ("0", OTHERS)
    assert f"Kept {CONNECTION_VARIABLE}" in told and "secret" not in told


def test_the_empty_one_of_the_astro_cli_counts_as_none(checkout: Path) -> None:
    (checkout / ".env").touch()
    assert "Made" in prepared(checkout)
    assert "# Off in the image already" in (checkout / ".env").read_text()


@pytest.mark.parametrize(
    "change",
    [{"port": 5544}, {"password": "new"}],  # pragma: allowlist secret
)
def test_a_warehouse_that_was_made_anew_is_written_anew(
    checkout: Path, change: dict[str, object]
) -> None:
    """make clean gives the warehouse a new password."""
    prepared(checkout)
    with (checkout / ".env").open("a") as file:
        file.write("GITHUB_TOKEN=abc\n")
    assert f"Changed {CONNECTION_VARIABLE}" in prepared(checkout, **change)
    text = (checkout / ".env").read_text()
    assert settings(text)[CONNECTION_VARIABLE] == connection(**change).uri()
    assert (text.count(f"\n{CONNECTION_VARIABLE}="), text.count("GITHUB_TOKEN=abc\n")) == (1, 1)


def test_what_others_can_read_is_closed(checkout: Path) -> None:
    prepared(checkout)
    (checkout / ".env").chmod(0o644)
    assert "only you can" in prepared(checkout)
    assert (checkout / ".env").stat().st_mode & 0o777 == 0o600


def test_a_link_stays_one(checkout: Path, tmp_path: Path) -> None:
    """Some keep the file among their secrets, outside of the checkout."""
    (tmp_path / "kept").write_text("GITHUB_TOKEN=abc\n")
    (checkout / ".env").symlink_to(tmp_path / "kept")
    prepared(checkout)
    assert (checkout / ".env").is_symlink()
    assert CONNECTION_VARIABLE in (tmp_path / "kept").read_text()


@pytest.mark.parametrize(
    "line",
    ['A="b"', "A='b'", "A=b # why", "A=$HOME", "A= b", "A=b ", "export A=b", "A", "A=a\\b"],
)
def test_a_line_that_three_programs_take_differently_is_named(checkout: Path, line: str) -> None:
    (checkout / ".env").write_text(f"# mine\n{line}\n")
    assert "Line 2 of .env" in prepared(checkout)


@pytest.mark.parametrize("line", ['A={"conn_type": "postgres"}', "A=b#c", "A=", "", "# why"])
def test_a_line_that_all_take_alike_is_none_to_speak_of(line: str) -> None:
    assert list(misreadable(f"{line}\n")) == []
