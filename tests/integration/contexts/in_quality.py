"""Runs in the audits' environment: which warehouse do Soda and Great Expectations reach?"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path

import great_expectations as gx
from sqlalchemy import text

from include.quality.session import audit_session
from include.quality.soda_audit import _scan
from include.warehouse.connection import ConnectionSettings

IDENTITY = (
    "select system_identifier::text, current_database()::text, inet_server_port()::text as port"
    " from pg_control_system()"
)
CHECKS = f"""
checks for published_layers:
  - failed rows:
      name: which warehouse this is
      fail query: {IDENTITY}
"""


def by_soda() -> list[str]:
    """Let a check fail on the row that tells."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "published_layers.yml")
        path.write_text(CHECKS)
        (result,) = _scan("silver", [path])
    return list(result.observed["sample"][0].values())


def by_great_expectations() -> list[str]:
    """Ask through a data source that is made as the audit makes its own."""
    os.environ["GAMEBOT_GX_URL"] = "postgresql+psycopg2://"
    context = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_postgres("one", connection_string="${GAMEBOT_GX_URL}")
    with source.get_engine().connect() as connection:
        return list(connection.execute(text(IDENTITY)).one())


logging.getLogger("great_expectations").setLevel(logging.ERROR)
answers = {}
for name, variables in json.load(sys.stdin).items():
    settings = ConnectionSettings.from_environment(variables)
    with audit_session(settings, ["ops"]):
        answers[name] = {"Soda": by_soda(), "Great Expectations": by_great_expectations()}
json.dump(answers, sys.stdout)
