"""Rings of a later version, and what their members say that adopt them."""

from attrs import evolve
from replicas import Rig
from samples import NOW, ring_of, session

from ring.identity import SessionId
from ring.messages import Failed, Found, Saved
from ring.placement import Departed, Ring
from ring.record import Record

ID = session("a", 7)


def later(names: str, version: int = 2, *, departed: str = "", gone: str = "") -> Ring:
    """Return a later version of the ring: the first of ``names`` is the heir of all that left."""
    leaving = [Departed(name, names[0], f"{name}:1") for name in departed]
    left = [Departed(name, names[0]) for name in gone]
    return evolve(ring_of(names), version=version, departed=(*leaving, *left))


def versions(rig: Rig) -> dict[str, int]:
    return {name: replica.ring.version for name, replica in sorted(rig.replicas.items())}


def saved(rig: Rig, at: str, session_id: SessionId = ID, value: bytes = b"\x01") -> None:
    asked = rig.create(at, session_id, cart=value)
    assert isinstance(asked.reply, Saved), asked.reply


def read(rig: Rig, at: str, session_id: SessionId = ID) -> bytes | None:
    """Return what a node answers; None: that there is no such session."""
    reply = rig.find(at, session_id).reply
    assert not isinstance(reply, Failed), reply
    if not isinstance(reply, Found):
        return None
    return Record.from_portable(reply.portable, NOW).value(b"cart")


def holders(rig: Rig, session_id: SessionId = ID) -> str:
    held = (name for name, each in rig.replicas.items() if each.record(session_id) is not None)
    return "".join(sorted(held))
