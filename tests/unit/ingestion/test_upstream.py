"""Source `upstream`, against a server of this machine that behaves and misbehaves like GitHub."""

from __future__ import annotations

import gzip
import json
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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
BOMB = gzip.compress(bytes(20 * 2**20))
DATASETS = ["castaways", "journeys", "season_summary"]

# What a fault does with a request; returns whether it answered.
Fault = Callable[["GitHub", BaseHTTPRequestHandler, bytes], None]


class GitHub(ThreadingHTTPServer):
    """survivoR's repository with one commit; `faults` maps part of a path to faults in order."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), _Handler)
        self.host = host
        self.files = files
        self.faults: dict[str, list[Fault]] = {}
        self.requests: Counter[str] = Counter()
        self.endless_ended = threading.Event()
        self.authorizations: dict[str, set[str | None]] = {"api": set(), "raw": set()}

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.server_port}"

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


def page(content: bytes, **headers: str) -> Fault:
    """Answers something else, with status 200."""

    def send(server: GitHub, handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return send


def drop_by_drop(before_the_body: bool) -> Fault:
    """Sends a byte now and then, for ever: no read ever times out."""

    def send(server: GitHub, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nX-Slow: " + (b"" if before_the_body else b"\r\n\r\n")
        )
        try:
            while True:
                handler.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            server.endless_ended.set()

    return send


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


# Whoever answers is not trusted


@pytest.fixture
def elsewhere() -> Iterator[GitHub]:
    """Another server, which would give whatever it is asked for."""
    server = GitHub({"castaways.rda": b"theirs"})
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("part", ["commits", "git/trees", "castaways.rda"])
def test_a_redirect_to_another_server_is_not_followed(
    github: GitHub, elsewhere: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """The token would follow, and an address inside the network would be asked in our name."""
    monkeypatch.setenv("GITHUB_TOKEN", "not-a-real-token")
    target = f"{elsewhere.url}/api/repos/{upstream.REPOSITORY}/commits/master?secret=1"
    github.faults[part] = [status(302, Location=target)] * 3
    with pytest.raises(
        SourceUnavailable, match=r"redirects to 'http://127\.0\.0\.1'.*not followed"
    ):
        fetched(tmp_path)
    assert not elsewhere.requests


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "//169.254.169.254/latest/", "https://a.b"],
)
def test_a_redirect_to_another_kind_of_address_is_not_followed(github: GitHub, target: str) -> None:
    github.faults["commits"] = [status(301, Location=target)] * 3
    with pytest.raises(SourceUnavailable, match="not followed"):
        resolved()


@pytest.mark.parametrize(
    ("asked", "target", "followed"),
    [
        ("https://api.github.com/a", "https://api.github.com/repositories/1", True),
        ("https://api.github.com/a", "https://raw.githubusercontent.com/a", True),
        ("https://mirror.example/a", "https://mirror.example/b", True),
        ("https://api.github.com/a", "http://api.github.com/a", False),
        ("https://api.github.com/a", "https://api.github.com:8443/a", False),
        ("https://api.github.com/a", "https://api.github.com.evil.example/a", False),
        ("https://mirror.example/a", "https://mirror.example:444/a", False),
    ],
)
def test_redirects_lead_to_the_same_server_or_to_github(
    asked: str, target: str, followed: bool
) -> None:
    if followed:
        upstream._refuse_foreign(httpx.URL(asked), httpx.URL(target))
    else:
        with pytest.raises(SourceUnavailable, match="not followed"):
            upstream._refuse_foreign(httpx.URL(asked), httpx.URL(target))


def test_a_repository_that_moved_on_the_same_server_is_found(github: GitHub) -> None:
    """GitHub redirects to the repository's number once it has another name."""
    moved = f"/api/repos/{upstream.REPOSITORY}/commits/{COMMIT}"
    github.faults["commits/master"] = [status(301, Location=moved)]
    assert resolved().version == COMMIT


def test_a_server_that_redirects_in_a_circle_is_left(github: GitHub) -> None:
    circle = f"/api/repos/{upstream.REPOSITORY}/commits/master"
    github.faults["commits/master"] = [status(302, Location=circle)] * 30
    with pytest.raises(SourceUnavailable, match="redirects ref 'master' more than 3 times"):
        resolved()
    assert github.requests["master"] == 4


@pytest.mark.parametrize("part", ["commits", "git/trees"])
def test_an_endless_answer_is_cut_off(github: GitHub, part: str) -> None:
    github.faults[part] = [endless] * 3
    tracemalloc.start()
    with pytest.raises(SourceUnavailable, match="sends more than 1,048,576 bytes"):
        resolved()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert github.endless_ended.wait(5)
    assert peak < 8 * 2**20


@pytest.mark.parametrize("before_the_body", [True, False])
@pytest.mark.parametrize("part", ["commits", "castaways.rda"])
def test_an_answer_that_drips_is_left(
    github: GitHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    before_the_body: bool,
) -> None:
    """A byte in time for each read, for ever: a read timeout never ends that."""
    monkeypatch.setattr(upstream, "API_SECONDS", 0.3)
    monkeypatch.setattr(upstream, "FILE_SECONDS", 0.3)
    github.faults[part] = [drop_by_drop(before_the_body)] * 3
    with pytest.raises(SourceUnavailable, match=r"takes longer than 0\.3 seconds|sends more than"):
        fetched(tmp_path)
    assert github.endless_ended.wait(5)


