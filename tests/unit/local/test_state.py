"""One checkout, one folder: nothing of another clone, another project or another person."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from include.local.state import (
    SECRETS,
    Busy,
    State,
    StateError,
    default_folder,
    exclusive,
    free_port,
    port_is_free,
    write_atomically,
)


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.create()
    return state


def test_two_clones_of_the_same_name_have_two_folders() -> None:
    clones = [Path("/people/ada/one/gamebot"), Path("/people/ada/two/gamebot")]
    folders = {default_folder(clone, {"HOME": "/people/ada"}, root=False) for clone in clones}
    assert len(folders) == 2
    assert all(folder.name.startswith("gamebot-") for folder in folders)


def test_the_folder_follows_the_xdg_convention_and_the_setting_wins() -> None:
    checkout = Path("/somewhere/gamebot")
    home = {"HOME": "/people/ada"}
    assert default_folder(checkout, home, root=False).parent == Path(
        "/people/ada/.local/state/gamebot"
    )
    xdg = home | {"XDG_STATE_HOME": "/big/state"}
    assert default_folder(checkout, xdg, root=False).parent == Path("/big/state/gamebot")
    chosen = xdg | {"GAMEBOT_STATE_DIR": "/chosen"}
    assert default_folder(checkout, chosen, root=False) == Path("/chosen")
    assert default_folder(checkout, chosen, root=True) == Path("/chosen")


def test_roots_folder_lies_where_the_servers_user_can_pass() -> None:
    folder = default_folder(Path("/srv/gamebot"), {"HOME": "/srv"}, root=True)
    assert folder.parent == Path("/var/lib/gamebot")


def test_a_folder_of_somebody_elses_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter one")
    with pytest.raises(StateError, match="GAMEBOT_STATE_DIR"):
        State(tmp_path).create()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_of_another_clone_is_refused(tmp_path: Path) -> None:
    State(tmp_path / "state", checkout=Path("/one")).create()
    with pytest.raises(StateError, match="belongs to the checkout /one"):
        State(tmp_path / "state", checkout=Path("/two")).create()


def test_secrets_are_made_once_and_only_their_owner_may_read_them(state: State) -> None:
    first = state.secrets()
    assert state.secrets() == first
    assert set(SECRETS) < set(first) and len(set(first.values())) == len(first)
    mode = stat.S_IMODE((state.folder / "secrets.json").stat().st_mode)
    assert mode == 0o600


def test_a_secret_that_a_newer_version_needs_is_added_to_the_old_ones(state: State) -> None:
    before = state.secrets()
    older = {name: value for name, value in before.items() if name != "postgres_reader"}
    write_atomically(state.folder / "secrets.json", json.dumps(older), mode=0o600)
    after = state.secrets()
    assert after.pop("postgres_reader")
    assert after == older


def test_a_second_run_in_the_same_clone_is_told_so(state: State) -> None:
    first = state.locked("run", wait=False)
    second = state.locked("run", wait=False)
    with first, pytest.raises(Busy, match="another `make run`"), second:
        pytest.fail("two runs at once")
    with state.locked("run", wait=False):
        pass


def test_a_lock_that_is_a_link_leads_nowhere(state: State, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter one")
    (state.folder / "start.lock").symlink_to(tmp_path / "thesis.txt")
    with pytest.raises(OSError, match="symbolic link"), exclusive(state.folder / "start.lock"):
        pytest.fail("the link was followed")
    assert (tmp_path / "thesis.txt").read_text() == "chapter one"


def test_a_taken_port_is_no_error() -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        taken = somebody.getsockname()[1]
        assert not port_is_free(taken)
        other = free_port(taken)
        assert other != taken
    assert free_port(other) == other


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    write_atomically(path, "old")
    write_atomically(path, "new", mode=0o600)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
