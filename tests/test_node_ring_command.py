"""``sessionring ring show`` and ``ring set``, against real nodes, and what ``serve`` says of it."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import evolve
from local_ring import LocalRing, free_ports
from test_node_main import PATIENCE_S, Launcher, served, write_config

from node.config import NodeConfig
from node.ring_command import load, set_ring
from node.ring_text import ring_from_text, ring_to_text
from ring.administration import RingShown, SetRing, ShowRing
from ring.messages import Failed, Failure
from ring.placement import Departed, Member, Ring

__all__ = ["served"]


def write(path: Path, ring: Ring) -> Path:
    secret = '[security]\nsecret = "the secret of the tests"\n'
    path.write_text(ring_to_text(ring) + secret)
    return path


def with_third(ring: Ring) -> Ring:
    """Return ``ring`` with a third member, which nobody runs."""
    (port,) = free_ports(1)
    return evolve(ring, members=(*ring.members, Member("c", f"127.0.0.1:{port}")))


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "node", "ring", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={k: v for k, v in os.environ.items() if not k.startswith("SESSIONRING")},
        cwd=Path(__file__).parent.parent,
        check=False,
    )


async def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command beside the nodes of this process."""
    return await trio.to_thread.run_sync(partial(command, *arguments))


async def test_the_ring_is_shown_as_it_stands_in_a_file(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery, ("a", "b"))
    await ring.start()
    old = write(tmp_path / "old.toml", with_third(ring.ring))
    ring["a"].set_ring(evolve(ring.ring, version=2, departed=(Departed("z", "a"),)))
    shown = await run("show", "--config", str(old))
    assert shown.returncode == 0
    assert ring_from_text(shown.stdout) == ring["a"].ring
    assert shown.stderr == "c: cannot be asked: " + shown.stderr.partition(": ")[2][17:]
    nursery.cancel_scope.cancel()


async def test_a_ring_is_set_at_one_node_and_waited_for_at_all(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery, ("a", "b"))
    await ring.start()
    members = with_third(ring.ring).members
    new = evolve(ring.ring, version=2, members=(members[1], members[0], members[2]))
    done = await run("set", "--config", str(write(tmp_path / "new.toml", new)))
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[:2] == ["b: has version 2", "a: has version 2"]
    assert said[2].startswith("c: cannot be asked: ")
    assert said[2].endswith("; it learns the ring when it is there")
    assert ring["a"].ring == ring["b"].ring == new
    nursery.cancel_scope.cancel()


async def test_a_ring_that_cannot_follow_is_refused_with_the_reason(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery, ("a", "b"))
    await ring.start()
    for wrong, why in (
        (evolve(ring.ring, copies=3), "a: the ring was not set: its version is 1; use one above 1"),
        (
            evolve(ring.ring, version=2, members=ring.ring.members[:1]),
            "a: the ring was not set: it has no place for b, whose sessions would be nobody's",
        ),
    ):
        done = await run("set", "--config", str(write(tmp_path / "new.toml", wrong)))
        assert done.returncode == 1
        assert done.stderr.startswith(f"sessionring: {why}")
    nursery.cancel_scope.cancel()


async def test_a_node_that_runs_is_not_cut_off(tmp_path: Path, nursery: trio.Nursery) -> None:
    """What it alone has, from saves with the durability ``local``, would be in the ring no more."""
    ring = LocalRing(tmp_path, nursery, ("a", "b"))
    await ring.start()
    new = evolve(
        ring.ring, version=2, members=ring.ring.members[:1], departed=(Departed("b", "a"),)
    )
    path = write(tmp_path / "new.toml", new)
    done = await run("set", "--config", str(path))
    assert done.returncode == 1
    assert done.stderr.startswith("sessionring: b: it still runs, and could not hand over: ")
    assert ring["a"].ring == ring["b"].ring == ring.ring
    await ring.kill("b")
    done = await run("set", "--config", str(path))
    assert (done.returncode, done.stderr) == (0, "a: has version 2\n")
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("action", ["show", "set"])
def test_where_no_node_answers_the_command_fails_and_says_why(tmp_path: Path, action: str) -> None:
    path, _ = write_config(tmp_path, "ab")
    done = command(action, "--config", str(path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "a: cannot be asked: " in done.stderr
    assert done.stderr.endswith("sessionring: no node of the ring can be asked\n")


def test_a_file_that_cannot_be_used_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = command("show", "--config", str(tmp_path / "none.toml"))
    assert done.returncode == 2
    assert done.stderr.startswith("sessionring: configuration file")
    assert len(done.stderr.splitlines()) == 1


def test_a_ring_that_no_node_could_have_is_one_line_with_the_file(tmp_path: Path) -> None:
    path, _ = write_config(tmp_path, "ab")
    path.write_text(path.read_text().replace("address", "backup = true\naddress"))
    done = command("set", "--config", str(path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"sessionring: {path}: ring.members are all backup = true; ")


async def test_whoever_knows_the_newest_ring_is_told_of_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else one that has not heard of it takes another ring of that version, and they conflict."""
    path, _ = write_config(tmp_path, "ab")
    old = NodeConfig.load(path, "a").ring
    known = {"a": old, "b": evolve(old, version=2, copies=1)}
    told = list[str]()

    async def ask(address: str, question: ShowRing | SetRing, **_: object) -> RingShown | Failed:
        (name,) = (name for name, at in old.addresses.items() if at == address)
        if isinstance(question, ShowRing):
            return RingShown(1, known[name])
        told.append(name)
        return Failed(1, Failure.INVALID, "its version is 2; use one above 2")

    monkeypatch.setattr("node.ring_command.ask_node", ask)
    path.write_text(path.read_text().replace('"shop"', '"shop"\nversion = 2\ncopies = 3'))
    assert await trio.to_thread.run_sync(set_ring, load(str(path), None)) == 1
    assert told == ["b"]
    assert capsys.readouterr().err == "sessionring: b: its version is 2; use one above 2\n"


def test_a_process_whose_member_was_removed_stops_and_says_so(
    tmp_path: Path, served: Launcher
) -> None:
    path, _ = write_config(tmp_path, "ab")
    text = path.read_text()
    processes = {name: served("serve", "--config", str(path), "--name", name) for name in "ab"}
    for process in processes.values():
        process.wait_line("is ready")
    first, _, second = text.partition('[[ring.members]]\nname = "b"')
    left = second.partition("[store]")
    new = f'{first}[[ring.departed]]\nname = "b"\nheir = "a"{left[0]}[store]{left[2]}'
    path.write_text(new.replace('name = "shop"', 'name = "shop"\nversion = 2', 1))
    assert command("set", "--config", str(path)).returncode == 0
    processes["b"].wait_line("b is not a member of the ring 'shop' any more, and stops")
    assert processes["b"].wait_ended() == 0
    again = served("serve", "--config", str(path), "--name", "b")
    again.wait_line("b is not a member of the ring 'shop' any more, and stops")
    assert again.wait_ended() == 0
