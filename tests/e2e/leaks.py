"""Looks for secrets in what a run leaves behind, and in what others see of it meanwhile."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

import psutil
from psycopg import sql

from include.warehouse.connection import ConnectionSettings

SECONDS_BETWEEN_LOOKS = 0.2


def forms(secret: str) -> set[bytes]:
    """Return a secret as it may turn up: quoted for a URL, JSON or Python, in base64, in hex."""
    encoded = secret.encode()
    # In the middle of something longer, base64 has three faces; the ends depend on the neighbours.
    shifted = {
        base64.b64encode(b"x" * shift + encoded)[(4 if shift else 0) : -4] for shift in range(3)
    }
    return {
        encoded,
        quote(secret, safe="").encode(),
        quote_plus(secret).encode(),
        quote(secret).encode(),
        json.dumps(secret)[1:-1].encode(),
        json.dumps(json.dumps(secret)[1:-1])[1:-1].encode(),
        repr(secret)[1:-1].encode(),
        secret.replace("'", "''").encode(),
        encoded.hex().encode(),
        *shifted,
    }


def leaked(places: Iterable[tuple[str, bytes]], secrets: dict[str, str]) -> set[str]:
    """Return which secret lies where."""
    wanted = {name: forms(secret) for name, secret in secrets.items()}
    return {
        f"{name} in {place}"
        for place, content in places
        for name, faces in wanted.items()
        if any(face in content for face in faces)
    }


def files(*folders: Path, but_for: Iterable[Path] = ()) -> Iterator[tuple[str, bytes]]:
    """Return every file of the folders, with its name: a name can hold a secret too."""
    private = set(but_for)
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not private & {path, *path.parents}:
                yield str(path), path.name.encode() + b"\n" + path.read_bytes()


def tables(database: ConnectionSettings, *schemas: str) -> Iterator[tuple[str, bytes]]:
    """Return every table of the schemas as text, and what the server shows of its sessions."""
    with database.connect() as connection:
        found = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname = any(%s)",
            (list(schemas),),
        ).fetchall()
        for name in [*found, ("pg_catalog", "pg_stat_activity")]:
            rows = connection.execute(
                sql.SQL("select string_agg(t::text, chr(10)) from {} as t").format(
                    sql.Identifier(*name)
                )
            ).fetchone()
            yield f"table {'.'.join(name)}", (rows[0] if rows and rows[0] else "").encode()


@contextmanager
def watched_processes() -> Iterator[set[bytes]]:
    """Collect the command lines of all processes, which every user of the machine can read."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            for process in psutil.process_iter(["cmdline"]):
                seen.add("\0".join(process.info["cmdline"] or ()).encode())

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    try:
        yield seen
    finally:
        over.set()
        watch.join()
