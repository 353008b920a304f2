"""Spells: frames and messages to bytes and back; bytes in, events out."""

from wire.connection import (
    ENTITLEMENTS,
    NEED_DATA,
    Connection,
    Event,
    NeedData,
    Speaker,
)
from wire.handshake import Authenticated, State
from wire.hello import HandshakeError, Identity, Refusal, Role

__all__ = [
    "ENTITLEMENTS",
    "NEED_DATA",
    "Authenticated",
    "Connection",
    "Event",
    "HandshakeError",
    "Identity",
    "NeedData",
    "Refusal",
    "Role",
    "Speaker",
    "State",
]
