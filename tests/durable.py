"""Rings in trouble, and nodes, for tests of long-lived connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import trio
import trio.testing
from memory_transport import SECRETS, MemoryNetwork, memory_ring
from shelf import Shelf, repository

from node import (
    Node,
    NodeConfig,
    SecurityConfig,
    open_node,
)
from node.durable import DurableSessions, open_durable
from node.sections import SessionsConfig
from node.stores import Store
from ring.messages import Failure, Find, Reply, Request, Save

MINUTE_S = 60.0


class Ring(Shelf):
    """A ring that may be in trouble, and then answers nothing of use, or nothing at all."""

    trouble: Failure | None = None
    is_silent = False

    async def perform(self, request: Request) -> Reply:
        if self.is_silent:
            self.asked.append(request)
            await trio.sleep_forever()
        if self.trouble is not None:
            self.replies.append(self.trouble)
        await trio.lowlevel.checkpoint()
        return await super().perform(request)

    def saves(self) -> list[Save]:
        return [each for each in self.asked if isinstance(each, Save)]

    def touches(self) -> int:
        return sum(isinstance(each, Find) and each.touch for each in self.asked)


class Calls:
    """Counts how often it is called."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@asynccontextmanager
async def over(
    ring: Ring, *, connections_max: int = 100, unsaved_max: int = 100
) -> AsyncIterator[DurableSessions]:
    async with open_durable(
        repository(ring), connections_max=connections_max, unsaved_max=unsaved_max
    ) as durable:
        yield durable


@asynccontextmanager
async def a_node(
    store: Store | None = None, max_idle: float = 1800, attributes_max: int = 2048
) -> AsyncIterator[Node]:
    config = NodeConfig(
        name="a",
        ring=memory_ring("a"),
        security=SecurityConfig(SECRETS),
        sessions=SessionsConfig(max_idle=max_idle, attributes_max=attributes_max),
    )
    async with open_node(
        config, store=store, transport=MemoryNetwork(), random=Random(1), simulated=True
    ) as node:
        await node.wait_ready()
        yield node
