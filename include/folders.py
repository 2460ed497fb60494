"""Folders that are replaced whole: whoever looks finds the old one or the new one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the target's place once all went well.

    A process that is killed meanwhile leaves the target as it was, and its own half beside it,
    which the next one removes.

    Raises:
        OSError: neither can be written.
    """
    draft = target.with_name(f".{target.name}.unfinished")
    former = target.with_name(f".{target.name}.former")
    target.parent.mkdir(parents=True, exist_ok=True)
    if former.exists() and not target.exists():
        # Killed between the two steps of an exchange.
        former.rename(target)
    for leftover in (draft, former):
        if leftover.exists():
            shutil.rmtree(leftover)
    draft.mkdir()
    try:
        yield draft
        if target.exists():
            target.rename(former)
        draft.rename(target)
        shutil.rmtree(former, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def copy_files(source: Path, target: Path) -> None:
    """Copy files and folders but not their modes: a temporary folder is for its owner alone."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        else:
            shutil.copyfile(path, copy)
