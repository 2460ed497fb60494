"""Source `upstream`: survivoR's GitHub repository at one commit.

`GAMEBOT_UPSTREAM_API_URL` and `GAMEBOT_UPSTREAM_RAW_URL` name a mirror; `GITHUB_TOKEN` raises
GitHub's limit of requests and goes to the API only.

Whoever answers is not trusted: every answer has a largest size and a deadline, is never unpacked,
and redirects lead to the same server or to GitHub. A file is taken when git's hash of it is right.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from include.ingestion.reader import shown
from include.ingestion.sources.base import (
    ResolvedSource,
    SourceError,
    SourceFile,
    SourceUnavailable,
    files_fingerprint,
    git_blob_sha1,
)
from include.ingestion.sources.rda import (
    MAX_FILE_BYTES,
    MAX_TOTAL_BYTES,
    SUFFIX,
    RdaFiles,
    is_plain,
    unknown_datasets,
)

REPOSITORY = "doehm/survivoR"
BRANCH = "master"
FOLDER = "data"

API_URL = "https://api.github.com"
RAW_URL = "https://raw.githubusercontent.com"

# Where GitHub itself may send a request on to.
GITHUB_HOSTS = {"api.github.com", "github.com", "raw.githubusercontent.com"}
MAX_REDIRECTS = 3

ATTEMPTS = 3
BACKOFF_SECONDS = 0.5
CONCURRENT_DOWNLOADS = 4
TIMEOUT = httpx.Timeout(connect=5, read=20, write=20, pool=60)
# A server that sends byte after byte never meets a read timeout: what one answer, and all files
# together, may take.
API_SECONDS = 30
FILE_SECONDS = 120
FETCH_SECONDS = 900
API_BYTES = 2**20  # the listing of data/ has 7,000 bytes

# What passes or can be got round; everything else, such as 404, is an answer.
TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
REFUSED_STATUS = {401, 403, 407, 451}


T = TypeVar("T")


class _Transient(Exception):
    """An attempt failed in a way that another attempt may not."""


class _Entry(BaseModel):
    """A line of GitHub's listing of a folder."""

    model_config = ConfigDict(strict=True, frozen=True)

    path: str
    type: str
    sha: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    size: Annotated[int, Field(ge=0)] = 0


