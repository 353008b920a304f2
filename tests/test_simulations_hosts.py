"""The script of cuts: what is cut, what the judge is told, and what a user is told."""

import os
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from ring.messages import Durability
from simulations import hosts_command
from simulations.__main__ import main
from simulations.budget import Budget
from simulations.cuts import Cuts
from simulations.host_network import SIDES, HostNetwork, NoNetworkError, missing_here
from simulations.host_nodes import CALM_S, HostNodes
from simulations.hosts_script import ACTS, CUT_S, HostsScript, Part, Site
from simulations.judge import Judge
from simulations.local_ring import unless_told
from simulations.real_clients import Clients, Load
from simulations.ring_place import Place
from simulations.ring_tally import Phase, Tally
from simulations.script import STEADY, Stage
from simulations.slow_ways import open_slow_ways

CUTTING = [part for part in Part if part is not Part.SLOW]
"""Slow ways are processes, and played where there are hosts (``test_simulations_hosts_real``)."""


class Network(HostNetwork):
    """A network that notes when it was cut, and how; nothing is."""

    def __init__(self, members: Collection[str]) -> None:
        super().__init__(tuple(members), "none-")
        self.done: list[tuple[float, Cuts, frozenset[str]]] = []

    async def cut(self, cuts: Cuts) -> None:
        self.cuts = cuts
        self._note()

    async def plug(self, unplugged: Collection[str]) -> None:
        self.unplugged = frozenset(unplugged)
        self._note()

    def _note(self) -> None:
        self.done.append((trio.current_time(), self.cuts, self.unplugged))


class Nodes(HostNodes):
    """Nodes that are as one again as soon as they are asked."""

    def __init__(self, place: Place, network: Network, judge: Judge) -> None:
        super().__init__(place, network)
        self._judge = judge
        self.disturbed = False
        """The judge knew of members apart when the ring was waited for."""

    def note(self, what: str) -> None:
        pass

    async def wait_calm(self) -> float:
        self.disturbed = self._judge.budget.is_disturbed
        assert not self._judge.budget.is_disturbed or not self._judge.have_all_met
        return 0.0


class Stages:
    """A ring without processes and without load."""

    def __init__(self, names: str = "abc") -> None:
        self.tally = Tally()
        self.judge = Judge(Budget(2))
        self.network = Network(names)
        self.nodes = Nodes(Place(Path("/nowhere"), 0, kept=False), self.network, self.judge)
        load = Load(1, 2, 10, 1.0, Durability.BACKUP)
        self.clients = Clients(load, self.tally, judge=self.judge)

    async def play(self, part: Part, seed: int = 1) -> Phase:
        """Play one part; return what it left."""
        site = Site(self.nodes, self.network, self.judge)
        script = HostsScript(site, cast(Stage, self), [part], 1.0, seed, lambda phase: None)
        (act,) = [act for act in ACTS if act.part == part]
        phase = self.tally.begin(act.name)
        await act.play(script, phase)
        return phase


@pytest.fixture
async def stages() -> Stages:
    return Stages()


