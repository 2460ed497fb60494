"""Source `upstream`, against a server of this machine that behaves and misbehaves like GitHub."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from include.ingestion.sources import (
    ResolvedSource,
    SourceError,
    SourceRequest,
    SourceUnavailable,
    fetch,
    resolve_source,
    upstream,
)
from include.ingestion.sources.base import git_blob_sha1
from tests.survivor_files import minimal_dataset, write_columns, write_minimal_survivor

COMMIT = "80aaf498bf06c7d8e6fd08be96efeea314be7bad"  # pragma: allowlist secret
DATASETS = ["castaways", "journeys", "season_summary"]

# What a fault does with a request; returns whether it answered.
Fault = Callable[["GitHub", BaseHTTPRequestHandler, bytes], None]


class GitHub(ThreadingHTTPServer):
    """survivoR's repository with one commit; `faults` maps part of a path to faults in order."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.faults: dict[str, list[Fault]] = {}
        self.requests: Counter[str] = Counter()
        self.endless_ended = threading.Event()
        self.authorizations: dict[str, set[str | None]] = {"api": set(), "raw": set()}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def content(self, path: str) -> bytes | None:
        api = f"/api/repos/{upstream.REPOSITORY}/"
        if path in (f"{api}commits/master", f"{api}commits/{COMMIT}"):
            return COMMIT.encode()
        if path == f"{api}git/trees/{COMMIT}":
            entry = {"path": "data", "type": "tree", "sha": "d" * 40}
            return json.dumps({"tree": [entry], "truncated": False}).encode()
        if path == f"{api}git/trees/{'d' * 40}":
            tree = [
                {"path": name, "type": "blob", "sha": git_blob_sha1(content), "size": len(content)}
                for name, content in self.files.items()
            ]
            return json.dumps({"tree": tree, "truncated": False}).encode()
        raw = f"/raw/{upstream.REPOSITORY}/{COMMIT}/data/"
        return self.files.get(path.removeprefix(raw)) if path.startswith(raw) else None


class _Handler(BaseHTTPRequestHandler):
    server: GitHub

    def do_GET(self) -> None:
        self.server.requests[self.path.rsplit("/", 1)[-1]] += 1
        self.server.authorizations[self.path.split("/")[1]].add(self.headers["Authorization"])
        content = self.server.content(self.path)
        for part, faults in self.server.faults.items():
            if part in self.path and faults:
                faults.pop(0)(self.server, self, content or b"")
                return
        if content is None:
            self.send_error(404)
        else:
            answer(self, content)

    def log_message(self, *arguments: object) -> None:
        pass


