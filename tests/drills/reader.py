"""A reader who never stops: what does somebody see who queries the warehouse all the time?

A process of its own. Each look is one repeatable-read transaction over every published table; what
it found goes to a file, a line per look, to be judged by whoever started it.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from pydantic import BaseModel

from include.environments import PROJECT_DIR
from include.warehouse.connection import ConnectionSettings
from include.warehouse.publication import PERMANENT_VIEWS
from include.warehouse.schemas import LAYERS

PAUSE_SECONDS = 0.02
LOOKS_PER_CONNECTION = 100
# What a look must have found within this time after the last one, or the reader was held up.
STARTED_WITHIN = 30


class Look(BaseModel):
    """One transaction of the reader: what each public table showed, or why it could not look."""

    at: float
    seconds: float = 0
    releases: list[int] = []
    """Whose tables the public views showed, and whose rows bronze held: one and the same."""
    rows: dict[str, int] = {}
    error: str | None = None


def look(connection: psycopg.Connection, views: list[tuple[str, str]]) -> Look:
    """Read every published table in one transaction."""
    # In any order: readers know nothing of the one in which views are replaced.
    random.shuffle(views)
    started = time.time()
    counts = sql.SQL(" union all ").join(
        sql.SQL("select {name}, count(*) from {view}").format(
            name=sql.Literal(f"{schema}.{name}"), view=sql.Identifier(schema, name)
        )
        for schema, name in views
    )
    with connection.transaction():
        rows = dict(connection.execute(counts).fetchall())
        loaded_as = connection.execute(
            "select distinct _release_id from bronze.season_summary"
        ).fetchall()
        # Which tables were read. Not from pg_views, which answers as of the beginning of the
        # transaction: views are as they were when their first query had got its locks.
        plan = connection.execute(sql.SQL("explain (verbose, format json) ") + counts).fetchall()
    return Look(
        at=started,
        seconds=time.time() - started,
        releases=sorted({release for (release,) in loaded_as} | set(_releases(plan))),
        rows=rows,
    )


def _releases(plan: Any) -> Iterator[int]:
    """Yield the release of every table that a plan reads."""
    if isinstance(plan, dict):
        if "Schema" in plan:
            yield int(plan["Schema"].rpartition("_r")[2])
        plan = list(plan.values())
    if isinstance(plan, list | tuple):
        for part in plan:
            yield from _releases(part)


def main() -> None:
    """Look again and again at the warehouse of `DB_*`, until told to stop."""
    settings = ConnectionSettings.from_environment()
    while True:
        try:
            with settings.connect() as connection:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                with connection.transaction():
                    views = connection.execute(
                        "select schemaname, viewname from pg_views where schemaname = any(%s)",
                        (list(LAYERS),),
                    ).fetchall()
                views = [
                    (schema, name)
                    for schema, name in views
                    if name not in PERMANENT_VIEWS.get(schema, ())
                ]
                for _ in range(LOOKS_PER_CONNECTION):
                    print(look(connection, views).model_dump_json(), flush=True)
                    time.sleep(PAUSE_SECONDS)
        except psycopg.Error as error:
            found = Look(at=time.time(), error=f"{type(error).__name__}: {error}")
            print(found.model_dump_json(), flush=True)
            time.sleep(PAUSE_SECONDS)


@dataclass
class Verdict:
    """What a reader saw in a stretch of time."""

    looks: int
    releases: list[int]
    """In the order in which they were seen."""
    longest: float
    cut_off: int
    """Lost connections while the server was taken away on purpose."""
    complaints: list[str]

    def __str__(self) -> str:
        seen = " → ".join(map(str, self.releases)) or "nothing"
        text = f"{self.looks} looks, release {seen}, longest {self.longest:.1f} s"
        if self.cut_off:
            text += f", {self.cut_off} refused while the server was away"
        return text + (f"; {len(self.complaints)} COMPLAINTS" if self.complaints else "")


@dataclass
class Reader:
    """The process, and the judge of what it found."""

    settings: ConnectionSettings
    """The login of a reader."""
    admin: ConnectionSettings
    """A superuser, who knows what was published when."""
    file: Path
    _away: list[tuple[float, float]] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _sizes: dict[int, dict[str, int]] = field(default_factory=dict)

    def start(self) -> None:
        """Start the process, and wait for its first look."""
        with self.file.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.drills.reader"],
                cwd=PROJECT_DIR,
                env={
                    **os.environ,
                    **self.settings.as_environment(),
                    "PYTHONPATH": str(PROJECT_DIR),
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
            )
        try:
            self.wait_for_look(time.time())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def wait_for_look(self, since: float) -> None:
        """Wait until the reader began a look after `since`, and finished it without an error."""
        deadline = time.monotonic() + STARTED_WITHIN
        while not any(one.at >= since and not one.error for one in self._looks(since)):
            assert time.monotonic() < deadline, (
                f"readers saw nothing for {STARTED_WITHIN} s: {self._looks(since)[-1:]}"
            )
            time.sleep(0.05)

    @contextmanager
    def server_is_away(self) -> Iterator[None]:
        """While in here, lost connections are what is to be expected."""
        started = time.time()
        try:
            yield
        finally:
            self._away.append((started, time.time() + 1))

    def judge(self, since: float) -> Verdict:
        """Compare what was seen since then with what was published."""
        published = self._published()
        looks = self._looks(since)
        complaints: list[str] = []
        cut_off = 0
        releases: list[int] = []
        for one in looks:
            if one.error and self._was_away(one.at):
                cut_off += 1
            elif one.error:
                complaints.append(one.error)
            else:
                complaints += self._faults(one, published)
                if releases[-1:] != one.releases:
                    releases += one.releases
        return Verdict(
            looks=len(looks) - cut_off,
            releases=releases,
            longest=max((one.seconds for one in looks), default=0),
            cut_off=cut_off,
            complaints=complaints,
        )

    def _faults(self, one: Look, published: dict[int, float]) -> Iterator[str]:
        if len(one.releases) != 1:
            yield f"mixed: releases {one.releases}"
            return
        (release,) = one.releases
        if release not in published:
            yield f"release {release} was never published, or not audited"
        elif one.at + one.seconds < published[release]:
            yield f"release {release} was seen before it was published"
        # A release holds the same rows whenever somebody looks.
        if self._sizes.setdefault(release, one.rows) != one.rows:
            yield f"release {release} changed: {self._sizes[release]} and {one.rows}"

    def _published(self) -> dict[int, float]:
        """Release: since when readers may see it; only those that passed every audit."""
        with self.admin.connect() as connection:
            return dict(
                connection.execute(
                    """
                    select release_id, extract(epoch from published_at)::float8 - 0.1
                    from ops.releases
                    where
                        published_at is not null
                        and audited_at is not null
                        and not exists (
                            select from ops.check_results
                            where
                                check_results.release_id = releases.release_id
                                and severity = 'blocking' and outcome <> 'passed'
                        )
                    """
                ).fetchall()
            )

    def _looks(self, since: float) -> list[Look]:
        looks = []
        for line in self.file.read_bytes().splitlines():
            # The last line may be half written.
            with suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if entry["at"] >= since:
                    looks.append(Look(**entry))
        return looks

    def _was_away(self, at: float) -> bool:
        return any(start <= at <= end for start, end in self._away)


if __name__ == "__main__":
    main()