class _Listing(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    tree: list[_Entry]
    truncated: bool = False


def resolve(ref: str | None = None) -> ResolvedSource:
    """Find the commit behind a branch, tag or commit, and identify its data files.

    Raises:
        SourceUnavailable: GitHub cannot be reached, answers with an error, or refuses.
        SourceError: there is no such commit, or it holds no data.
    """

    async def find() -> tuple[str, dict[str, _Entry]]:
        async with _client() as client:
            commit = await _commit(client, ref or BRANCH)
            return commit, await _data_files(client, commit)

    commit, listed = asyncio.run(find())
    blobs = {name: entry.sha for name, entry in listed.items() if is_plain(name)}
    return ResolvedSource(
        kind="upstream",
        version=commit,
        location=f"github.com/{REPOSITORY}/tree/{commit}/{FOLDER}",
        commit=commit,
        fingerprint=files_fingerprint(blobs),
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
    return asyncio.run(_fetch(source.version, datasets, into, on_progress))


async def _fetch(
    commit: str, datasets: Collection[str], into: Path, on_progress: Callable[[str], None]
) -> RdaFiles:
    tasks: dict[str, asyncio.Task[SourceFile]] = {}
    files = {}
    try:
        async with asyncio.timeout(FETCH_SECONDS), _client() as client:
            listed = await _data_files(client, commit)
            wanted = [name for name in sorted(datasets) if f"{name}{SUFFIX}" in listed]
            _refuse_oversize([listed[f"{name}{SUFFIX}"] for name in wanted])
            free = asyncio.Semaphore(CONCURRENT_DOWNLOADS)

            async def download(entry: _Entry) -> SourceFile:
                async with free:
                    return await _download(client, commit, entry, into / entry.path)

            try:
                for name in wanted:
                    tasks[name] = asyncio.create_task(download(listed[f"{name}{SUFFIX}"]))
                for number, (name, task) in enumerate(tasks.items(), start=1):
                    file = files[name] = await task
                    on_progress(
                        f"files  {number:2}/{len(wanted)}  {name}{SUFFIX}  {file.size:,} bytes"
                    )
            finally:
                for task in tasks.values():
                    task.cancel()
                await asyncio.gather(*tasks.values(), return_exceptions=True)
    except TimeoutError as error:
        raise SourceUnavailable(
            f"The files of commit {commit} did not arrive within {FETCH_SECONDS} seconds."
        ) from error
    return RdaFiles(files, unknown_datasets(listed, datasets))


def _refuse_oversize(entries: list[_Entry]) -> None:
    for entry in entries:
        if entry.size > MAX_FILE_BYTES:
            raise SourceError(
                f"{entry.path} has {entry.size:,} bytes, more than {MAX_FILE_BYTES:,}."
            )
    if (total := sum(entry.size for entry in entries)) > MAX_TOTAL_BYTES:
        raise SourceError(f"The files have {total:,} bytes, more than {MAX_TOTAL_BYTES:,}.")


def _client() -> httpx.AsyncClient:
    # Redirects are followed by hand. A server that packs its answer could make it any size.
    headers = {"User-Agent": "gamebot-warehouse", "Accept-Encoding": "identity"}
    return httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, headers=headers)


def _url(setting: str, default: str) -> str:
    return (os.environ.get(setting) or default).rstrip("/")


async def _commit(client: httpx.AsyncClient, ref: str) -> str:
    if not re.fullmatch(r"[\w./-]{1,200}", ref, re.ASCII) or ".." in ref:
        raise SourceError(f"{ref!r} is not a commit, branch or tag of {REPOSITORY}.")
    answer = await _api(client, f"commits/{ref}", "application/vnd.github.sha", f"ref {ref!r}")
    commit = answer.decode("ascii", "replace").strip()
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise SourceUnavailable(
            f"{_api_host()} answers {shown(commit)} instead of a commit. Is "
            "GAMEBOT_UPSTREAM_API_URL right, and does no proxy stand in between?"
        )
    return commit


async def _data_files(client: httpx.AsyncClient, commit: str) -> dict[str, _Entry]:
    """List the .rda files of the commit, by name."""
    root = await _tree(client, commit, f"commit {commit}")
    folder = next((entry for entry in root if entry.path == FOLDER), None)
    if folder is None:
        raise SourceError(f"Commit {commit} of {REPOSITORY} has no folder {FOLDER}/.")
    files = [
        entry
        for entry in await _tree(client, folder.sha, f"folder {FOLDER}/ of commit {commit}")
        if entry.type == "blob" and entry.path.lower().endswith(SUFFIX)
    ]
    if not files:
        raise SourceError(f"Commit {commit} of {REPOSITORY} holds no {SUFFIX} file in {FOLDER}/.")
    twice = [name for name, times in Counter(entry.path for entry in files).items() if times > 1]
    if twice:
        raise SourceUnavailable(f"{_api_host()} lists {shown(twice[0])} more than once.")
    return {entry.path: entry for entry in files}


async def _tree(client: httpx.AsyncClient, sha: str, what: str) -> list[_Entry]:
    answer = await _api(client, f"git/trees/{sha}", "application/vnd.github+json", what)
    try:
        listing = _Listing.model_validate_json(answer)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, problem["loc"]))
        raise SourceUnavailable(
            f"{_api_host()} sent no listing of {what} ({place} {problem['msg']}). Does a proxy "
            "stand in between?"
        ) from error
    if listing.truncated:
        raise SourceError(f"The listing of {what} is incomplete: it holds too many files.")
    return listing.tree


def _api_url() -> str:
    return f"{_url('GAMEBOT_UPSTREAM_API_URL', API_URL)}/repos/{REPOSITORY}"


def _api_host() -> str:
    return _host(_api_url())


def _host(url: str | httpx.URL) -> str:
    """Tell the server's name only: an address may hold a password."""
    try:
        return urlsplit(str(url)).hostname or "An address without a server"
    except ValueError:
        return "What is no address"


