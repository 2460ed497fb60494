"""What keeps a data package from being built."""

from __future__ import annotations


class ExportError(RuntimeError):
    """A data package cannot be built or placed; the message names what, and what to do."""
