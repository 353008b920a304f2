"""Addresses are read as they are written, and refused where no host or path can be meant."""

import pytest

from node.address import TcpAddress, UnixAddress, parse_address
from ring.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:6802", TcpAddress("127.0.0.1", 6802)),
        ("db.example.org:1", TcpAddress("db.example.org", 1)),
        ("db.example.org.:1", TcpAddress("db.example.org.", 1)),
        ("straße.example:1", TcpAddress("straße.example", 1)),
        ("[fe80::1%eth0.7]:1", TcpAddress("fe80::1%eth0.7", 1)),
        ("[::1]:0", TcpAddress("::1", 0)),
        ("unix:/run/ring.sock", UnixAddress("/run/ring.sock")),
    ],
)
def test_an_address_reads_back_as_it_was_written(
    text: str, expected: TcpAddress | UnixAddress
) -> None:
    assert parse_address(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":1",
        "host:65536",
        "host:-1",
        "::1:80",
        "unix:",
        "unix:/" + 120 * "x",
        "a b:80",
        "a\n:80",
        "a..b:80",
        ".a:80",
        f"{'x' * 64}.org:80",
        f"host:{'1' * 5000}",
    ],
)
def test_what_is_no_address_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ConfigError, match="write host:port"):
        parse_address(text)
