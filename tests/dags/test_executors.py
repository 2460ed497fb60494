"""The executors of deployments with several machines, as far as one process can show."""

from __future__ import annotations

import importlib

import pytest

pytestmark = pytest.mark.dags


def test_celery_fits_its_provider() -> None:
    """Celery 5.7 moved what the provider imports: no scheduler and no worker started."""
    pytest.importorskip("airflow.providers.celery", reason="needs the provider, as in the image")
    importlib.import_module("airflow.providers.celery.executors.celery_executor")
