"""Members that are apart for longer than ends are remembered, and meet again."""

from replicas import Rig

from ring.identity import SessionId
from ring.settings import Settings

RETENTION_S = 100.0
SETTINGS = Settings(retention_s=RETENTION_S, sweep_interval_s=10.0)
LONG_S = RETENTION_S + 30
"""For longer than ends are remembered, and swept."""


def has(rig: Rig, name: str, session_id: SessionId) -> bool:
    record = rig.replicas[name].record(session_id)
    return record is not None and not record.ended


def set_aside(rig: Rig, name: str) -> list[SessionId]:
    return [session_id for session_id, _ in rig.disks[name].set_aside]


def isolate(rig: Rig, name: str) -> None:
    for other in rig.ring.names:
        if other != name:
            rig.cut(name, other)


def reunite(rig: Rig, *pairs: str) -> None:
    both = [(pair[0], pair[1]) for pair in pairs]
    for one, other in both:
        rig.refused -= {(one, other), (other, one)}
    for one, other in both:
        rig.heal(one, other)
        rig.heal(other, one)
