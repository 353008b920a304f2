"""Where a local ring lives: its configuration, its ports, and its directory."""

import contextlib
import os
import socket
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from node import NodeConfig
from ring.errors import ConfigError
from ring.placement import Member, Ring
from simulations.namespaces import Owner, owner_of, remove_leftovers, this_process
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


# --- What is left where the janitor was killed too ------------------------------------------

HAS_OWNERS: Final = pytest.mark.skipif(
    sys.platform != "linux", reason="owners are looked up in /proc, which is Linux's"
)


@HAS_OWNERS
def test_the_directory_of_a_run_on_hosts_tells_whose_it_is() -> None:
    with open_place(None, this_process().prefix) as place:
        assert owner_of(place.directory.name) == this_process()


@HAS_OWNERS
def test_a_directory_whose_owner_is_gone_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what somebody still uses or somebody else has put there, nor what a link leads to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("simulations.namespaces.NAMES", tmp_path / "no namespaces")
    gone = Owner(2**31 - 1, 1).prefix
    left, used = tmp_path / f"{gone}x1_", tmp_path / f"{this_process().prefix}x1_"
    link, file, others = (tmp_path / name for name in (f"{gone}link", f"{gone}file", "docker-1-2"))
    foreign = tmp_path / f"{gone}foreign"
    for directory in (left, used, others, foreign):
        (directory / "nodes").mkdir(parents=True)
        (directory / "nodes" / "log").write_text("...")
    if os.geteuid() == 0:
        os.chown(foreign, 65534, 65534)
    else:
        foreign.rename(tmp_path / "foreign")
    link.symlink_to(others)
    file.touch()
    before = set(tmp_path.iterdir())
    assert remove_leftovers() == [left.name]
    assert before - set(tmp_path.iterdir()) == {left}
    assert (others / "nodes" / "log").exists()
