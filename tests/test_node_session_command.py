"""``sessionring why``, ``list``, ``show``, ``count`` and ``end``, against real nodes."""

import json
import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import trio
from local_ring import LocalRing, wait_linked
from test_node_main import PATIENCE_S, write_config
from test_node_ring_command import write

from node import Session

Done = subprocess.CompletedProcess[str]


def command(*arguments: str) -> Done:
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={k: v for k, v in os.environ.items() if not k.startswith("SESSIONRING")},
        cwd=Path(__file__).parent.parent,
        check=False,
    )


async def call(path: Path, *arguments: str) -> Done:
    """Run the command beside the nodes of this process."""
    what = partial(command, *arguments, "--config", str(path))
    return await trio.to_thread.run_sync(what)


async def saved(ring: LocalRing, name: str) -> Session:
    session = ring[name].sessions.create()
    session["user"] = "ada"
    session.map("cart")["apples"] = 3
    await session.save()
    return session


async def test_a_session_is_followed_from_its_creation_to_its_end(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery, ("a", "b"))
    await ring.start()
    await wait_linked(ring["a"], ring["b"])
    path = write(tmp_path / "ring.toml", ring.ring)
    session = await saved(ring, "a")

    listed = await call(path, "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    head, line = listed.stdout.splitlines()
    assert head.split() == [
        *("id", "state", "acting", "holders", "bytes", "attrs", "last", "access", "expires")
    ]
    assert line.split()[:4] == [session.id, "alive", "a", "a,b"]
    assert max(map(len, (head, line))) <= 120

    shown = await call(path, "show", session.id)
    assert "user" in shown.stdout.split()
    assert "ada" not in shown.stdout
    shown = await call(path, "show", session.id, "--values")
    assert "  user = 'ada'\n" in shown.stdout
    assert "  cart = {'apples': 3}\n" in shown.stdout

    counted = await call(path, "count")
    assert [line.split() for line in counted.stdout.splitlines()] == [
        ["home", "acting", "sessions", "ended"],
        ["a", "a", "1", "0"],
        ["b", "b", "0", "0"],
        ["all", "1", "0"],
    ]

    ended = await call(path, "end", session.id)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(rf"ended {session.id}: held by a, b(; on disk at .*)?\n", ended.stdout)
    again = await call(path, "end", session.id)
    assert again.returncode == 1
    assert again.stdout == ""
    assert again.stderr == "sessionring: there is no such session; it has ended before\n"

    told = await call(path, "why", session.id)
    assert told.returncode == 0
    assert [line.split()[2:4] for line in told.stdout.splitlines()[1:]] == [
        ["created", "a"],
        ["accessed", "-"],
        ["ended", "a"],
    ]
    nursery.cancel_scope.cancel()


async def test_everything_is_there_as_json(tmp_path: Path, nursery: trio.Nursery) -> None:
    ring = LocalRing(tmp_path, nursery, ("a", "b"))
    await ring.start()
    await wait_linked(ring["a"], ring["b"])
    path = write(tmp_path / "ring.toml", ring.ring)
    sessions = [await saved(ring, "a") for _ in range(3)]
    id = sessions[0].id
    old = sessions[1].id
    await sessions[1].rotate_id()

    listed = await call(path, "list", "--json", "--ended", "--home", "a")
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    assert {row["id"] for row in rows} == {old, *(each.id for each in sessions)}
    assert {row["state"] for row in rows} == {"alive", "rotated"}
    shown = json.loads((await call(path, "show", id, "--json", "--values")).stdout)
    assert shown["values"] == {"user": "ada", "cart": {"apples": 3}}
    counted = json.loads((await call(path, "count", "--json")).stdout)
    assert counted[0] == {"home": "a", "acting": "a", "sessions": 3, "ended": 1}
    told = json.loads((await call(path, "why", old, "--json")).stdout)
    assert told["unheard"] == []
    assert told["notes"][-1]["what"] == "rotated"
    assert told["notes"][-1]["other"] == sessions[1].id
    ended = json.loads((await call(path, "end", id, "--json")).stdout)
    assert ended["receipt"]["holders"] == ["a", "b"]
    assert await ring["b"].sessions.find(id) is None
    nursery.cancel_scope.cancel()


async def test_what_is_not_there_is_a_sentence_and_status_1(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery, ("a", "b"))
    await ring.start()
    await wait_linked(ring["a"], ring["b"])
    path = write(tmp_path / "ring.toml", ring.ring)
    unknown = "a." + "A" * 22
    for arguments, sentence in (
        (("show", unknown), "there is no such session"),
        (("end", unknown), "there is no such session"),
        (("why", unknown), "no member that can be asked knows of such a session"),
        (("why", "cookie"), "that is not the id of a session"),
        (("list", "--home", "z"), "home is 'z'; use one of a, b"),
    ):
        done = await call(path, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"sessionring: {sentence}")
        assert len(done.stderr.splitlines()) == 1
    await ring.kill("b")
    done = await call(path, "why", unknown)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "b: cannot be asked; it may know more"
    nursery.cancel_scope.cancel()


def test_where_no_node_answers_it_is_a_sentence_and_status_1(tmp_path: Path) -> None:
    path, _ = write_config(tmp_path, "ab")
    done = command("count", "--config", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("sessionring: no node can be reached: ")


def test_a_file_that_cannot_be_used_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = command("list", "--config", str(tmp_path / "none.toml"))
    assert done.returncode == 2
    assert done.stderr.startswith("sessionring: configuration file")


async def test_a_list_that_nobody_reads_to_its_end_is_no_mistake(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery, ("a",))
    await ring.start()
    path = write(tmp_path / "ring.toml", ring.ring)
    await saved(ring, "a")
    command = shlex.join([sys.executable, "-m", "node", "list", "--config", str(path)])
    text = f"{command} | true; echo ${{PIPESTATUS[0]}}"
    done = await trio.to_thread.run_sync(
        partial(
            subprocess.run,
            ["bash", "-c", text],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            cwd=Path(__file__).parent.parent,
            check=False,
        )
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
    nursery.cancel_scope.cancel()


async def test_what_is_shown_of_a_principal_is_one_line_without_control_characters(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery, ("a",))
    await ring.start()
    session = ring["a"].sessions.create()
    session.principal = "\x1b[31mada\nstate ended"
    await session.save()
    shown = await call(write(tmp_path / "ring.toml", ring.ring), "show", session.id)
    assert f"principal    {session.principal!r}\n" in shown.stdout
    assert "\x1b" not in shown.stdout
