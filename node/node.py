"""One node: a member of the ring in this process, or a single one with a store.

Rules:
- Start: the store first (it is locked, so a second node stops here), then listening, then
  dialling. Whoever is dialled can dial back at once.
- Stop: the others take over first (`node.draining`), while everything is served as before. Then no
  more requests and no more connections; links get a moment to say what they have to
  say; then everything that has changed goes to the store, and the store is given up.
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random
from typing import Final

import trio
from attrs import evolve

from node.auditing import Audit
from node.background import background_nursery
from node.config import NodeConfig
from node.contacts import Contacts, ContactsFile, restore_contacts
from node.doors import Doors
from node.draining import hand_over
from node.driver import Driver
from node.following import Following
from node.listener import Reception
from node.listening import Listening
from node.loading import load, opened
from node.log import SessionTagger, log_event, log_notice
from node.namespaces import Namespaces
from node.neighbours import Neighbours
from node.performing import Performing
from node.persisting import Persisting
from node.randomness import checked_random
from node.ring_file import RingFile
from node.saving import Saves
from node.sessions import Sessions
from node.status import NodeStatus
from node.stores.base import Store
from node.stores.disk import OsDisk
from node.stores.file import FileStore
from node.timekeeping import Timekeeper, real_wall_ms
from node.transport import Transport, transport_for
from node.turns import Turns
from node.writers import Writers
from ring.clock import Clock
from ring.errors import ConfigError
from ring.identity import SessionId, new_incarnation
from ring.placement import Ring
from ring.replica import Replica
from wire import Identity

LINKS_FLUSH_S: Final = 1.0
"""What links get, when a node stops, to hand to the network what they have to say."""

STORE_FLUSH_S: Final = 30.0
"""What the store gets, when a node stops, to take what has changed."""


class Node(Listening, Performing, Audit):
    """A running node. Made by `open_node`."""

    sessions: Sessions

    def __init__(
        self,
        config: NodeConfig,
        replica: Replica,
        *,
        store: Store | None,
        transport: Transport,
        timekeeper: Timekeeper,
        random: Random,
        tagger: SessionTagger,
        ring_file: RingFile | None = None,
        contacts_file: ContactsFile | None = None,
    ) -> None:
        self.name = config.name
        self._config = config
        self._timekeeper = timekeeper
        self._random = random
        self._turns = Turns()
        self._request_timeout_s = config.node.request_timeout
        self.writers = Writers(random)
        self._hub = self._new_hub(replica, timekeeper)
        self._driver = Driver(
            replica,
            timekeeper,
            on_dial=self._dial_now,
            on_persist=self._note_changed,
            on_adopt=self._adopt,
            on_set_aside=self._set_aside,
            tagger=tagger,
            on_announce=self._hub.announce,
            on_withdraw=self._hub.withdraw,
        )
        self._neighbours = Neighbours(
            Identity.for_member(
                config.ring, config.name, new_incarnation(random), config.security.secrets
            ),
            driver=self._driver,
            transport=transport,
            timekeeper=timekeeper,
            random=random,
            timeout_s=config.node.handshake,
            wait_max_s=config.node.reconnect_max,
        )
        self._persisting = None
        if store is not None:
            self._persisting = Persisting(
                store, self._driver, timekeeper=timekeeper, random=random, tagger=tagger
            )
        self._contacts = None
        if contacts_file is not None:
            retention_s = config.node.retention
            self._contacts = Contacts(contacts_file, self._driver, timekeeper, retention_s)
        self._reception = Reception(
            new_connection=self._neighbours.new_connection,
            run_link=self._driver.run_link,
            timekeeper=timekeeper,
            timeout_s=config.node.handshake,
            connections_max=config.node.connections_max,
            unauthenticated_max=config.node.unauthenticated_max,
            members_max=2 * (len(config.ring.addresses) - 1),
        )
        self._doors = Doors(transport, self._reception)
        self._following = Following(
            config,
            neighbours=self._neighbours,
            doors=self._doors,
            reception=self._reception,
            ring_file=ring_file,
            hand_over=self.drain,
        )
        self._nursery: trio.Nursery | None = None
        self.saves = Saves(tagger)
        """What is saved without being asked for."""
        self._namespaces = Namespaces(
            self, config.sessions, config.namespaces, config.durability, self.saves
        )
        self.sessions = self.namespace("")

    def namespace(self, name: str) -> Sessions:
        """Return the sessions of one application of several; empty: of the default namespace.

        Raises:
            ConfigError: ``name`` cannot be a namespace's.
        """
        return self._namespaces.sessions(name)

    # --- what it tells ------------------------------------------------------------------------

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, with the real ports: ``host:port`` and ``unix:/path``."""
        return self._doors.addresses

    @property
    def ready(self) -> bool:
        """Whether it has settled and been refilled: the next member may be restarted."""
        return self._driver.replica.ready

    async def wait_ready(self) -> None:
        """Return once the node has been ready. Until then finds may say "not known yet"."""
        await self._driver.wait_ready()

    def status(self) -> NodeStatus:
        """Return what the node is and does now."""
        persisting = self._persisting
        return NodeStatus.of(
            self.name,
            self._driver.replica,
            clients=self._reception.clients,
            unwritten=persisting.dirty if persisting else 0,
            store_failing=persisting.is_failing if persisting else False,
        )

    # --- its life -----------------------------------------------------------------------------

    async def start(self, nursery: trio.Nursery) -> None:
        """Listen, then dial, in ``nursery``.

        Raises:
            ConfigError: it cannot listen where it should. Definite: nothing was started.
        """
        await self._doors.open(self._config.listen_addresses)
        self._nursery = nursery
        self._following.start(nursery)
        self._driver.start()
        nursery.start_soon(self._doors.run, nursery)
        if self._persisting is not None:
            nursery.start_soon(self._persisting.run)
        if self._contacts is not None:
            nursery.start_soon(self._contacts.run)
        nursery.start_soon(self._hub.run)
        nursery.start_soon(self._driver.run)
        nursery.start_soon(self.saves.run)

    async def drain(self) -> None:
        """Hand over to the other members; return when they have everything.

        The node goes on serving, from now on through them. It is to be stopped afterwards, and
        does this by itself when its block is left. After ``config.node.drain`` seconds this
        returns in any case, and what could not be handed over is logged.
        """
        timeout_s, began = self._config.node.drain, trio.current_time()
        if self._lives():
            # What is kept back comes first: the others have to have it when they take over.
            await self.saves.flush(timeout_s / 2)
            timeout_s -= trio.current_time() - began
        await hand_over(self._driver, self._reception, self._persisting, self._lives, timeout_s)

    def _lives(self) -> bool:
        if self._nursery is None:
            return False
        return not self._nursery.cancel_scope.cancel_called and not self._driver.has_bug

    async def stop_links(self) -> None:
        """Take no more requests or connections, and let links say what they have to say."""
        self._hub.close()
        self._driver.close()
        self._doors.close()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LINKS_FLUSH_S):
            await self._driver.wait_links_idle()

    async def stop_store(self) -> None:
        """Write everything that has changed. Call it when the node's tasks have ended."""
        with trio.CancelScope(shield=True):
            await self._following.keep()
        if self._persisting is None:
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + STORE_FLUSH_S):
            await self._persisting.flush()
            if self._contacts is not None:
                await self._contacts.write()
        if unwritten := self._persisting.dirty:
            log_event(logging.ERROR, "stopped_unwritten", {"sessions": unwritten})

    # --- the ring itself ----------------------------------------------------------------------

    @property
    def ring(self) -> Ring:
        """The ring as this node knows it."""
        return self._driver.replica.ring

    def set_ring(self, ring: Ring) -> None:
        """Let ``ring`` be the ring from now on; the other members learn it from this node.

        Raises:
            ConfigError: it cannot follow the one that is in force. Definite.
        """
        if ring != self.ring:
            evolve(self._config, ring=ring)  # Refuses what no node could start with.
            objection = self._driver.replica.objection(ring)
            if objection is not None:
                raise ConfigError(f"the ring was not set: {objection}")
            self._driver.feed(self._driver.replica.adopt, ring)

    async def wait_removed(self) -> None:
        """Return once the ring has gone on without this node, and it has handed over.

        It serves on, by way of the others as long as they listen, and is to be stopped.
        """
        await self._following.removed.wait()

    def _dial_now(self, name: str) -> None:
        self._neighbours.dial_now(name)

    def _adopt(self, ring: Ring) -> None:
        self._following.adopt(ring)

    def _set_aside(self, records: Sequence[tuple[SessionId, bytes]]) -> None:
        if self._persisting is not None:
            self._persisting.set_aside(records)

    def _note_changed(self, session_id: SessionId) -> None:
        if self._persisting is not None:
            self._persisting.mark(session_id)


