"""A node's view of the others: who holds, who answers, who is next in line."""

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from replicas import Rig
from samples import ring_of
from strategies_ring import rings

from ring.clock import Stamp
from ring.liveness import Liveness, Peer, View
from ring.messages import Status
from ring.settings import Settings

UP, UNDETERMINED, DOWN = Liveness.UP, Liveness.UNDETERMINED, Liveness.DOWN


def status(*claims: str, version: int = 1, ready: bool = True, draining: bool = False) -> Status:
    return Status(Stamp(1), ready, False, version, claims, False, draining)


@frozen
class Heard:
    """One thing that a node learns of another member, or decides itself."""

    what: Liveness | Status | None
    """None: the node itself acts for ``claims`` from now on."""
    member: int
    claims: frozenset[str] = frozenset()


claims = st.frozensets(st.sampled_from("abcdefgh"), max_size=4)
statuses = st.builds(
    lambda names, version, draining: status(*sorted(names), version=version, draining=draining),
    claims,
    st.integers(0, 3),
    st.booleans(),
)
heard = st.builds(
    Heard, st.sampled_from(Liveness) | statuses | st.none(), st.integers(0, 7), claims
)


@st.composite
def views(draw: st.DrawFn) -> View:
    """Return the view of some member after it has heard anything at all."""
    ring = draw(rings)
    view = View(ring, draw(st.sampled_from(ring.names)))
    peers = list(view.peers.values())
    for each in draw(st.lists(heard, max_size=12)):
        if each.what is None:
            view.claims = frozenset(each.claims & set(ring.names))
        elif peers:
            peer = peers[each.member % len(peers)]
            if isinstance(each.what, Liveness):
                view.set_liveness(peer, each.what)
            else:
                view.note_status(peer, each.what)
            view.acting_owner(ring.names[0])  # What it remembers must not outlive what it hears.
            view.targets(ring.names[0])
            view.line(ring.names[0])
    view.is_draining = draw(st.booleans())
    view.lagging = draw(st.frozensets(st.sampled_from(ring.names))) - {view.name}
    return view


def liveness_of(view: View, name: str) -> Liveness:
    return UP if name == view.name else view.peers[name].liveness


# --- Dumb definitions ---


@given(views())
def test_up_are_this_node_and_whom_it_is_linked_to(view: View) -> None:
    assert view.up == {name for name in view.ring.names if liveness_of(view, name) is UP}
    for liveness in Liveness:
        expected = [
            n for n in view.ring.names if n != view.name and liveness_of(view, n) is liveness
        ]
        assert [peer.name for peer in view.peers_in(liveness)] == expected


def is_draining(view: View, name: str) -> bool:
    return view.is_draining if name == view.name else view.peers[name].draining


def holders_among(view: View, home: str, present: list[str]) -> list[str]:
    fit = [n for n in present if not is_draining(view, n) and n not in view.lagging]
    return (fit or present)[: view.ring.copies]


@given(views())
def test_the_line_is_the_preference_list_with_those_that_leave_at_its_end(view: View) -> None:
    for home in view.ring.names:
        preferred = view.ring.preference_list(home)
        staying = [name for name in preferred if not is_draining(view, name)]
        leaving = [name for name in preferred if is_draining(view, name)]
        assert list(view.line(home)) == staying + leaving


@given(views())
def test_holders_are_the_first_of_the_line_that_are_up_and_neither_leave_nor_lag(
    view: View,
) -> None:
    """And this node keeps what it would have to keep if whoever is undetermined were up."""
    for home in view.ring.names:
        up = [name for name in view.line(home) if liveness_of(view, name) is UP]
        assert list(view.holders(home)) == holders_among(view, home, up)
        may_be_up = [name for name in view.line(home) if liveness_of(view, name) is not DOWN]
        assert view.is_holder(home) == (view.name in holders_among(view, home, may_be_up))


@given(views())
def test_the_acting_owner_is_the_first_up_claimant_else_the_first_up_member(view: View) -> None:
    """Source: the project's design, "Who answers for a session"."""
    for home in view.ring.names:
        up = [name for name in view.line(home) if liveness_of(view, name) is UP]
        claimants = [name for name in up if home in view.claims_of(name)]
        assert view.acting_owner(home) == (claimants + up)[0]


@given(views())
def test_who_may_answer_is_the_acting_owner_and_whoever_was_just_lost_before_it(view: View) -> None:
    for home in view.ring.homes:
        acting, answering = view.acting_owner(home), view.answering(home)
        line = view.line(home)
        is_claimed = home in view.claims_of(acting)
        before = line[: line.index(acting)] if is_claimed else line
        lost = [name for name in before if liveness_of(view, name) is Liveness.UNDETERMINED]
        assert sorted(answering) == sorted({acting, *lost})


@given(views())
def test_changes_go_to_the_other_holders_and_to_whoever_acts(view: View) -> None:
    for home in view.ring.names:
        claimants = [name for name in view.up if home in view.claims_of(name)]
        wanted = {*view.holders(home), view.acting_owner(home), *claimants}
        expected = [name for name in view.ring.names if name in wanted and name != view.name]
        assert list(view.targets(home)) == expected


