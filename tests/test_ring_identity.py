"""Names: what can be one, and that an id says by itself who created it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ring.errors import ConfigError
from ring.identity import (
    RANDOM_CHARS,
    check_member_name,
    check_namespace,
    home_of,
    namespace_of,
    new_incarnation,
    new_session_id,
    parse_session_id,
    place_of,
)

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
TAIL = "x" * RANDOM_CHARS


@given(names, st.integers(0, 1000))
def test_a_new_id_names_its_home_and_is_read_back(home: str, seed: int) -> None:
    """Any load balancer can route by the id alone."""
    session_id = new_session_id(home, Random(seed))
    assert home_of(session_id) == home
    assert parse_session_id(session_id) == session_id
    assert parse_session_id(session_id.decode()) == session_id
    assert len(session_id) == len(home) + 1 + RANDOM_CHARS


@given(names, st.just("") | names, st.integers(0, 1000))
def test_an_id_names_its_namespace_behind_its_home(home: str, namespace: str, seed: int) -> None:
    """Several applications share a ring, and none takes another one's sessions for its own."""
    session_id = new_session_id(home, Random(seed), namespace)
    assert (home_of(session_id), namespace_of(session_id)) == (home, namespace)
    assert parse_session_id(session_id) == parse_session_id(session_id.decode()) == session_id
    assert session_id.split(b".")[:-1] == [each.encode() for each in (home, namespace) if each]
    assert place_of(session_id) == session_id[: session_id.rindex(b".") + 1]
    assert session_id[-RANDOM_CHARS:] == new_session_id(home, Random(seed))[-RANDOM_CHARS:]


class AllOnes(Random):
    """Gives the greatest number, and remembers how many bits were asked for."""

    asked: tuple[int, ...] = ()

    def getrandbits(self, k: int, /) -> int:
        self.asked += (k,)
        return (1 << k) - 1


def test_an_id_has_128_random_bits_and_a_start_has_64() -> None:
    """Ids are secrets: whoever guesses one has the session. Source: OWASP, 128 bits."""
    random = AllOnes()
    assert new_session_id("a", random) == b"a." + b"_" * 21 + b"w"
    assert new_incarnation(random) == 2**64 - 1
    assert random.asked == (128, 64)


def test_two_ids_of_one_source_differ() -> None:
    random = Random(1)
    assert len({new_session_id("a", random) for _ in range(100)}) == 100


@pytest.mark.parametrize("name", ["a", "0", "web-1", "a--b", "x" * 32])
def test_a_name_that_can_stand_before_an_id_is_let_be(name: str) -> None:
    assert check_member_name(name) == name
    assert parse_session_id(f"{name}.{TAIL}") is not None


@pytest.mark.parametrize("name", ["", "A", "a.b", "-a", "a-", "a_b", "ä", "a b", "a\n", "x" * 33])
def test_a_name_that_cannot_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(ConfigError, match="use 1 to 32 of a-z, 0-9 and inner hyphens"):
        check_member_name(name)


@pytest.mark.parametrize("name", ["", "0", "web-1", "a--b", "x" * 32])
def test_a_name_that_can_be_a_namespaces_is_let_be(name: str) -> None:
    assert check_namespace(name) == name


@pytest.mark.parametrize("name", [" ", "A", "a.b", "-a", "a-", "a_b", "ä", "a\n", "x" * 33])
def test_a_name_that_cannot_be_one_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(ConfigError, match="use 1 to 32 of a-z, 0-9 and inner hyphens"):
        check_namespace(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"a..{TAIL}",
        f"a.b.c.{TAIL}",
        f"a.-b.{TAIL}",
        f"a.b-.{TAIL}",
        f"a.B.{TAIL}",
        f"a.b_c.{TAIL}",
        f"a.b.{TAIL}\n",
        f"a.b.{TAIL[1:]}",
        f"a.b.{TAIL}x",
        f"a.{TAIL}.b",
        f"a.{'x' * 33}.{TAIL}",
        f"A.b.{TAIL}",
        TAIL,
        f".{TAIL}",
        f"a{TAIL}",
        f"a.{TAIL[1:]}",
        f"a.{TAIL}x",
        f"A.{TAIL}",
        f"-.{TAIL}",
        f"a.{TAIL[1:]}=",
        f"a.{TAIL[1:]}\n",
        f"a.{TAIL}\n",
        f"a.{TAIL[1:]}.",
        f"a.{TAIL[1:]}é",
        f"{'x' * 33}.{TAIL}",
    ],
)
def test_whatever_has_another_form_is_nobodys_session(text: str) -> None:
    """The ring adopts no id that it did not issue."""
    assert parse_session_id(text) is None
    assert parse_session_id(text.encode()) is None


@given(st.text(max_size=30) | st.binary(max_size=30))
def test_arbitrary_text_is_an_id_or_nothing(text: str | bytes) -> None:
    session_id = parse_session_id(text)
    if session_id is not None:
        assert parse_session_id(session_id) == session_id
        assert home_of(session_id)