def test_all_files_together_have_a_deadline(
    github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "FETCH_SECONDS", 0.5)
    github.faults["castaways.rda"] = [drop_by_drop(before_the_body=True)]
    with pytest.raises(SourceUnavailable, match=r"did not arrive within 0\.5 seconds"):
        fetched(tmp_path)


@pytest.mark.parametrize("part", ["commits", "git/trees", "castaways.rda"])
def test_a_packed_answer_is_not_unpacked(github: GitHub, tmp_path: Path, part: str) -> None:
    """20 KB of gzip are 20 MB of zeros."""
    github.faults[part] = [page(BOMB, Content_Encoding="gzip")] * 3
    tracemalloc.start()
    with pytest.raises(SourceUnavailable, match="comes packed"):
        fetched(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


def listing(**changes: Any) -> bytes:
    entry = {"path": "castaways.rda", "type": "blob", "sha": "a" * 40, "size": 5, **changes}
    return json.dumps({"tree": [entry]}).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html>Please log in</html>", "no listing"),
        (b"", "no listing"),
        (b"null", "no listing"),
        (b"[]", "no listing"),
        (b'{"tree": 1}', "no listing"),
        (b'{"message": "Moved Permanently"}', "no listing"),
        (b"[" * 500_000, "no listing"),
        (b'{"tree":' * 100_000, "no listing"),
        (b"\xff\xfe", "no listing"),
        (listing(size=-1), "tree.0.size"),
        (listing(size="5"), "tree.0.size"),
        (listing(size=5.5), "tree.0.size"),
        (listing(size=10**30), "bytes, more than 16,777,216"),
        (listing(path=None), "tree.0.path"),
        (listing(sha="../../../user"), "tree.0.sha"),
        (listing(sha="a" * 40 + "\n"), "tree.0.sha"),
        (b'{"tree":[' + b",".join([listing()[10:-2]] * 2) + b"]}", "more than once"),
        (b'{"tree":[' + b",".join([listing()[10:-2]] * 100_000) + b"]}", "sends more than 1,048"),
        (b'{"tree":[], "truncated": true}', "incomplete"),
    ],
)
def test_a_listing_that_is_none_is_refused(
    github: GitHub, tmp_path: Path, content: bytes, reason: str
) -> None:
    source = resolved()
    github.faults["git/trees/d"] = [page(content)] * 3
    (tmp_path / "into").mkdir()
    with pytest.raises(SourceError, match=reason) as error:
        fetch(source, DATASETS, tmp_path / "into", lambda line: None)
    assert len(str(error.value)) < 400 and str(error.value).isprintable()


def test_a_folder_that_is_an_address_is_not_asked_for(github: GitHub) -> None:
    tree = {"tree": [{"path": "data", "type": "tree", "sha": "../../../../user"}]}
    github.faults[f"git/trees/{COMMIT}"] = [page(json.dumps(tree).encode())]
    with pytest.raises(SourceUnavailable, match="no listing"):
        resolved()
    assert github.requests["user"] == 0


ODD_NAMES = {
    "../castaways.rda": "'../castaways.rda'",
    "/etc/castaways.rda": "'/etc/castaways.rda'",
    "..\\castaways.rda": r"'..\\\\castaways.rda'",
    "a\0.rda": r"'a\\x00.rda'",
    "castaways.rda\nERROR.rda": r"'castaways.rda\\nERROR.rda'",
    "c\u0430staways.rda": r"'c\\u0430staways.rda'",
    "Castaways.rda": "Castaways",
    "journeys.RDA": "'journeys.RDA'",
    ".rda": "'.rda'",
    "x" * 300 + ".rda": "'" + "x" * 56 + "...",
    "y" * 300 + ".rda": "'" + "y" * 56 + "...",
}


def test_odd_names_are_recorded_and_never_asked_for(github: GitHub, tmp_path: Path) -> None:
    """They lead to another folder, look like a dataset, or are too long to be recorded."""
    expected = resolved().fingerprint
    for name in ODD_NAMES:
        github.files[name] = b"odd"
    files = fetched(tmp_path)
    assert sorted(files.files) == DATASETS
    assert files.unknown == sorted(
        {*(name.replace("\\\\", "\\") for name in ODD_NAMES.values()), "viewers"}
    )
    assert {path.name for path in (tmp_path / "into").iterdir()} == {f"{n}.rda" for n in DATASETS}
    assert not {path for path in github.requests if path.endswith("odd")}
    del github.files["Castaways.rda"]
    assert resolved().fingerprint == expected


def test_all_files_together_have_a_size(
    github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "MAX_TOTAL_BYTES", 1000)
    with pytest.raises(SourceError, match=r"have .* bytes, more than 1,000"):
        fetched(tmp_path)
    assert github.requests["castaways.rda"] == 0


def test_a_mirrors_password_is_in_no_message(
    github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = "user:hunter2"
    for address in (f"http://{user}@127.0.0.1:9", f"http://{user}@[", f"gopher://{user}@x"):
        monkeypatch.setenv("GAMEBOT_UPSTREAM_API_URL", address)
        with pytest.raises(SourceError) as error:
            resolved()
        assert "hunter2" not in str(error.value)


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