@given(views())
def test_whoever_acts_goes_on_until_an_earlier_member_that_is_up_claims(view: View) -> None:
    """And whoever does not act yet lets every earlier member go first that is up or may be."""
    for home in view.ring.names:
        earlier = view.line(home)[: view.line(home).index(view.name)]
        if home in view.claims:
            blocked = [
                n for n in earlier if liveness_of(view, n) is UP and home in view.claims_of(n)
            ]
        else:
            blocked = [name for name in earlier if liveness_of(view, name) is not DOWN]
        assert view.is_first_in_line(home) == (not blocked)


@given(views())
def test_whoever_may_begin_to_act_may_go_on(view: View) -> None:
    """Else a claim would flip with every look at an unchanged view."""
    for home in view.ring.names:
        if view.is_first_in_line(home):
            view.claims |= {home}
            assert view.is_first_in_line(home)


# --- What it hears ---


def test_what_a_member_said_is_forgotten_when_it_is_lost() -> None:
    """It may be another process when it is next heard of, counting from 0 again."""
    view = View(ring_of("ab"), "b")
    peer = view.peers["a"]
    view.set_liveness(peer, UP)
    assert view.note_status(peer, status("a", version=9))
    view.set_liveness(peer, UNDETERMINED)
    assert (peer.ready, peer.claims) == (False, frozenset())
    view.set_liveness(peer, UP)
    assert view.note_status(peer, status("a", version=0))


def test_what_a_member_says_counts_only_while_this_node_is_linked_to_it() -> None:
    """It may be gone, and nothing would tell."""
    view = View(ring_of("ab"), "b")
    peer = view.peers["a"]
    for liveness in (UNDETERMINED, DOWN):
        view.set_liveness(peer, liveness)
        assert not view.note_status(peer, status("a"))
        assert not peer.claims


def test_an_older_status_that_arrives_late_changes_nothing() -> None:
    """A status goes over two links, and only one of them is in order."""
    peer = Peer("a")
    assert peer.note_status(status("a", version=2))
    assert not peer.note_status(status(version=1, ready=False))
    assert peer.claims == {"a"}
    assert not peer.note_status(status("a", version=2))
    assert peer.note_status(status("a", version=3, ready=False))
    assert not peer.ready


def test_who_was_leaving_when_it_was_lost_is_leaving_until_it_is_down_or_says_otherwise() -> None:
    """Else the others would take it back into their lines for the moment in which it goes."""
    view = View(ring_of("abc"), "b")
    peer = view.peers["a"]
    view.set_liveness(peer, UP)
    assert view.note_status(peer, status(draining=True))
    assert view.line("a") == ("b", "c", "a")
    view.set_liveness(peer, UNDETERMINED)
    assert view.line("a") == ("b", "c", "a")
    view.set_liveness(peer, DOWN)
    assert view.line("a") == ("a", "b", "c")
    view.set_liveness(peer, UP)
    view.note_status(peer, status(draining=True))
    assert view.note_status(peer, status(version=2))
    assert view.line("a") == ("a", "b", "c")


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_a_ring_of_one_holds_acts_and_sends_to_nobody(copies: int) -> None:
    view = View(ring_of("a", copies), "a")
    assert view.holders("a") == ("a",)
    assert view.is_holder("a")
    assert view.acting_owner("a") == "a"
    assert view.is_first_in_line("a")
    assert not view.targets("a")


@pytest.mark.parametrize(
    ("steps", "returning"),
    [
        ([], False),
        ([UNDETERMINED], False),
        ([UP, UNDETERMINED], False),
        ([DOWN, UNDETERMINED], True),
        ([DOWN, UNDETERMINED, UNDETERMINED], True),
        ([DOWN, UNDETERMINED, UP], False),
        ([DOWN, UNDETERMINED, UP, UNDETERMINED], False),
        ([DOWN, UNDETERMINED, DOWN], False),
    ],
)
def test_a_member_that_was_down_and_calls_is_returning_until_it_is_known(
    steps: list[Liveness], returning: bool
) -> None:
    """Meanwhile this node does not take its own knowledge for all there is."""
    view = View(ring_of("ab"), "b")
    for step in steps:
        view.set_liveness(view.peers["a"], step)
    assert view.peers["a"].returning == returning


def test_silence_is_noticed_when_it_is_too_long_and_not_only_at_the_next_heartbeat() -> None:
    """A stopped member's users wait for it: half a heartbeat on average, for nothing."""
    rig = Rig("ab", stores=False)
    rig.pass_time(2.1, step_s=0.1)
    rig.hold_back("b", "a")
    heard_at = rig.now
    closed_at = None
    while closed_at is None and rig.now < heard_at + 5:
        rig.pass_time(0.05, step_s=0.05)
        if "silent" in " ".join(str(e) for n, e in rig.effects if n == "a"):
            closed_at = rig.now
    assert closed_at is not None
    assert closed_at - heard_at <= Settings().suspect_after_s + 0.1
