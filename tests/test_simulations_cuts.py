"""What stands between hosts as text: whom each host turns away, how, and nobody else."""

from itertools import pairwise

from simulations.cuts import Cuts, Hosts, both_ways
from simulations.host_network import SIDES, commands, hosts_of
from simulations.namespaces import Owner, leftovers, owner_of, started_in, this_process

HOSTS = Hosts({"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3", "far": "10.0.0.9"}, ("a", "b"))
NEW = "tcp flags & (fin | syn | rst | ack) == syn"


def arriving(host: str, cuts: Cuts) -> list[str]:
    """Return the rules for what arrives at a host, in order."""
    lines = [line.strip() for line in HOSTS.rules(host, cuts).splitlines()]
    start = lines.index("chain arriving {") + 2
    return lines[start : lines.index("}", start)]


def test_with_nothing_cut_only_connections_of_an_earlier_era_are_reset() -> None:
    assert arriving("a", Cuts(era=7)) == [
        "tcp flags & rst == rst accept",
        f"{NEW} ct mark set 7",
        "meta l4proto tcp ct mark != 7 reject with tcp reset",
    ]


def test_rules_replace_those_that_were_there_whatever_they_were() -> None:
    lines = HOSTS.rules("a", Cuts()).splitlines()
    assert lines[:3] == [
        "add table inet sessionring",
        "delete table inet sessionring",
        "table inet sessionring {",
    ]
    assert lines[-1] == "}"


def test_connections_that_a_host_begins_bear_the_era_too() -> None:
    leaving = HOSTS.rules("a", Cuts(era=7)).partition("chain leaving")[2]
    assert f"{NEW} ct mark set 7" in leaving


def test_a_dead_direction_is_dead_where_it_arrives_and_nowhere_else() -> None:
    cuts = Cuts(silent=frozenset({("a", "b")}))
    assert arriving("b", cuts)[0] == "ip saddr 10.0.0.1 drop"
    for host in ("a", "c"):
        assert not any("saddr" in rule for rule in arriving(host, cuts))


def test_silence_swallows_resets_and_a_refusal_lets_them_through() -> None:
    cuts = Cuts(silent=frozenset({("b", "a")}), refused=frozenset({("c", "a"), ("far", "a")}))
    assert arriving("a", cuts)[:4] == [
        "ip saddr 10.0.0.2 drop",
        "tcp flags & rst == rst accept",
        "ip saddr 10.0.0.3 meta l4proto tcp reject with tcp reset",
        "ip saddr 10.0.0.9 meta l4proto tcp reject with tcp reset",
    ]


def test_the_slow_way_is_for_other_members_and_not_for_clients() -> None:
    cuts = Cuts(slow=frozenset({"a"}))
    assert "ip saddr { 10.0.0.2 } tcp dport 6802 redirect to :6803" in HOSTS.rules("a", cuts)
    assert "redirect" not in HOSTS.rules("b", cuts)


def test_a_host_that_is_alone_has_no_slow_way() -> None:
    """A set of addresses may not be empty."""
    alone = Hosts({"a": "10.0.0.1"}, ("a",))
    assert alone.rules("a", Cuts(slow=frozenset({"a"}))) == alone.rules("a", Cuts())


def test_both_ways_are_all_that_lead_across() -> None:
    assert both_ways("a", "bc") == {("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")}


# --- What makes the network -----------------------------------------------------------------


def test_everything_is_made_in_namespaces_of_the_run_and_nothing_beside_them() -> None:
    made = set()
    for command in commands(hosts_of(("a", "b")), "run-"):
        assert command[0] == "ip"
        if command[1:3] == ["netns", "add"]:
            made.add(command[3])
        else:
            assert command[1] == "-n"
            assert command[2] in made, "a namespace is used after it was made"
    assert made == {"run-hub", "run-a", "run-b"}


def test_names_of_links_are_as_short_as_the_kernel_wants_them() -> None:
    for command in commands(hosts_of(tuple("abcdefghi")), "a-prefix-however-long-it-is-"):
        for before, name in pairwise(command):
            assert before not in ("add", "set", "dev") or "netns" in command or len(name) < 16


def test_members_and_sides_of_clients_have_addresses_of_their_own() -> None:
    hosts = hosts_of(tuple("abcdefghi"))
    assert hosts.addresses.keys() == {*"abcdefghi", *SIDES}
    assert len(set(hosts.addresses.values())) == 11


# --- Whose a namespace is -------------------------------------------------------------------


def test_a_name_tells_whose_it_is() -> None:
    assert owner_of("sessionring-123-4567-hub") == Owner(123, 4567)
    assert owner_of(f"{Owner(123, 4567).prefix}a") == Owner(123, 4567)


def test_names_of_others_are_nobodys() -> None:
    names = ("sessionring", "sessionring-1-a", "my-sessionring-1-2-a", "sessionring-1-2-", "docker")
    assert [owner_of(name) for name in names] == [None] * len(names)


def test_left_over_is_only_what_has_an_owner_that_is_gone() -> None:
    me = this_process()
    # Another process has the id of this one's owner by now, and nobody that of the other's.
    gone = [Owner(me.pid, me.started - 1), Owner(2**31 - 1, 1)]
    names = [f"{owner.prefix}a" for owner in (me, *gone)]
    assert leftovers([*names, "docker"]) == names[1:]


def test_the_name_of_a_process_may_look_like_the_line_that_has_it() -> None:
    fields = " ".join(str(number) for number in range(3, 53))
    assert started_in(f"42 (a) S 1 (b) {fields}\n") == 22
