"""Source `directory`: identified by content, copied before it is checked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from include.ingestion.reader import UnreadableFile
from include.ingestion.sources import (
    ResolvedSource,
    SourceError,
    SourceRequest,
    directory,
    fetch,
    resolve_source,
)
from tests.survivor_files import minimal_dataset, write_columns, write_minimal_survivor


@pytest.fixture
def survivor(tmp_path: Path) -> Path:
    return write_minimal_survivor(tmp_path / "survivor")


def resolved(folder: Path) -> ResolvedSource:
    return resolve_source(SourceRequest(source="directory", directory=str(folder)))


def silent(line: str) -> None:
    pass


def test_the_version_is_the_content_and_the_commit_comes_from_its_file(
    survivor: Path, tmp_path: Path
) -> None:
    source = resolved(survivor)
    assert source.kind == "directory"
    assert source.commit == "0123456789abcdef0123456789abcdef01234567"  # pragma: allowlist secret
    copy = write_minimal_survivor(tmp_path / "copy")
    assert resolved(copy).fingerprint == source.fingerprint
    (copy / "notes.txt").write_text("no data")
    assert resolved(copy).fingerprint == source.fingerprint
    write_columns(copy / "journeys.rda", "journeys", minimal_dataset("journeys", ["US01"]))
    assert resolved(copy).fingerprint != source.fingerprint
    (copy / "COMMIT").unlink()
    assert resolved(copy).commit is None


def test_it_goes_through_json_between_machines(survivor: Path) -> None:
    source = resolved(survivor)
    assert ResolvedSource.model_validate_json(source.model_dump_json()) == source


def test_files_are_copied_and_unknown_datasets_are_named(survivor: Path, tmp_path: Path) -> None:
    (survivor / "viewers.rda").write_bytes(b"never opened")
    into = tmp_path / "into"
    into.mkdir()
    fetched = fetch(resolved(survivor), ["castaways", "tribe_colours"], into, silent)
    assert fetched.files.keys() == {"castaways", "tribe_colours"}
    assert "viewers" in fetched.unknown
    assert len(fetched.read("castaways").frame) == 9
    file = fetched.files["castaways"]
    assert file.path.parent == into
    assert file.size == (survivor / "castaways.rda").stat().st_size


def test_a_folder_that_changes_during_the_run_is_refused(survivor: Path, tmp_path: Path) -> None:
    source = resolved(survivor)
    (survivor / "castaways.rda").write_bytes(b"another")
    with pytest.raises(SourceError, match="changed since this run began"):
        fetch(source, ["castaways"], tmp_path, silent)


def test_a_file_that_holds_another_dataset_is_refused(survivor: Path, tmp_path: Path) -> None:
    (survivor / "castaways.rda").write_bytes((survivor / "journeys.rda").read_bytes())
    into = tmp_path / "into"
    into.mkdir()
    fetched = fetch(resolved(survivor), ["castaways"], into, silent)
    with pytest.raises(UnreadableFile, match=r"castaways\.rda .* 'journeys' instead of"):
        fetched.read("castaways")


# What a folder may hold that is no data


def test_a_pipe_is_refused_and_not_waited_for(survivor: Path) -> None:
    """Opening a pipe that nobody writes to blocks for ever."""
    (survivor / "castaways.rda").unlink()
    os.mkfifo(survivor / "castaways.rda")
    with pytest.raises(SourceError, match=r"castaways\.rda is no regular file"):
        resolved(survivor)


@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", "../secret.rda"])
def test_a_link_that_leads_out_of_the_folder_is_refused(survivor: Path, target: str) -> None:
    (survivor.parent / "secret.rda").write_bytes(b"not for the warehouse")
    (survivor / "castaways.rda").unlink()
    (survivor / "castaways.rda").symlink_to(target)
    with pytest.raises(SourceError, match=r"castaways\.rda is a link that leads out of its folder"):
        resolved(survivor)


def test_links_within_the_folder_are_files_and_broken_ones_are_named(survivor: Path) -> None:
    before = resolved(survivor).fingerprint
    (survivor / "castaways.rda").rename(survivor / "castaways.data")
    (survivor / "castaways.rda").symlink_to("castaways.data")
    assert resolved(survivor).fingerprint == before
    (survivor / "castaways.data").unlink()
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        resolved(survivor)


def test_a_folder_named_as_a_file_is_refused(survivor: Path) -> None:
    (survivor / "castaways.rda").unlink()
    (survivor / "castaways.rda").mkdir()
    with pytest.raises(SourceError, match=r"no regular file|Is a directory"):
        resolved(survivor)


@pytest.mark.parametrize(
    "junk", [b"master", b"\xff\xfe\x00", b"0" * 39, b"0" * 100_000, b"a" * 40 + b"\nERROR: lost"]
)
def test_a_commit_file_of_junk_is_refused(survivor: Path, junk: bytes) -> None:
    (survivor / "COMMIT").write_bytes(junk)
    with pytest.raises(SourceError, match="instead of a commit's 40 hexadecimal digits") as error:
        resolved(survivor)
    assert len(str(error.value)) < 300 and str(error.value).isprintable()


def test_odd_names_are_recorded_and_never_read(survivor: Path, tmp_path: Path) -> None:
    before = resolved(survivor).fingerprint
    for name in (
        b"c\xd0\xb0staways.rda",
        b"\xff.rda",
        b"a\nb.rda",
        b"journeys.RDA",
        b"x" * 250 + b".rda",
    ):
        os.mkfifo(os.fsencode(survivor) + b"/" + name)
    source = resolved(survivor)
    assert source.fingerprint == before
    fetched = fetch(source, ["castaways"], tmp_path, silent)
    odd = [name for name in fetched.unknown if not name.isidentifier()]
    assert len(odd) == 5
    assert all(name.isascii() and name.isprintable() and len(name) <= 60 for name in odd)


def test_large_files_and_large_folders_are_refused(
    survivor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "MAX_TOTAL_BYTES", 10_000)
    with pytest.raises(SourceError, match="have more than 10,000 bytes"):
        resolved(survivor)
    os.truncate(survivor / "castaways.rda", 2**40)
    with pytest.raises(SourceError, match=r"castaways\.rda is larger than 16,777,216 bytes"):
        resolved(survivor)


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere does not exist"):
        resolved(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"holds no \.rda file"):
        resolved(tmp_path)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"source": "directory"}, "needs the folder"),
        ({"source": "snapshot", "ref": "master"}, "ref applies to upstream"),
        ({"source": "upstream", "directory": "data"}, "a folder applies to source 'directory'"),
        ({"source": "cran"}, "source"),
        ({"reference": "master"}, "reference"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(settings: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SourceRequest.model_validate(settings)
