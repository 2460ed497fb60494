"""Whatever the warehouse does and however many ask, the API server goes on."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from include.console import health
from include.console.health import UNREACHABLE, Health, HealthProbe, WarehouseHealth

WELL = Health(warehouse=WarehouseHealth(status="healthy"))


class Warehouse:
    """Answers when it is let, and counts who asks."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = threading.Event()

    def examine(self) -> Health:
        self.asked += 1
        self.answers.wait(10)
        return WELL


def test_a_hundred_who_ask_at_once_are_one_session_of_the_warehouse() -> None:
    """Nobody signs in to ask: each question was a connection, until none was left for the runs."""
    warehouse = Warehouse()
    warehouse.answers.set()
    probe = HealthProbe(warehouse.examine)

    async def ask() -> list[Health]:
        return await asyncio.gather(*(probe.current() for _ in range(100)))

    assert asyncio.run(ask()) == [WELL] * 100
    assert warehouse.asked == 1


def test_a_warehouse_that_hangs_holds_up_nothing_and_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.2)
    warehouse = Warehouse()
    probe = HealthProbe(warehouse.examine)

    async def ask() -> None:
        asked = asyncio.gather(*(probe.current() for _ in range(20)))
        pauses = [await pause() for _ in range(10)]
        assert max(pauses) < 1, "the event loop stood still"
        assert await asked == [UNREACHABLE] * 20
        assert await probe.current() == UNREACHABLE
        assert warehouse.asked == 1
        warehouse.answers.set()
        assert await probe.current() == WELL

    async def pause() -> float:
        started = time.perf_counter()
        await asyncio.sleep(0.01)
        return time.perf_counter() - started - 0.01

    asyncio.run(ask())


def test_an_answer_is_asked_for_anew_once_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 0)
    warehouse = Warehouse()
    warehouse.answers.set()
    probe = HealthProbe(warehouse.examine)

    async def ask() -> None:
        await probe.current()
        await probe.current()

    asyncio.run(ask())
    assert warehouse.asked == 2
