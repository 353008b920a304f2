"""Convergence: once faults stop, all holders of a home hold the same, and nobody else holds any.

Rule: a session of which faults may have taken every whole copy may stay a part for ever.
"""

from collections.abc import Callable, Collection, Iterator

from ring import SessionId
from ring.clock import earliest
from simulations.face import AnyWorld
from simulations.process import WALL_MS
from simulations.violation import Violation

STORIES_MAX = 3
FORGETTING_S = 6.0
"""Clocks and sweeps may be so far apart when something is forgotten."""


def check_convergence(
    world: AnyWorld, nodes: Collection[str], is_required: Callable[[SessionId], bool]
) -> Iterator[Violation]:
    """Yield how the holders among ``nodes`` differ, home by home, and what others keep.

    Args:
        world: at rest.
        nodes: those that are looked at.
        is_required: whether the ring still has to have a session.
    """
    for home in world.ring.homes:
        present = [name for name in nodes if name in world.processes]
        holders = world.ring.holders(home, present)
        views = [_view(world, name, home) for name in holders]
        for name, view in zip(holders, views, strict=True):
            parts = [each for each, (_, whole) in view.items() if not whole and is_required(each)]
            if parts:
                story = f"{name} has only a part of {len(parts)} sessions of {home}"
                yield Violation("convergence", story)
        for name in present:
            kept = _view(world, name, home) if name not in holders else {}
            extra = [each for each in kept if not _has_expired(world, name, each)]
            if extra:
                story = f"{name} still has {len(extra)} sessions of {home}, which {holders} hold"
                yield Violation("convergence", story)
        # Who has dropped an expired session, and who will at its next sweep, need not agree.
        every = {
            session_id
            for name, view in zip(holders, views, strict=True)
            for session_id in view
            if not _has_expired(world, name, session_id)
        }
        unlike = [each for each in sorted(every) if len({view.get(each) for view in views}) > 1]
        for session_id in unlike[:STORIES_MAX]:
            has = {name: world.processes[name].replica.record(session_id) for name in holders}
            story = (
                f"the holders of {home} hold session {session_id.decode()} unlike: "
                + "; ".join(
                    f"{name}: {sorted(record.entries) if record else 'nothing'}"
                    for name, record in has.items()
                )
            )
            yield Violation("convergence", story, session=session_id.decode())


def _has_expired(world: AnyWorld, name: str, session_id: SessionId) -> bool:
    process = world.processes[name]
    record = process.replica.record(session_id)
    assert record is not None
    now = process.clock(world.now)
    return not record.ended and (record.expired or record.due(process.replica.epoch) <= now)


def _view(world: AnyWorld, name: str, home: str) -> dict[SessionId, tuple[int, bool]]:
    replica, prefix = world.processes[name].replica, home.encode() + b"."
    # Who has forgotten an old end, and who will at its next sweep, need not agree either.
    age_s = world.plan.settings.retention_s - FORGETTING_S
    before = earliest(WALL_MS + int((world.now - age_s) * 1000))
    view = dict[SessionId, tuple[int, bool]]()
    for session_id in replica.session_ids():
        record = replica.record(session_id)
        if session_id.startswith(prefix) and record is not None:
            record.forget(before)
            if record.digest:
                view[session_id] = record.digest, record.whole
    return view
