"""The protocol's page and its test vectors say what the code does."""

import hmac
import json
import re
import struct
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs
import pytest
from wire_ends import feed

from ring import messages
from ring.errors import RemoteProtocolError
from ring.inquiry import Row, State
from ring.journal import Happening, Note
from ring.messages import Durability, Failure
from ring.placement import Departed, Member, Ring
from wire import ENTITLEMENTS, Connection, Identity, Refusal, Speaker
from wire.codec import TAGS, decode, encode
from wire.framing import LENGTH_BYTES, frame

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
VECTORS: Final[dict[str, Any]] = json.loads((DOCS / "protocol-vectors.json").read_text())
PAGE: Final = (DOCS / "protocol.md").read_text()

MEMBERS = tuple(Member(*columns) for columns in VECTORS["ring"]["members"])
DEPARTED = tuple(Departed(*columns) for columns in VECTORS["ring"]["departed"])
RING = Ring("shop", MEMBERS, VECTORS["ring"]["version"], VECTORS["ring"]["copies"], DEPARTED)
BETWEEN_MEMBERS, FROM_A_CLIENT = VECTORS["handshakes"]

any_handshake = pytest.mark.parametrize("vector", VECTORS["handshakes"], ids=lambda v: v["name"])


class FixedRandom(Random):
    """Randomness that gives one nonce."""

    def __init__(self, nonce: str) -> None:
        super().__init__(0)
        self._nonce = int(nonce, 16)

    def getrandbits(self, k: int) -> int:
        """Return the nonce, whatever is asked for."""
        return self._nonce


def end_of(vector: dict[str, Any], side: str) -> Connection:
    """Return the dialling or accepting end of a handshake in the vectors."""
    values = vector[side]
    secrets = (bytes.fromhex(vector["secret"]),) if vector["secret"] else ()
    identity = (
        Identity.for_member(RING, values["name"], values["incarnation"], secrets)
        if values["role"] == "member"
        else Identity.for_client(values["incarnation"], secrets)
    )
    return Connection(
        identity,
        dialler=side == "dialler",
        peer=(values["recipient"] or None) if side == "dialler" else None,
        clock_ms=values["clock_ms"],
        random=FixedRandom(values["nonce"]),
    )


def frames_of(vector: dict[str, Any]) -> dict[str, bytes]:
    """Return the frames of a handshake in the vectors."""
    return {name: bytes.fromhex(text) for name, text in vector["frames"].items()}


@any_handshake
def test_a_handshake_is_spelled_as_in_the_vectors(vector: dict[str, Any]) -> None:
    dialler, acceptor = end_of(vector, "dialler"), end_of(vector, "acceptor")
    frames = frames_of(vector)
    assert dialler.data_to_send() == frames["dialler_hello"]
    feed(acceptor, frames["dialler_hello"])
    assert acceptor.data_to_send() == frames["acceptor_hello"] + frames["acceptor_proof"]
    feed(dialler, frames["acceptor_hello"] + frames["acceptor_proof"])
    assert dialler.data_to_send() == frames["dialler_proof"]
    feed(acceptor, frames["dialler_proof"])
    assert acceptor.data_to_send() == frames["welcome"]
    feed(dialler, frames["welcome"])
    assert dialler.authenticated
    assert acceptor.authenticated


@any_handshake
@pytest.mark.parametrize("side", ["dialler", "acceptor"])
def test_a_hello_has_its_values_at_the_offsets_of_the_page(
    vector: dict[str, Any], side: str
) -> None:
    """Spelled here a second time, with nothing but the page at hand."""
    values = vector[side]
    payload = b"SRNG" + struct.pack(
        ">BHBQQQ32s32s",
        1,
        1,
        {"member": 1, "client": 2}[values["role"]],
        values["incarnation"],
        values["clock_ms"],
        values["ring_version"],
        bytes.fromhex(values["ring_digest"]),
        bytes.fromhex(values["nonce"]),
    )
    for text in (values["name"], values["recipient"], values["ring_name"]):
        payload += bytes([len(text)]) + text.encode()
    assert struct.pack(">I", len(payload)) + payload == frames_of(vector)[f"{side}_hello"]


