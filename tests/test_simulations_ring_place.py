"""Where a local ring lives: its configuration, its ports, and its directory."""

import contextlib
import socket
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from node import NodeConfig
from ring.errors import ConfigError
from ring.placement import Member, Ring
from simulations.real_nodes import config_text
from simulations.ring_place import open_place
from simulations.ring_ports import ReservedPorts


@pytest.mark.parametrize("directory", ["/tmp/a b/{c}", '/tmp/"quoted"\\', "/tmp/Grüße"])
def test_any_directory_can_be_configured(directory: str) -> None:
    ring = Ring("local", (Member("a", "127.0.0.1:1"), Member("b", "127.0.0.1:2")))
    text = config_text(ring, directory, "x" * 32)
    tables: dict[str, Any] = tomllib.loads(text)
    config = NodeConfig.from_tables(tables, "b", environ={})
    assert config.store_directory == Path(directory) / "b"
    assert config.ring == ring


def test_ports_are_reserved_for_listeners_that_reuse_addresses() -> None:
    """So a node that was killed finds its port free, and nobody else is given it."""
    ports = ReservedPorts(3)
    try:
        assert len(set(ports.addresses)) == 3
        host, _, port = ports.addresses[0].rpartition(":")
        if sys.platform == "linux":
            with socket.socket() as other, pytest.raises(OSError):
                other.bind((host, int(port)))
        for _ in range(2):
            with socket.socket() as node:
                node.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                node.bind((host, int(port)))
                node.listen()
    finally:
        ports.close()


def test_a_kept_directory_is_used_again_but_never_by_two_at_once(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    with open_place(keep) as place:
        (place.logs / "a.log").write_text("of the first run")
        with pytest.raises(ConfigError, match="which another run uses now"), open_place(keep):
            pass
    assert (keep / "logs" / "a.log").exists()
    with open_place(keep) as place:
        assert list(place.logs.iterdir()) == []


def test_what_an_exception_leaves_is_removed() -> None:
    directory = Path()
    with contextlib.suppress(ZeroDivisionError), open_place(None) as place:
        directory = place.directory
        (place.stores / "a").mkdir()
        raise ZeroDivisionError
    assert directory.name.startswith("sessionring-")
    assert not directory.exists()
