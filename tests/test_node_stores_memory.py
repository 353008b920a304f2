"""The store in memory: a store like any other, that says what it is not."""

import logging
from pathlib import Path
from typing import ClassVar

import pytest

from node import Durability, NodeConfig, open_node
from node.stores import MemoryStore, Report, Store
from simulations.conformance import StoreConformance


class TestMemoryStore(StoreConformance):
    """Its next life is the same object, opened again."""

    locks = False
    made: ClassVar[dict[Path, MemoryStore]] = {}

    def make(self, directory: Path, report: Report) -> Store:
        return self.made.setdefault(directory, MemoryStore())


def test_the_log_says_at_each_opening_that_it_is_lost_on_restart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    with caplog.at_level(logging.WARNING, "sessionring"):
        for _ in range(2):
            store.open()
            store.close()
    said = [record.getMessage() for record in caplog.records]
    assert said == ['store_in_memory lost="when this process ends"'] * 2


async def test_a_node_that_is_opened_again_with_it_has_its_sessions() -> None:
    store = MemoryStore()
    async with open_node(NodeConfig.single(None), store=store) as node:
        session = node.sessions.create()
        session["x"] = 1
        await session.save(durability=Durability.DISK)
        assert len(list(store.load())) == 1
    async with open_node(NodeConfig.single(None), store=store) as node:
        await node.wait_ready()
        found = await node.sessions.find(session.id)
        assert found is not None
        assert found["x"] == 1
        assert not store.aside