def answer(handler: BaseHTTPRequestHandler, content: bytes, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.send_header("ETag", '"abc"')
    handler.end_headers()
    handler.wfile.write(content)


def status(code: int, **headers: str) -> Fault:
    def fail(server: GitHub, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return fail


def truncated(server: GitHub, handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """Announces the whole file, sends half and hangs up."""
    answer(handler, content[: len(content) // 2], len(content))


def short(server: GitHub, handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """Sends half of the file as if that were all."""
    answer(handler, content[: len(content) // 2])


def other(server: GitHub, handler: BaseHTTPRequestHandler, content: bytes) -> None:
    answer(handler, bytes(len(content)))


def endless(server: GitHub, handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """Never stops by itself; `endless_ended` tells that it was hung up on."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(500):
            handler.wfile.write(bytes(2**20))
    except OSError:
        server.endless_ended.set()


def hanging(server: GitHub, handler: BaseHTTPRequestHandler, content: bytes) -> None:
    time.sleep(2)


def login_page(server: GitHub, handler: BaseHTTPRequestHandler, content: bytes) -> None:
    answer(handler, b"<html>Please log in to the hotel's network</html>")


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    files = {}
    for name in [*DATASETS, "viewers"]:
        columns = minimal_dataset(name if name in DATASETS else "journeys")
        path = write_columns(tmp_path / f"{name}.rda", name, columns)
        files[path.name] = path.read_bytes()
    server = GitHub(files)
    server.files["sysdata.R"] = b"not a data file"
    monkeypatch.setenv("GAMEBOT_UPSTREAM_API_URL", f"{server.url}/api/")
    monkeypatch.setenv("GAMEBOT_UPSTREAM_RAW_URL", f"{server.url}/raw")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.setattr(upstream, "TIMEOUT", httpx.Timeout(0.5))
    monkeypatch.setattr(upstream, "BACKOFF_SECONDS", 0.01)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def resolved() -> ResolvedSource:
    return resolve_source(SourceRequest(source="upstream"))


def fetched(folder: Path) -> upstream.RdaFiles:
    into = folder / "into"
    into.mkdir()
    result = fetch(resolved(), DATASETS, into, lambda line: None)
    assert isinstance(result, upstream.RdaFiles)
    return result


def test_a_branch_is_resolved_to_its_commit_once(github: GitHub) -> None:
    source = resolved()
    assert source.kind == "upstream"
    assert source.version == source.commit == COMMIT
    assert COMMIT in source.location
    assert github.requests["master"] == 1


def test_the_fingerprint_is_the_content_not_the_commit(github: GitHub, tmp_path: Path) -> None:
    """A commit that touches no data builds no release; a folder with the same files is the same."""
    folder = tmp_path / "same"
    folder.mkdir()
    for name, content in github.files.items():
        (folder / name).write_bytes(content)
    request = SourceRequest(source="directory", directory=str(folder))
    assert resolve_source(request).fingerprint == resolved().fingerprint
    before = resolved().fingerprint
    github.files["castaways.rda"] += b"x"
    assert resolved().fingerprint != before


def test_every_file_of_the_commit_arrives_whole(github: GitHub, tmp_path: Path) -> None:
    lines: list[str] = []
    into = tmp_path / "into"
    into.mkdir()
    files = fetch(resolved(), DATASETS, into, lines.append)
    assert sorted(files.files) == DATASETS
    assert files.unknown == ["viewers"]
    assert github.requests["viewers.rda"] == 0
    for name, file in files.files.items():
        assert file.path.read_bytes() == github.files[f"{name}.rda"]
        assert file.etag == '"abc"'
        assert len(file.sha256) == 64
    assert len(files.read("castaways").frame) == 9
    assert len(lines) == 3 and "castaways.rda" in lines[0]


@pytest.mark.parametrize(
    "fault",
    [status(500), status(503), status(429), truncated, short, other, hanging],
    ids=["500", "503", "429", "truncated", "short", "other", "hanging"],
)
def test_a_passing_fault_is_got_over(github: GitHub, tmp_path: Path, fault: Fault) -> None:
    github.faults["castaways.rda"] = [fault]
    files = fetched(tmp_path)
    assert files.files["castaways"].path.read_bytes() == github.files["castaways.rda"]
    assert github.requests["castaways.rda"] == 2


@pytest.mark.parametrize("fault", [truncated, short, other], ids=["truncated", "short", "other"])
def test_a_file_that_never_arrives_whole_is_never_accepted(
    github: GitHub, tmp_path: Path, fault: Fault
) -> None:
    """A truncated file once stayed in a cache and failed every later run."""
    github.faults["castaways.rda"] = [fault] * 9
    with pytest.raises(SourceUnavailable, match="tried 3 times"):
        fetched(tmp_path)
    assert not (tmp_path / "into" / "castaways.rda").exists()
    assert github.requests["castaways.rda"] == 3


def test_a_file_larger_than_announced_is_cut_off(github: GitHub, tmp_path: Path) -> None:
    github.faults["castaways.rda"] = [endless]
    fetched(tmp_path)
    assert github.endless_ended.wait(5)


def test_a_missing_file_is_not_asked_for_again(github: GitHub, tmp_path: Path) -> None:
    github.faults["raw/doehm/survivoR/" + COMMIT + "/data/castaways"] = [status(404)] * 9
    with pytest.raises(SourceError, match=r"no castaways\.rda of commit"):
        fetched(tmp_path)
    assert github.requests["castaways.rda"] == 1


def test_a_ref_that_does_not_exist_is_named(github: GitHub) -> None:
    with pytest.raises(SourceError, match="no ref 'v9'") as error:
        resolve_source(SourceRequest(source="auto", ref="v9"))
    assert not isinstance(error.value, SourceUnavailable)
    assert github.requests["v9"] == 1


@pytest.mark.parametrize("ref", ["../../../user", "a b", "a?b=c", ""])
def test_a_ref_is_a_name_and_no_address(github: GitHub, ref: str) -> None:
    if ref:
        with pytest.raises(SourceError, match="not a commit, branch or tag"):
            resolve_source(SourceRequest(source="upstream", ref=ref))
    else:
        assert resolve_source(SourceRequest(source="upstream", ref=ref)).version == COMMIT


def test_a_page_of_a_proxy_is_no_commit(github: GitHub) -> None:
    github.faults["commits"] = [login_page]
    with pytest.raises(SourceUnavailable, match="instead of a commit"):
        resolved()


def test_an_oversized_file_is_refused_before_it_is_asked_for(
    github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "MAX_FILE_BYTES", 10)
    with pytest.raises(SourceError, match=r"more than 10"):
        fetched(tmp_path)
    assert github.requests["castaways.rda"] == 0


def test_the_token_goes_to_the_api_only_and_into_no_message(
    github: GitHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "not-a-real-token")
    caplog.set_level("DEBUG")
    fetched(tmp_path)
    assert github.authorizations == {"api": {"Bearer not-a-real-token"}, "raw": {None}}
    github.faults["commits"] = [status(401)]
    with pytest.raises(SourceUnavailable, match="GITHUB_TOKEN") as error:
        resolved()
    assert "not-a-real-token" not in caplog.text + str(error.value)


def test_githubs_limit_of_requests_is_explained(github: GitHub) -> None:
    github.faults["commits"] = [status(403, X_RateLimit_Remaining="0")]
    with pytest.raises(SourceUnavailable, match="Set GITHUB_TOKEN"):
        resolved()


# What `auto` does


@pytest.mark.parametrize("published_kind", [None, "snapshot"])
def test_auto_takes_the_snapshot_loudly_when_nothing_better_was_published(
    github: GitHub, published_kind: str | None
) -> None:
    github.faults["commits"] = [hanging] * 3
    source = resolve_source(SourceRequest(), published_kind=published_kind)  # type: ignore[arg-type]
    assert source.kind == "snapshot"
    assert source.note is not None
    assert "UPSTREAM COULD NOT BE REACHED" in source.note
    assert "tried 3 times" in source.note
    assert "advantage_timeline" in source.note


@pytest.mark.parametrize("published_kind", ["upstream", "directory"])
def test_auto_never_replaces_upstreams_data_by_the_snapshot(
    github: GitHub, published_kind: str
) -> None:
    github.faults["commits"] = [status(502)] * 3
    with pytest.raises(SourceUnavailable, match="may not replace what is published"):
        resolve_source(SourceRequest(), published_kind=published_kind)  # type: ignore[arg-type]


def test_auto_with_a_ref_means_that_ref(github: GitHub) -> None:
    github.faults["commits"] = [status(502)] * 3
    with pytest.raises(SourceUnavailable, match="status 502"):
        resolve_source(SourceRequest(ref="master"))


def test_auto_is_upstream_where_it_can_be_reached(github: GitHub) -> None:
    source = resolve_source(SourceRequest(), published_kind="upstream")
    assert (source.kind, source.note) == ("upstream", None)


def test_an_unreachable_upstream_is_found_out_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GAMEBOT_UPSTREAM_API_URL", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1 cannot be used, tried 3 times"):
        resolved()
    assert time.monotonic() - started < 5


def test_the_minimal_survivor_is_what_a_mirror_would_serve(github: GitHub, tmp_path: Path) -> None:
    folder = write_minimal_survivor(tmp_path / "survivor")
    github.files = {path.name: path.read_bytes() for path in folder.glob("*.rda")}
    request = SourceRequest(source="directory", directory=str(folder))
    assert resolved().fingerprint == resolve_source(request).fingerprint
