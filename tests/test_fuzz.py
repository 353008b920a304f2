"""Hostile bytes: every kept input, and changes of them, keep every promise of their target."""

from collections.abc import Awaitable
from pathlib import Path
from unittest.mock import patch

import pytest
import trio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fuzz import __main__ as command
from fuzz.drawn import Drawn
from fuzz.messages import message
from fuzz.targets import CORPUS, TARGETS, kept, load_target
from node.listener import Reception
from node.transport import Stream
from wire import codec

QUICK = sorted(TARGETS.keys() - {"live_node"})
INPUTS = [path for name in TARGETS for path in kept(name)]


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_input_that_is_kept_breaks_nothing(path: Path) -> None:
    load_target(path.parent.name)(path.read_bytes())


@st.composite
def changed(draw: st.DrawFn, target: str) -> bytes:
    """Return a kept input with some bytes changed, or any bytes."""
    content = bytearray(draw(st.sampled_from(kept(target))).read_bytes())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(content)


@pytest.mark.parametrize("target", QUICK)
@given(data=st.data())
def test_an_input_that_was_changed_breaks_nothing(target: str, data: st.DataObject) -> None:
    load_target(target)(data.draw(changed(target) | st.binary(max_size=100)))


@settings(max_examples=12, phases=(Phase.generate,))
@given(changed("live_node"))
def test_no_stranger_stops_a_node(data: bytes) -> None:
    load_target("live_node")(data)


# --- It has teeth ---


def finds(target: str, name: str) -> bool:
    """Return whether the input that is kept under this name finds something."""
    try:
        load_target(target)((CORPUS / target / name).read_bytes())
    except AssertionError:
        return True
    return False


def test_a_node_that_stops_for_what_a_member_says_is_found() -> None:
    class Nobody(Exception):
        pass

    with patch("node.link.RemoteProtocolError", Nobody):
        assert finds("live_node", "a-member-with-a-frame-of-nothing")


def test_a_task_that_is_left_when_a_link_has_ended_is_found() -> None:
    def leave_a_task(self: Reception, stream: Stream) -> Awaitable[None]:
        trio.lowlevel.spawn_system_task(trio.sleep, 1000)
        return receive(self, stream)

    receive = Reception._receive
    with patch.object(Reception, "_receive", leave_a_task):
        assert finds("live_node", "a-stranger")


def test_a_proof_that_is_not_looked_at_is_found() -> None:
    with patch("wire.handshake.hmac.compare_digest", return_value=True):
        assert finds("handshake", "a-guessed-secret")


def test_a_checksum_that_is_not_looked_at_is_found() -> None:
    with patch("node.stores.session_file._checksum", return_value=bytes(16)):
        assert finds("session_files", "a-changed-bit")


# --- The command ---


def test_every_target_has_inputs_and_every_input_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert all(kept(name) for name in TARGETS)


def test_an_input_is_tried_again_without_the_fuzzer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"\x90")
    assert command.main(["codec", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: every promise was kept\n"
    with patch("wire.codec.decode", side_effect=RecursionError), pytest.raises(RecursionError):
        command.main(["codec", str(path)])


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["codec", "nowhere"]) == 2
    assert capsys.readouterr().err == "fuzz: nowhere: No such file or directory\n"


def test_without_the_fuzzer_it_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    with patch("fuzz.__main__.import_module", side_effect=ImportError):
        assert command.main(["codec"]) == 2
    assert "./dev fuzz" in capsys.readouterr().err


# --- What it is made of ---


@given(st.binary(max_size=400))
def test_a_message_drawn_from_bytes_can_be_sent(data: bytes) -> None:
    drawn = message(Drawn(data))
    assert codec.decode(codec.encode(drawn)) == drawn


def test_no_bytes_are_the_plainest_choice() -> None:
    drawn = Drawn(b"")
    assert drawn.is_over
    assert (drawn.number(300), drawn.maybe(), drawn.one_of("ab"), drawn.u64()) == (0, False, "a", 0)
    assert (drawn.some(9), drawn.rest(), drawn.take(2)) == (b"", b"", b"\0\0")