@asynccontextmanager
async def open_node(
    config: NodeConfig,
    *,
    store: Store | None = None,
    ring_file: RingFile | None = None,
    contacts_file: ContactsFile | None = None,
    transport: Transport | None = None,
    random: Random | None = None,
    simulated: bool = False,
    wall_ms: Callable[[], int] = real_wall_ms,
) -> AsyncIterator[Node]:
    """Run a node as long as the block.

    The node serves at once, but may answer "not known yet" until it is ready, see
    `Node.wait_ready`. When the block is left, also by a cancellation, the node first hands over to
    the others, for at most ``config.node.drain`` seconds; then what has changed goes to the store.
    A bug in the node cancels the block and is raised from here.

    Args:
        config: the ring, and which of its members this is.
        store: keeps the sessions on disk; by default what ``config.store`` names.
        ring_file: keeps the ring that was adopted last, beside a ``store`` that is given here.
        contacts_file: keeps with whom there was contact, beside it as well.
        transport: makes connections; by default TCP, under TLS if ``config`` says so, and unix
            sockets.
        random: gives ids and jitter; by default, and always outside simulations, the operating
            system's.
        simulated: allows a ``random`` that can be foretold.
        wall_ms: reads the wall clock, in milliseconds since 1970; once, at the start.

    Raises:
        ConfigError: it cannot listen where it should, its certificate cannot be used, or
            ``random`` can be foretold. Definite.
        StoreLockedError: another process has the store. Definite.
        StoreError: the store cannot be used or read. Definite.
    """
    random = checked_random(random, simulated=simulated)
    timekeeper = Timekeeper(wall_ms)
    tagger = SessionTagger(random.getrandbits(128).to_bytes(16, "big"))
    if store is None and config.store_directory is not None:
        disk = OsDisk(config.store_directory, config.name, log_notice)
        store = FileStore(disk, log_notice)
        ring_file = RingFile(disk, config.store_directory)
        contacts_file = ContactsFile(disk, config.store_directory)
    has_started = False
    try:
        async with AsyncExitStack() as stack:
            if store is not None:
                await stack.enter_async_context(opened(store))
                if ring_file is not None:
                    latest = partial(ring_file.latest, config.ring, config.name)
                    config = evolve(config, ring=await trio.to_thread.run_sync(latest))
            replica = Replica(
                config.ring,
                config.name,
                config.settings,
                Clock(timekeeper.wall_ms_at_start, timekeeper.started),
                random,
                store is not None,
            )
            if store is not None:
                loaded = await load(store, replica, timekeeper, tagger)
                log_event(logging.INFO, "store_loaded", {"sessions": loaded})
            if contacts_file is not None:
                await restore_contacts(contacts_file, replica, timekeeper)
            node = Node(
                config,
                replica,
                store=store,
                transport=transport or transport_for(config.tls, config.name),
                timekeeper=timekeeper,
                random=random,
                tagger=tagger,
                ring_file=ring_file,
                contacts_file=contacts_file,
            )
            stack.push_async_callback(node.stop_store)
            async with background_nursery() as nursery:
                await node.start(nursery)
                has_started = True
                where = ",".join(node.addresses) or "nowhere"
                log_event(logging.INFO, "node_started", {"node": node.name, "listening": where})
                try:
                    yield node
                finally:
                    with trio.CancelScope(shield=True):
                        await node.drain()
                    await node.stop_links()
    finally:
        if has_started:
            log_event(logging.INFO, "node_stopped", {"node": config.name})