async def _api(client: httpx.AsyncClient, path: str, accept: str, what: str) -> bytes:
    url = f"{_api_url()}/{path}"
    headers = {"Accept": accept}
    if token := os.environ.get("GITHUB_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"

    async def attempt() -> bytes:
        content, _ = await _get(client, url, headers, what, API_BYTES, API_SECONDS)
        return content

    return await _with_retries(attempt, url)


async def _download(
    client: httpx.AsyncClient, commit: str, entry: _Entry, path: Path
) -> SourceFile:
    name = entry.path
    url = f"{_url('GAMEBOT_UPSTREAM_RAW_URL', RAW_URL)}/{REPOSITORY}/{commit}/{FOLDER}/{name}"

    async def attempt() -> SourceFile:
        content, etag = await _get(
            client, url, {}, f"{name} of commit {commit}", entry.size, FILE_SECONDS
        )
        if git_blob_sha1(content) != entry.sha:
            raise _Transient(
                f"{name} arrived with {len(content):,} of {entry.size:,} bytes"
                if len(content) < entry.size
                else f"{name} arrived with other content than the commit's"
            )
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return SourceFile(path=path, sha256=digest, etag=etag, size=len(content))

    return await _with_retries(attempt, url)


async def _get(
    client: httpx.AsyncClient,
    url: str,
    headers: dict[str, str],
    what: str,
    max_bytes: int,
    seconds: float,
) -> tuple[bytes, str | None]:
    """Make one attempt at an answer; returns it with its ETag."""
    request = client.build_request("GET", url, headers=headers)
    try:
        async with asyncio.timeout(seconds):
            for _ in range(MAX_REDIRECTS + 1):
                response = await client.send(request, stream=True)
                try:
                    if response.next_request is None:
                        _raise_for_status(response, what)
                        etag = response.headers.get("ETag", "")[:200] or None
                        return await _body(response, what, max_bytes), etag
                    _refuse_foreign(httpx.URL(url), response.next_request.url)
                    request = response.next_request
                finally:
                    await response.aclose()
    except TimeoutError as error:
        raise _Transient(f"{what} takes longer than {seconds} seconds") from error
    raise SourceUnavailable(f"{_host(url)} redirects {what} more than {MAX_REDIRECTS} times.")


async def _body(response: httpx.Response, what: str, max_bytes: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _Transient(f"{what} comes packed, which was not asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > max_bytes:
            raise _Transient(f"it sends more than {max_bytes:,} bytes for {what}")
    return bytes(content)


def _refuse_foreign(asked: httpx.URL, target: httpx.URL) -> None:
    """Allow a redirect to the same server, and to GitHub; httpx leaves the token behind there."""
    same = (target.scheme, target.host, target.port) == (asked.scheme, asked.host, asked.port)
    github = target.scheme == "https" and target.host in GITHUB_HOSTS and target.port is None
    if not (same or github):
        place = shown(f"{target.scheme}://{target.host}")
        raise SourceUnavailable(
            f"{_host(asked)} redirects to {place}, which is not followed. Are "
            "GAMEBOT_UPSTREAM_API_URL and GAMEBOT_UPSTREAM_RAW_URL right, and does "
            "no proxy stand in between?"
        )


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


async def _with_retries(attempt: Callable[[], Awaitable[T]], url: str) -> T:
    try:
        return await AsyncRetrying(
            retry=retry_if_exception_type((_Transient, httpx.TransportError)),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=BACKOFF_SECONDS) + wait_random(0, BACKOFF_SECONDS),
            reraise=True,
        )(attempt)
    except (_Transient, httpx.TransportError) as error:
        timed_out = isinstance(error, httpx.TimeoutException)
        reason = "it timed out" if timed_out else str(error) or type(error).__name__
        raise SourceUnavailable(
            f"{_host(url)} cannot be used, tried {ATTEMPTS} times: {reason}. Wait for the next "
            "run, or name a mirror: GAMEBOT_UPSTREAM_API_URL, GAMEBOT_UPSTREAM_RAW_URL."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{_host(url)} cannot be asked: {error}.") from error
