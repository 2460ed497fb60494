"""An Airflow home of its own, so that a test run neither reads nor leaves a person's settings."""

from __future__ import annotations

import os
import sys
import tempfile

# Airflow reads its settings when it is first imported, before any fixture could change them.
if "airflow" not in sys.modules:
    HOME = tempfile.TemporaryDirectory(prefix="gamebot-airflow-")
    os.environ.setdefault("AIRFLOW_HOME", HOME.name)
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
