"""The search for secrets finds them in disguise; one that finds nothing proves nothing."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.e2e.leaks import files, leaked

SECRET = "pipeline $${DB_HOST} w'ord/%40&\"@:# ü"

DISGUISES = {
    "plain": f"password={SECRET};",
    "in a URL": f"postgresql://login:{quote(SECRET, safe='')}@host/warehouse",
    "in a query": urlencode({"password": SECRET}),
    "in JSON": json.dumps({"password": SECRET}),
    "in JSON in JSON": json.dumps({"extra": json.dumps({"password": SECRET})}),
    "in a traceback": repr({"password": SECRET}),
    "in SQL": f"alter role x password '{SECRET.replace(chr(39), chr(39) * 2)}'",
    "in hex": f"\\x{b'..'.hex()}{SECRET.encode().hex()}",
    **{
        f"in base64 after {login}": base64.b64encode(f"{login}:{SECRET}!".encode()).decode()
        for login in ("a", "ab", "abc")
    },
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_secret_is_found_in_every_disguise(tmp_path: Path, disguise: str) -> None:
    (tmp_path / "task.log").write_text(f"before {DISGUISES[disguise]} after")
    found = leaked(files(tmp_path), {"the password": SECRET, "another": "not in there"})
    assert found == {f"the password in {tmp_path / 'task.log'}"}
