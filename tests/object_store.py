"""An S3-compatible server on this machine: moto's, which speaks the real protocol over HTTP."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("moto", reason="make test installs it")

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "gamebot-artifacts"
KEY_ID = "AKIAPLANTED000000000"  # pragma: allowlist secret
SECRET_KEY = "planted/key+of=the/object%20store"  # pragma: allowlist secret
REGION = "us-east-1"


@dataclass
class ObjectStore:
    """The server and what is in its bucket."""

    url: str

    def as_environment(self) -> dict[str, str]:
        """Return what tells a machine who it is for AWS, and where that is."""
        return {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
        }

    def client(self, service: str = "s3") -> Any:
        """Return an administrator's client."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET_KEY,
        )

    def connection(self, **changes: Any) -> str:
        """Return the value of a variable `AIRFLOW_CONN_*` that leads here."""
        parts = {
            "conn_type": "aws",
            "login": KEY_ID,
            "password": SECRET_KEY,
            "extra": {"region_name": REGION, "endpoint_url": self.url},
        }
        return json.dumps(parts | changes)

    def objects(self, prefix: str = "", bucket: str = BUCKET) -> dict[str, bytes]:
        """Return every object below a prefix."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {
            found["Key"]: client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
            for page in pages
            for found in page.get("Contents", [])
        }

    @contextmanager
    def asking_for_permission(self) -> Iterator[None]:
        """Refuse whoever has no policy that allows what they do, as AWS does."""
        self._check_logins(after=0)
        try:
            yield
        finally:
            self._check_logins(after=float("inf"))

    def _check_logins(self, after: float) -> None:
        request = urllib.request.Request(
            f"{self.url}/moto-api/reset-auth",
            data=str(after).encode(),
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request).close()


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Start the server with an empty bucket in it."""
    # A line for each request would bury what the tests say.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    store = ObjectStore(f"http://{host}:{port}")
    try:
        store.client().create_bucket(Bucket=BUCKET)
        yield store
    finally:
        server.stop()
