"""Source `upstream`: survivoR's GitHub repository at one commit.

`GAMEBOT_UPSTREAM_API_URL` and `GAMEBOT_UPSTREAM_RAW_URL` name a mirror; `GITHUB_TOKEN` raises
GitHub's limit of requests and goes to the API only.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from include.ingestion.sources.base import (
    ResolvedSource,
    SourceError,
    SourceFile,
    SourceUnavailable,
    files_fingerprint,
    git_blob_sha1,
)
from include.ingestion.sources.rda import MAX_FILE_BYTES, SUFFIX, RdaFiles

REPOSITORY = "doehm/survivoR"
BRANCH = "master"
FOLDER = "data"

API_URL = "https://api.github.com"
RAW_URL = "https://raw.githubusercontent.com"

ATTEMPTS = 3
BACKOFF_SECONDS = 0.5
CONCURRENT_DOWNLOADS = 4
FILE_SECONDS = 120  # a server that sends byte after byte never meets a read timeout
TIMEOUT = httpx.Timeout(connect=5, read=20, write=20, pool=60)

# What passes or can be got round; everything else, such as 404, is an answer.
TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
REFUSED_STATUS = {401, 403, 407, 451}


T = TypeVar("T")


class _Transient(Exception):
    """An attempt failed in a way that another attempt may not."""


@dataclass(frozen=True)
class _Blob:
    sha1: str
    size: int


def resolve(ref: str | None = None) -> ResolvedSource:
    """Find the commit behind a branch, tag or commit, and identify its data files.

    Raises:
        SourceUnavailable: GitHub cannot be reached, answers with an error, or refuses.
        SourceError: there is no such commit, or it holds no data.
    """
    with _client() as client:
        commit = _commit(client, ref or BRANCH)
        blobs = _data_files(client, commit)
    return ResolvedSource(
        kind="upstream",
        version=commit,
        location=f"github.com/{REPOSITORY}/tree/{commit}/{FOLDER}",
        commit=commit,
        fingerprint=files_fingerprint({name: blob.sha1 for name, blob in blobs.items()}),
    )


def fetch(
    source: ResolvedSource,
    datasets: Collection[str],
    into: Path,
    on_progress: Callable[[str], None],
) -> RdaFiles:
    """Download the files of the datasets at the commit; each is verified against git's own hash.

    Raises:
        SourceUnavailable: GitHub cannot be reached, or keeps sending something else than the file.
        SourceError: a file of the commit is missing or too large.
    """
    with _client() as client:
        blobs = _data_files(client, source.version)
        wanted = sorted(name for name in blobs if name.removesuffix(SUFFIX) in datasets)

        def download(name: str) -> SourceFile:
            return _download(client, source.version, name, blobs[name], into / name)

        files = {}
        with ThreadPoolExecutor(CONCURRENT_DOWNLOADS, "download") as pool:
            try:
                for name, file in zip(wanted, pool.map(download, wanted), strict=True):
                    files[name.removesuffix(SUFFIX)] = file
                    on_progress(f"files  {len(files):2}/{len(wanted)}  {name}  {file.size:,} bytes")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    names = (name.removesuffix(SUFFIX) for name in blobs)
    return RdaFiles(files, sorted(name for name in names if name not in datasets))


def _client() -> httpx.Client:
    return httpx.Client(
        timeout=TIMEOUT, follow_redirects=True, headers={"User-Agent": "gamebot-warehouse"}
    )


def _url(setting: str, default: str) -> str:
    return (os.environ.get(setting) or default).rstrip("/")


def _commit(client: httpx.Client, ref: str) -> str:
    if not re.fullmatch(r"[\w./-]{1,200}", ref) or ".." in ref:
        raise SourceError(f"{ref!r} is not a commit, branch or tag of {REPOSITORY}.")
    response = _api(client, f"commits/{ref}", "application/vnd.github.sha", missing=f"ref {ref!r}")
    commit = response.text.strip()
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise SourceUnavailable(
            f"{response.url.host} answers {commit[:80]!r} instead of a commit. Is "
            "GAMEBOT_UPSTREAM_API_URL right, and does no proxy stand in between?"
        )
    return commit


def _data_files(client: httpx.Client, commit: str) -> dict[str, _Blob]:
    """List the .rda files of the commit."""
    root = _tree(client, commit, f"commit {commit}")
    folder = next((entry for entry in root if entry["path"] == FOLDER), None)
    if folder is None:
        raise SourceError(f"Commit {commit} of {REPOSITORY} has no folder {FOLDER}/.")
    blobs = {
        entry["path"]: _Blob(entry["sha"], entry["size"])
        for entry in _tree(client, folder["sha"], f"folder {FOLDER}/ of commit {commit}")
        if entry["type"] == "blob" and re.fullmatch(rf"\w+{re.escape(SUFFIX)}", entry["path"])
    }
    if not blobs:
        raise SourceError(f"Commit {commit} of {REPOSITORY} holds no {SUFFIX} file in {FOLDER}/.")
    return blobs


def _tree(client: httpx.Client, sha: str, what: str) -> list[dict[str, Any]]:
    response = _api(client, f"git/trees/{sha}", "application/vnd.github+json", missing=what)
    try:
        listing = response.json()
        entries: list[dict[str, Any]] = listing["tree"]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceUnavailable(f"{response.url.host} sent no listing of {what}.") from error
    if listing.get("truncated"):
        raise SourceError(f"The listing of {what} is incomplete: it holds too many files.")
    return entries


def _api(client: httpx.Client, path: str, accept: str, missing: str) -> httpx.Response:
    url = f"{_url('GAMEBOT_UPSTREAM_API_URL', API_URL)}/repos/{REPOSITORY}/{path}"
    headers = {"Accept": accept}
    if token := os.environ.get("GITHUB_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"

    def attempt() -> httpx.Response:
        response = client.get(url, headers=headers)
        _raise_for_status(response, missing)
        return response

    return _with_retries(attempt, url)


def _download(client: httpx.Client, commit: str, name: str, blob: _Blob, path: Path) -> SourceFile:
    if blob.size > MAX_FILE_BYTES:
        raise SourceError(f"{name} has {blob.size:,} bytes, more than {MAX_FILE_BYTES:,}.")
    url = f"{_url('GAMEBOT_UPSTREAM_RAW_URL', RAW_URL)}/{REPOSITORY}/{commit}/{FOLDER}/{name}"

    def attempt() -> SourceFile:
        content = bytearray()
        deadline = time.monotonic() + FILE_SECONDS
        with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
            _raise_for_status(response, f"{name} of commit {commit}")
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > blob.size:
                    raise _Transient(f"it sends more than the {blob.size:,} bytes of {name}")
                if time.monotonic() > deadline:
                    raise _Transient(f"{name} takes longer than {FILE_SECONDS} seconds")
        if git_blob_sha1(bytes(content)) != blob.sha1:
            raise _Transient(
                f"{name} arrived with {len(content):,} of {blob.size:,} bytes"
                if len(content) < blob.size
                else f"{name} arrived with other content than the commit's"
            )
        path.write_bytes(content)
        return SourceFile(
            path=path,
            sha256=hashlib.sha256(content).hexdigest(),
            etag=response.headers.get("ETag"),
            size=len(content),
        )

    return _with_retries(attempt, url)


def _raise_for_status(response: httpx.Response, missing: str) -> None:
    status = response.status_code
    limited = response.headers.get("X-RateLimit-Remaining") == "0"
    if status in (403, 429) and limited:
        raise SourceUnavailable(
            "GitHub's limit of requests for this address is used up. Set GITHUB_TOKEN, or wait an "
            "hour."
        )
    if status in TRANSIENT_STATUS:
        raise _Transient(f"status {status}")
    if status in REFUSED_STATUS:
        raise SourceUnavailable(
            f"{response.url.host} refuses the request (status {status}). Check GITHUB_TOKEN and "
            "whether a proxy stands in between."
        )
    if status in (404, 422):
        raise SourceError(f"{REPOSITORY} has no {missing} (status {status}).")
    if status != 200:
        raise SourceError(f"{response.url.host} answers status {status} for {missing}.")


def _with_retries(attempt: Callable[[], T], url: str) -> T:
    try:
        return Retrying(
            retry=retry_if_exception_type((_Transient, httpx.TransportError)),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=BACKOFF_SECONDS) + wait_random(0, BACKOFF_SECONDS),
            reraise=True,
        )(attempt)
    except (_Transient, httpx.TransportError) as error:
        reason = str(error) or type(error).__name__
        raise SourceUnavailable(
            f"{httpx.URL(url).host} cannot be used, tried {ATTEMPTS} times: {reason}."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{url} cannot be fetched: {error}.") from error
