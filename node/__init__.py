"""Performs: links, timers, stores, and the application's way to its sessions."""

from node.auditing import Audit, History, HistoryNote, HomeCount, InspectedSession
from node.client import Client, open_client
from node.config import NodeConfig, SecurityConfig, SessionsConfig, StoreConfig
from node.durable import DurableSessions, open_durable
from node.durable_connection import DurableConnection
from node.errors import AttributeDecodeError, ConflictError, ValueNotStorableError
from node.events import Event, EventKind
from node.listening import Events, Subscription
from node.matches import EndedSessions, PrincipalCounts, SessionMatches, SessionSummary
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
    TooManySessionsError,
    UnknownIndexError,
)
from ring.messages import Durability

__all__ = [
    "AttributeDecodeError",
    "Audit",
    "Client",
    "ConfigError",
    "ConflictError",
    "Durability",
    "DurableConnection",
    "DurableSessions",
    "EndedSessions",
    "Event",
    "EventKind",
    "Events",
    "History",
    "HistoryNote",
    "HomeCount",
    "InspectedSession",
    "Node",
    "NodeConfig",
    "NodeStatus",
    "OutcomeUnknownError",
    "PrincipalCounts",
    "Receipt",
    "ReplicationTimeoutError",
    "RingFullError",
    "SecurityConfig",
    "Session",
    "SessionCounter",
    "SessionEnded",
    "SessionMap",
    "SessionMatches",
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
    "TooManySessionsError",
    "UnknownIndexError",
    "ValueNotStorableError",
    "open_client",
    "open_durable",
    "open_node",
    "register",
]
