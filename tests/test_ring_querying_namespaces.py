"""Questions of several applications on one ring: each is told of its own sessions only."""

import msgpack
import pytest
from replicas import Rig
from samples import session

from ring.entry import PRINCIPAL
from ring.errands import check_matches
from ring.errors import RemoteProtocolError
from ring.identity import SessionId
from ring.messages import Failed
from ring.questions import Matches, Query
from ring.settings import Settings
from ring.structured import Kind, marker

ADA, MAIL = msgpack.packb("ada"), msgpack.packb("ada@example.org")
NAMESPACES = ("", "shop", "forum")


def of(namespace: str, home: str, number: int = 1) -> SessionId:
    """Return an id of a namespace."""
    if not namespace:
        return session(home, number)
    return SessionId(session(home, number).replace(b".", f".{namespace}.".encode()))


def put(rig: Rig, session_id: SessionId, key: bytes, value: bytes) -> None:
    asked = rig.save("a", session_id, {key: value}, create=True)
    assert not isinstance(asked.reply, Failed), asked.reply


def answer(rig: Rig, name: str, namespace: str, key: bytes, value: bytes) -> Matches:
    asked = rig.query(name, key, value, namespace=namespace)
    assert asked.matches is not None
    assert not asked.matches.cursor
    return asked.matches


def test_one_name_in_two_namespaces_is_two_principals() -> None:
    rig = Rig()
    for number, namespace in enumerate(NAMESPACES, 1):
        for home in "abc"[:number]:
            put(rig, of(namespace, home), PRINCIPAL, ADA)
    for name in "abc":
        for number, namespace in enumerate(NAMESPACES, 1):
            found = answer(rig, name, namespace, PRINCIPAL, ADA)
            assert set(found.flat[::2]) == {of(namespace, home) for home in "abc"[:number]}
            counts = answer(rig, name, namespace, PRINCIPAL, b"").counts
            assert set(counts[::2]) == {ADA}
            assert sum(counts[1::2]) == number  # type: ignore[arg-type]
        assert answer(rig, name, "blog", PRINCIPAL, ADA).flat == []
        assert answer(rig, name, "blog", PRINCIPAL, b"").counts == []


def test_a_namespace_with_indexes_of_its_own_has_these_and_no_others() -> None:
    own = {"shop": ("device",), "forum": ()}
    rig = Rig(settings=Settings(indexes=("mail",), namespace_indexes=own))
    for namespace in (*NAMESPACES, "blog"):
        put(rig, of(namespace, "b"), b"mail", MAIL)
        put(rig, of(namespace, "b", 2), b"device", MAIL)
    for namespace in ("", "blog"):
        assert answer(rig, "c", namespace, b"mail", MAIL).flat[::2] == [of(namespace, "b")]
        assert "has no index of 'device'" in answer(rig, "c", namespace, b"device", MAIL).reason
    assert answer(rig, "c", "shop", b"device", MAIL).flat[::2] == [of("shop", "b", 2)]
    for namespace in ("shop", "forum"):
        assert answer(rig, "c", namespace, b"mail", MAIL).reason == (
            f"c has no index of 'mail' of namespace {namespace}; "
            f"name it in namespaces.{namespace}.indexes, on every node"
        )


def test_what_is_structured_in_one_namespace_is_found_in_another() -> None:
    rig = Rig(settings=Settings(indexes=("mail",)))
    put(rig, of("shop", "a"), b"mail", marker(Kind.MAP))
    put(rig, of("forum", "a"), b"mail", MAIL)
    assert "is a map, a set or a counter" in answer(rig, "b", "shop", b"mail", MAIL).reason
    assert answer(rig, "b", "forum", b"mail", MAIL).flat[::2] == [of("forum", "a")]


def test_whoever_answers_with_sessions_of_another_namespace_is_not_believed() -> None:
    flat = [of("forum", "a"), b""]
    matches = Matches(1, flat, [], b"", ("a",), (), (), "")
    with pytest.raises(RemoteProtocolError, match="another namespace"):
        check_matches(Query(1, PRINCIPAL, ADA, b"", True, "shop"), matches)
