"""Performs: links, timers, stores, and the application's way to its sessions."""

from node.auditing import Audit, History, HistoryNote, HomeCount, SessionSummary
from node.client import Client, open_client
from node.config import NodeConfig, SecurityConfig, SessionsConfig, StoreConfig
from node.errors import AttributeDecodeError, ValueNotStorableError
from node.events import Event, EventKind
from node.listening import Events, Subscription
from node.node import Node, open_node
from node.receipts import Receipt
from node.registered import register
from node.session import Session
from node.sessions import Sessions
from node.snapshot import SessionSnapshot
from node.status import NodeStatus
from node.structures import SessionCounter, SessionMap, SessionSet
from node.tls import TlsFiles
from ring.errors import (
    ConfigError,
    OutcomeUnknownError,
    ReplicationTimeoutError,
    RingFullError,
    SessionEnded,
    SessionRingError,
    SessionTooLargeError,
    SessionUnavailableError,
    StoreError,
    StoreLockedError,
)
from ring.messages import Durability

__all__ = [
    "AttributeDecodeError",
    "Audit",
    "Client",
    "ConfigError",
    "Durability",
    "Event",
    "EventKind",
    "Events",
    "History",
    "HistoryNote",
    "HomeCount",
    "Node",
    "NodeConfig",
    "NodeStatus",
    "OutcomeUnknownError",
    "Receipt",
    "ReplicationTimeoutError",
    "RingFullError",
    "SecurityConfig",
    "Session",
    "SessionCounter",
    "SessionEnded",
    "SessionMap",
    "SessionRingError",
    "SessionSet",
    "SessionSnapshot",
    "SessionSummary",
    "SessionTooLargeError",
    "SessionUnavailableError",
    "Sessions",
    "SessionsConfig",
    "StoreConfig",
    "StoreError",
    "StoreLockedError",
    "Subscription",
    "TlsFiles",
    "ValueNotStorableError",
    "open_client",
    "open_node",
    "register",
]