def cut_for(stages: Stages, is_cut: Callable[[Cuts, frozenset[str]], bool]) -> float:
    """Return for how many seconds that was so, in all."""
    times = [at for at, _, _ in stages.network.done]
    states = [is_cut(cuts, unplugged) for _, cuts, unplugged in stages.network.done]
    return sum(
        after - at for at, after, was_cut in zip(times, times[1:], states, strict=False) if was_cut
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("part", CUTTING)
async def test_everything_is_mended_and_the_window_closed(
    part: Part, seed: int, stages: Stages, autojump_clock: trio.testing.MockClock
) -> None:
    phase = await stages.play(part, seed)
    assert stages.network.cuts == Cuts(era=stages.network.cuts.era)
    assert stages.network.unplugged == frozenset()
    assert not stages.judge.budget.is_disturbed
    assert stages.judge.have_all_met
    assert phase.recovery_s == 0.0
    assert "one again" in phase.remark
    assert not stages.tally._window_open


@pytest.mark.parametrize("part", CUTTING)
async def test_only_cuts_between_members_excuse_anything(
    part: Part, stages: Stages, autojump_clock: trio.testing.MockClock
) -> None:
    await stages.play(part)
    excuses = part not in (Part.CLIENTS, Part.RESET)
    assert stages.nodes.disturbed is excuses


async def test_one_direction_dies_and_the_other_lives(
    stages: Stages, autojump_clock: trio.testing.MockClock
) -> None:
    await stages.play(Part.ONE_WAY)
    ((_, cuts, _),) = [each for each in stages.network.done if each[1].silent]
    ((one, other),) = cuts.silent
    assert one != other
    assert cut_for(stages, lambda cuts, _: bool(cuts.silent)) == pytest.approx(CUT_S)


async def test_pairs_are_cut_in_silence_and_with_resets(
    stages: Stages, autojump_clock: trio.testing.MockClock
) -> None:
    kinds = set()
    for seed in range(10):
        stages.network.done.clear()
        await stages.play(Part.PAIR, seed)
        cuts = stages.network.done[0][1]
        ways = cuts.silent | cuts.refused
        assert len(ways) == 2
        assert {(other, one) for one, other in ways} == ways
        kinds.add(bool(cuts.silent))
    assert kinds == {True, False}


@pytest.mark.parametrize("names", ["ab", "abc", "abcdefghi"])
async def test_a_ring_in_two_has_clients_on_both_sides_that_see_nobody_else(
    names: str, autojump_clock: trio.testing.MockClock
) -> None:
    near, far = SIDES
    for seed in range(5):
        stages = Stages(names)
        await stages.play(Part.SPLIT, seed)
        cuts = stages.network.done[0][1]
        ways = cuts.silent | cuts.refused
        some = {name for name in names if (near, name) not in ways}
        others = {name for name in names if (far, name) not in ways}
        assert some, "near clients have somebody to ask"
        assert others, "far ones, too"
        assert some | others == set(names)
        assert not some & others
        across = {
            (one, other) for one in names for other in names if (one in some) != (other in some)
        }
        assert {way for way in ways if way[0] not in SIDES} == across


async def test_the_switch_is_off_for_everybody(
    stages: Stages, autojump_clock: trio.testing.MockClock
) -> None:
    await stages.play(Part.SWITCH)
    assert {unplugged for _, _, unplugged in stages.network.done} == {frozenset(), frozenset("abc")}
    assert cut_for(stages, lambda _, unplugged: bool(unplugged)) == pytest.approx(6.5)


async def test_each_reset_is_an_era_of_its_own(
    stages: Stages, autojump_clock: trio.testing.MockClock
) -> None:
    await stages.play(Part.RESET)
    eras = [cuts.era for _, cuts, _ in stages.network.done]
    assert eras == [2, 3, 4, 5, 5, 5]


def test_phases_and_parts_are_told_by_the_same_names_and_fit() -> None:
    assert tuple(Part) == hosts_command.PARTS
    assert [act.part for act in ACTS] == [None, *Part]
    assert ACTS[0].name == STEADY
    assert all(len(act.name) < 20 for act in ACTS)
    assert all(len(words) <= 39 for act in ACTS for words in (act.away, act.recovery))


# --- When a ring is as one again ------------------------------------------------------------


@pytest.fixture
async def nodes() -> HostNodes:
    nodes = HostNodes(Place(Path("/nowhere"), 0, kept=False), Network("abc"))
    for name in "abc":
        say(nodes, name, "settled members_up=3")
    return nodes


def say(nodes: HostNodes, name: str, what: str) -> None:
    nodes._take_line(nodes.nodes[name], f"2026-11-21 03:04:12,838 INFO {what}")


async def test_a_ring_is_calm_when_nobody_has_had_news_for_long_enough(
    nodes: HostNodes, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    await trio.sleep(CALM_S - 0.1)
    assert not nodes.is_calm(began)
    await trio.sleep(0.2)
    assert nodes.is_calm(began)
    assert not nodes.is_calm(trio.current_time()), "a cut that was just mended may still be felt"


@pytest.mark.parametrize(
    "news",
    [
        'link_closed reason="silent for too long" peer=b side=dialled',
        "dial_failed peer=b address=10.99.0.2:6802",
        "member_up peer=b",
        "acting home=b sessions=3",
        "handed_back home=b",
    ],
)
async def test_any_news_of_a_link_is_waited_out(
    news: str, nodes: HostNodes, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    await trio.sleep(CALM_S + 1)
    assert nodes.is_calm(began)
    say(nodes, "a", news)
    assert not nodes.is_calm(began)
    await trio.sleep(CALM_S + 0.1)
    assert nodes.is_calm(began)


@pytest.mark.parametrize("news", ["member_down peer=b", "settled members_up=2"])
async def test_a_ring_that_misses_a_member_is_not_calm_however_quiet_it_is(
    news: str, nodes: HostNodes, autojump_clock: trio.testing.MockClock
) -> None:
    say(nodes, "a", news)
    await trio.sleep(100)
    assert not nodes.is_calm(0.0)
    say(nodes, "a", "member_up peer=b")
    say(nodes, "a", "settled members_up=3")
    await trio.sleep(CALM_S + 0.1)
    assert nodes.is_calm(0.0)


async def test_takeovers_are_known_by_who_says_that_it_acts(
    nodes: HostNodes, autojump_clock: trio.testing.MockClock
) -> None:
    say(nodes, "b", "acting home=a sessions=3")
    say(nodes, "c", "acting home=a sessions=3")
    say(nodes, "b", "handed_back home=a")
    assert {home: set(actors) for home, actors in nodes.actors.items()} == {"a": {"b", "c"}}


# --- What keeps hosts from being made -------------------------------------------------------


def test_without_root_it_says_so_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert missing_here() == ("network namespaces take root; run it as root, with sudo for example")


def test_without_the_tools_it_names_their_packages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda tool: None)
    assert main(["hosts", "--seconds", "1"]) == 2
    assert capsys.readouterr().err == (
        "ring on hosts: there is no ip and no nft on PATH; apt-get install iproute2 nftables\n"
    )


# --- What keeps them from being cut ---------------------------------------------------------


def put_first(monkeypatch: pytest.MonkeyPatch, directory: Path, tool: str, script: str) -> None:
    """Have ``script`` be run wherever ``tool`` is called."""
    (directory / tool).write_text(f"#!/bin/sh\n{script}\n")
    (directory / tool).chmod(0o700)
    monkeypatch.setenv("PATH", os.fspath(directory), prepend=os.pathsep)


@pytest.mark.parametrize(
    ("change", "command"),
    [
        (lambda network: network.cut(Cuts(era=2)), "ip netns exec none-a nft -f -"),
        (lambda network: network.plug(["a"]), "ip -n none-hub link set port-a down"),
    ],
)
def test_what_a_tool_says_that_fails_during_a_run_is_told(
    change: Callable[[HostNetwork], Awaitable[None]],
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    put_first(monkeypatch, tmp_path, "ip", "echo No buffer space available >&2; exit 2")
    network = HostNetwork("ab", "none-")
    with pytest.raises(NoNetworkError) as failed:
        unless_told(lambda: change(network))
    # Both hosts are told at once, and either may be the first to fail.
    assert str(failed.value).replace("none-b", "none-a") == (
        f"`{command}` failed (No buffer space available)"
    )


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo Address already in use >&2; exit 1", "Address already in use"),
        ("exit 1", "it said nothing"),
        ("echo ready; echo Too many open files >&2; exit 1", "Too many open files"),
    ],
)
def test_a_slow_way_that_ends_by_itself_ends_the_run_with_what_it_said(
    script: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_first(monkeypatch, tmp_path, "ip", script)

    async def play() -> None:
        place = Place(tmp_path, 0, kept=False)
        async with open_slow_ways(HostNetwork("a", "none-"), place, 0.1):
            with trio.fail_after(20.0):
                await trio.sleep_forever()

    with pytest.raises(NoNetworkError) as failed:
        unless_told(play)
    assert str(failed.value) == f"the slow way to a ended by itself ({why})"


def test_a_part_of_the_other_script_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["hosts", "--parts", "kill"])
    assert refused.value.code == 2
    assert "argument --parts: 'kill' cannot be used; give one or more of one-way, pair" in (
        capsys.readouterr().err
    )
