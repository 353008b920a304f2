"""Decides: the ring's state and every decision about it; input and now go in, effects come out."""

from ring.clock import Clock, Stamp
from ring.identity import Incarnation, LinkId, SessionId
from ring.liveness import Liveness
from ring.messages import Durability
from ring.placement import Member, Ring
from ring.record import Record
from ring.replica import Replica
from ring.settings import Settings

__all__ = [
    "Clock",
    "Durability",
    "Incarnation",
    "LinkId",
    "Liveness",
    "Member",
    "Record",
    "Replica",
    "Ring",
    "SessionId",
    "Settings",
    "Stamp",
]