@any_handshake
def test_a_proof_is_the_code_that_the_page_gives(vector: dict[str, Any]) -> None:
    frames = frames_of(vector)
    secret = bytes.fromhex(vector["secret"])
    for side in ("dialler", "acceptor"):
        label = f"sessionring 1 {side}\0".encode()
        bound = label + frames["dialler_hello"] + frames["acceptor_hello"]
        code = hmac.digest(secret, bound, "sha256")
        assert frames[f"{side}_proof"] == bytes.fromhex("0000002553524e4702") + code


def test_the_digest_of_the_ring_is_as_in_the_vectors() -> None:
    assert RING.digest.hex() == VECTORS["ring"]["digest"]


NOTE_COLUMNS: Final = [field.name for field in attrs.fields(Note)]
ROW_COLUMNS: Final = [field.name for field in attrs.fields(Row)]


def value_of(name: str, value: Any) -> Any:
    """Return a field's value from its form in JSON."""
    match value:
        case _ if name == "ring":
            return RING
        case _ if name == "notes":
            return tuple(Note(*map(value_of, NOTE_COLUMNS, row)) for row in value)
        case _ if name == "rows":
            return tuple(Row(*map(value_of, ROW_COLUMNS, row)) for row in value)
        case {"hex": str(text)}:
            return bytes.fromhex(text)
        case list():
            parts = [value_of("", part) for part in value]
            return parts if name in ("flat", "counts") else tuple(parts)
        case _ if name == "happening":
            return Happening(value)
        case _ if name == "state":
            return State(value)
        case _ if name == "durability":
            return Durability(value)
        case _ if name == "failure":
            return Failure(value)
        case _:
            return value


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda v: v["message"])
def test_a_message_is_spelled_as_in_the_vectors(vector: dict[str, Any]) -> None:
    kind = getattr(messages, vector["message"])
    fields = {name: value_of(name, value) for name, value in vector["fields"].items()}
    message = kind(**fields)
    assert frame(encode(message)).hex() == vector["frame"]
    assert decode(bytes.fromhex(vector["frame"])[LENGTH_BYTES:]) == message
    assert list(fields) == [field.name for field in attrs.fields(kind)]


def test_the_vectors_have_every_message() -> None:
    assert {vector["message"] for vector in VECTORS["messages"]} == {k.__name__ for k in TAGS}


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: f"{v['from']}: {v['what']}")
def test_what_the_vectors_call_refused_is_refused_for_that_reason(vector: dict[str, Any]) -> None:
    handshake = FROM_A_CLIENT if vector["from"] == "a client" else BETWEEN_MEMBERS
    acceptor = end_of(handshake, "acceptor")
    if vector["from"] != "a stranger":
        feed(acceptor, frames_of(handshake)["dialler_hello"])
        feed(acceptor, frames_of(handshake)["dialler_proof"])
        acceptor.data_to_send()
    with pytest.raises(RemoteProtocolError, match=re.escape(vector["reason"])):
        feed(acceptor, bytes.fromhex(vector["hex"]))
    assert acceptor.data_to_send().hex().endswith(vector["refusal"])


def test_the_page_gives_every_tag_and_who_may_send_it() -> None:
    rows = re.findall(r"(?m)^\| (\d+) \| (\w+) \| (?:dialler|acceptor|both|client)", PAGE)
    tags = {name: int(tag) for tag, name in rows}
    assert tags == {kind.__name__: tag for kind, tag in TAGS.items()}
    for speaker in Speaker:
        (said,) = re.findall(rf"(?m)^\| {speaker.value} \| ([^|]+?)(?:, with .*)? \|$", PAGE)
        assert set(said.split(", ")) == {kind.__name__ for kind in ENTITLEMENTS[speaker]}


def test_the_page_gives_every_code_of_a_refusal_and_every_failure() -> None:
    section = PAGE[PAGE.index("| code |") : PAGE.index("### What each side checks")]
    assert re.findall(r"(?m)^\| (\d+) \| \w", section) == [str(code.value) for code in Refusal]
    section = PAGE[PAGE.index("| failure |") : PAGE.index("The reason is one sentence")]
    assert re.findall(r"(?m)^\| (\d+) \|", section) == [str(code.value) for code in Failure]


def test_what_the_page_quotes_stands_in_the_vectors() -> None:
    quoted = re.findall(r"(?m)(?:^    [0-9a-f]+\n)+", PAGE)
    assert len(quoted) >= 7
    everything = (DOCS / "protocol-vectors.json").read_text()
    for block in quoted:
        assert f'"{"".join(block.split())}"' in everything
