"""`.env`, which every mode of `astro dev` reads, each with a parser of its own.

One file serves them all, so it holds nothing that is right in one mode only: no path of this
machine, for the image has its own. The one exception is the warehouse's connection, which
standalone mode has from nowhere else; docker-compose.override.yml empties it for the containers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from include.local.databases import PIPELINE_LOGIN
from include.local.state import write_atomically
from include.warehouse.connection import CONNECTION_VARIABLE, ConnectionSettings

SETTING = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")

CONNECTION_COMMENT = (
    "# The warehouse of `make warehouse`. Containers never take it (docker-compose.override.yml)."
)


def prepare_env_file(checkout: Path, connection: ConnectionSettings) -> list[str]:
    """Make or complete a checkout's `.env`; returns what was done and found, a sentence each.

    Lines that somebody else wrote stay as they are. Only the user may read the file.
    """
    path = (checkout / ".env").resolve()
    before = path.read_text() if path.exists() else ""
    told = [f"Line {number} of .env: {problem}" for number, problem in misreadable(before)]

    template = (checkout / ".env.example").read_text()
    present = settings(before)
    missing = {name: it for name, it in settings(template).items() if name not in present}
    if not before.strip():
        text = template
        told.append(f"Made {path} from .env.example.")
    else:
        text = "".join([_ended(before), *(f"{name}={value}\n" for name, value in missing.items())])
        if missing:
            told.append(f"Added from .env.example: {', '.join(missing)}.")

    value = connection.uri()
    known = present.get(CONNECTION_VARIABLE)
    if known is None:
        text += f"\n{CONNECTION_COMMENT}\n{CONNECTION_VARIABLE}={value}\n"
        told.append(f"Added {CONNECTION_VARIABLE}: the embedded warehouse, port {connection.port}.")
    elif known != value and _is_ours(known):
        text = _replaced(text, CONNECTION_VARIABLE, value)
        told.append(f"Changed {CONNECTION_VARIABLE}: it named another port or an old password.")
    elif known != value:
        told.append(
            f"Kept {CONNECTION_VARIABLE}, which is yours and names another warehouse; without that "
            "line make env puts the embedded one there."
        )

    is_open = path.exists() and path.stat().st_mode & 0o077
    if text != before or is_open:
        write_atomically(path, text, mode=0o600)
    if is_open:
        told.append("Others could read .env: now only you can.")
    return told or ["Nothing to do: .env is complete."]


def settings(text: str) -> dict[str, str]:
    """Return the settings of an `.env`, the last of each name, as all of its readers take them."""
    matches = (SETTING.fullmatch(line) for line in text.splitlines())
    return {match[1]: match[2] for match in matches if match}


def misreadable(text: str) -> Iterator[tuple[int, str]]:
    """Find the lines that compose, `docker --env-file` and standalone mode take differently."""
    for number, line in enumerate(text.splitlines(), 1):
        match = SETTING.fullmatch(line)
        if not match:
            if line.strip() and not line.startswith("#"):
                yield number, "neither KEY=VALUE nor a comment."
        elif match[2] != match[2].strip() or re.match(r"[\"']|.*[$\\]|.*\s#", match[2]):
            yield (
                number,
                f"{match[1]} has quotes, spaces around it, a $, a backslash or a comment in its "
                "value, which Docker and standalone mode take differently.",
            )


def _is_ours(connection: str) -> bool:
    parts = urlsplit(connection)
    return (parts.username, parts.hostname) == (PIPELINE_LOGIN, "127.0.0.1")


def _replaced(text: str, name: str, value: str) -> str:
    lines = text.splitlines()
    return "".join(
        f"{name}={value}\n" if line.startswith(f"{name}=") else f"{line}\n" for line in lines
    )


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
