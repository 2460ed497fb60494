"""The web application below `/gamebot`."""

from __future__ import annotations

from fastapi import FastAPI, Response

from include.console.health import Health, HealthProbe

# No pages about the interface itself: they would load scripts from elsewhere.
app = FastAPI(title="Gamebot", docs_url=None, redoc_url=None, openapi_url=None)
probe = HealthProbe()


@app.get("/health")
async def health(response: Response) -> Health:
    """Say to anybody who asks, as Airflow's own health page does, whether the warehouse is well."""
    found = await probe.current()
    response.headers["Cache-Control"] = "no-store"
    response.status_code = 200 if found.is_healthy else 503
    return found
