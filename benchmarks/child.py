"""Call a function in this new interpreter: `python -m benchmarks.child MODULE:FUNCTION RESULT`.

Its arguments come as JSON through stdin, since other users may read a command line.
"""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Sample


def main(function: str, result: Path) -> None:
    """Call it and write what it returned: parts, or a sample of a part of its work."""
    module, _, name = function.partition(":")
    returned = getattr(importlib.import_module(module), name)(**json.load(sys.stdin))
    told = {"sample": asdict(returned)} if isinstance(returned, Sample) else {"parts": returned}
    result.write_text(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
