"""Several applications on one ring: their limits, and that none takes another one's sessions."""

from replicas import Rig

from ring.entry import MAX_IDLE
from ring.identity import SessionId
from ring.messages import Failed, Failure, Saved
from ring.settings import Limits, Settings

SETTINGS = Settings(
    limits=Limits(sessions_max=1),
    namespaces={"shop": Limits(sessions_max=2, attributes_max=2, attribute_bytes_max=50)},
    sweep_interval_s=64.0,
    suspect_after_s=1e6,
)
SWEEP_S = 64 * 1.1 + 2


def an_id(number: int, namespace: str = "shop", home: str = "a") -> SessionId:
    place = f"{home}.{namespace}." if namespace else f"{home}."
    return SessionId(place.encode() + b"%022d" % number)


def why(reply: object) -> tuple[Failure, str]:
    assert isinstance(reply, Failed)
    return reply.failure, reply.reason


def full_ring(**changes: bytes) -> Rig:
    """Return a ring in which a has as many sessions of the shop as it may have."""
    rig = Rig("abc", settings=SETTINGS)
    rows: dict[bytes, bytes | None] = {key.encode(): each for key, each in changes.items()}
    for number in range(2):
        assert isinstance(rig.save("a", an_id(number), rows, create=True).reply, Saved)
    return rig


def is_refused(rig: Rig, session_id: SessionId, name: str = "a") -> bool:
    """Return whether a creation is refused because there are too many; or it was done."""
    reply = rig.save(name, session_id, {b"cart": b"\x01"}, create=True).reply
    if isinstance(reply, Saved):
        return False
    failure, reason = why(reply)
    assert failure is Failure.FULL
    assert "sessions_max" in reason
    return True


def test_no_more_sessions_of_a_namespace_live_than_it_may_have() -> None:
    rig = full_ring()
    reply = rig.save("c", an_id(2), {}, create=True).reply
    failure, reason = why(reply)
    assert failure is Failure.FULL
    assert reason == (
        "a has 2 living sessions of namespace shop, which is its limit sessions_max; raise that, "
        "or let sessions expire sooner"
    )
    assert rig.replicas["a"].record(an_id(2)) is None


def test_what_is_there_is_saved_and_rotated_all_the_same() -> None:
    """Nobody is refused a login because others are there."""
    rig = full_ring()
    assert isinstance(rig.save("a", an_id(0), {b"cart": b"\x02"}).reply, Saved)
    assert isinstance(rig.rotate("a", an_id(0), an_id(5)).reply, Saved)
    assert is_refused(rig, an_id(6))


def test_a_creation_that_is_repeated_counts_once() -> None:
    """Its first answer was lost."""
    rig = full_ring()
    assert isinstance(rig.save("a", an_id(1), {b"cart": b"\x01"}, create=True).reply, Saved)


def test_each_home_and_each_namespace_counts_for_itself() -> None:
    rig = full_ring()
    assert not is_refused(rig, an_id(0, home="b"))
    assert not is_refused(rig, an_id(0, "other"))
    assert is_refused(rig, an_id(1, "other"))
    assert not is_refused(rig, an_id(0, ""))
    assert is_refused(rig, an_id(1, ""))


def test_an_end_makes_room() -> None:
    rig = full_ring()
    rig.end("b", an_id(0))
    assert not is_refused(rig, an_id(2))
    assert is_refused(rig, an_id(3))


def test_expiry_makes_room_once_a_sweep_has_found_it() -> None:
    rig = full_ring(**{MAX_IDLE.decode(): b"\x64"})
    rig.pass_time(111)
    rig.pass_time(SWEEP_S)
    assert not is_refused(rig, an_id(2))


def test_who_takes_over_counts_those_that_it_has_taken_over() -> None:
    rig = full_ring()
    rig.kill("a")
    rig.run()
    assert is_refused(rig, an_id(2), "b")
    rig.end("b", an_id(0))
    assert not is_refused(rig, an_id(2), "b")


def test_a_namespace_has_its_own_limits_of_size() -> None:
    rig = Rig("a", settings=SETTINGS)
    large: dict[bytes, bytes | None] = {b"cart": bytes(51)}
    failure, reason = why(rig.save("a", an_id(0), large, create=True).reply)
    assert failure is Failure.TOO_LARGE
    assert "attribute_bytes_max is 50" in reason
    assert isinstance(rig.save("a", an_id(0, ""), large, create=True).reply, Saved)


def test_a_session_has_as_many_attributes_as_its_namespace_allows() -> None:
    """What the session's own life takes does not count; what was removed does, for a while."""
    rig = full_ring()
    two: dict[bytes, bytes | None] = {b"one": b"\x01", b"two": b"\x01", MAX_IDLE: b"\x64"}
    assert isinstance(rig.save("a", an_id(0), two).reply, Saved)
    failure, reason = why(rig.save("a", an_id(0), {b"one": None, b"more": b"\x01"}).reply)
    assert failure is Failure.TOO_LARGE
    assert "have 3 attributes" in reason
    assert "attributes_max is 2" in reason
    assert isinstance(rig.save("a", an_id(0), {b"one": None, b"two": b"\x02"}).reply, Saved)


def test_a_session_never_goes_on_in_another_namespace() -> None:
    rig = full_ring()
    for other in (an_id(7, "other"), an_id(7, "")):
        failure, reason = why(rig.rotate("a", an_id(0), other).reply)
        assert failure is Failure.INVALID
        assert "the same home and namespace" in reason
        assert rig.replicas["a"].record(other) is None
