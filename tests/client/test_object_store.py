"""A store in S3, where production keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import gamebot
from tests.client.packages import write_store

pytest.importorskip("moto", reason="make test installs it")
pytest.importorskip("s3fs")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from tests.object_store import BUCKET, object_store

    folder = write_store(tmp_path / "store")
    with object_store() as server:
        for name, value in server.as_environment().items():
            monkeypatch.setenv(name, value)
        client = server.client()
        for path in folder.rglob("*"):
            if path.is_file():
                client.upload_file(str(path), BUCKET, f"data/{path.relative_to(folder).as_posix()}")
        yield f"s3://{BUCKET}/data"


def test_a_store_in_s3_is_read_like_any_other(bucket: str) -> None:
    client = gamebot.open(bucket)
    assert client.query("select sum(votes) as votes from ml_features")["votes"].tolist() == [7]
    assert client.release().source == f"{bucket}/releases/42/package"
    with pytest.raises(gamebot.NoData, match="There is no data package"):
        gamebot.open(f"{bucket}/elsewhere")


def test_a_login_that_may_not_read_is_told_so(bucket: str) -> None:
    with pytest.raises(gamebot.GamebotError, match="gamebot-nowhere"):
        gamebot.open("s3://gamebot-nowhere/data")
