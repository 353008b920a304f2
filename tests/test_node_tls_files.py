"""A certificate that nobody would accept stops its own node at the start, with the reason."""

from pathlib import Path

import pytest
from attrs import evolve
from authority import LONG_AGO, Authority
from cryptography.hazmat.primitives import serialization

from node import ConfigError, NodeConfig, SecurityConfig, TlsFiles, open_node
from node.tls import Tls

RING = """
[ring]
name = "shop"
[[ring.members]]
name = "a"
address = "10.0.0.1:6802"
[[ring.members]]
name = "b"
address = "10.0.0.2:6802"
"""
KEYS = """
[security]
tls_certificate = "/etc/sessionring/{name}.pem"
tls_key = "/etc/sessionring/{name}.key"
tls_ca = "/etc/sessionring/ca.pem"
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def load(text: str, tmp_path: Path, name: str = "b") -> NodeConfig:
    path = tmp_path / "ring.toml"
    path.write_text(text)
    return NodeConfig.load(path, name, environ={})


def test_the_paths_are_the_nodes_own_and_open_it_to_the_network(tmp_path: Path) -> None:
    config = load(RING + KEYS, tmp_path)
    directory = "/etc/sessionring"
    assert config.tls == TlsFiles(f"{directory}/b.pem", f"{directory}/b.key", f"{directory}/ca.pem")
    assert config.listen_addresses == ("10.0.0.2:6802",)
    secret = 'secret = "sixteen bytes or more"\n'
    assert load(RING + KEYS + secret, tmp_path).security.secrets == (b"sixteen bytes or more",)
    assert load(RING + "[security]\n" + secret, tmp_path).tls is None


@pytest.mark.parametrize("missing", ["tls_certificate", "tls_key", "tls_ca"])
def test_two_of_the_three_keys_are_refused(missing: str, tmp_path: Path) -> None:
    text = "\n".join(line for line in KEYS.splitlines() if not line.startswith(missing))
    with pytest.raises(ConfigError, match=rf"security\.{missing} is missing; write"):
        load(RING + text, tmp_path)


def test_a_path_that_is_not_absolute_is_refused(tmp_path: Path) -> None:
    text = KEYS.replace("/etc/sessionring/ca.pem", "ca.pem")
    with pytest.raises(ConfigError, match=r"security\.tls_ca has the path 'ca\.pem'"):
        load(RING + text, tmp_path)


async def test_a_node_is_opened_only_with_its_own_certificate(authority: Authority) -> None:
    authority.sign("b", file="a")
    security = authority.security
    with pytest.raises(ConfigError, match=r"made out to b; the node's name is 'a'"):
        async with open_node(NodeConfig.single(None, "a", security=security)):
            pass
    authority.sign("a")
    async with open_node(NodeConfig.single(None, "a", security=security)):
        pass


def test_what_nobody_would_accept_is_refused(authority: Authority, tmp_path: Path) -> None:
    files = authority.sign("a")
    Tls(files, "a")
    expired = authority.sign("a", file="expired", not_after=LONG_AGO)
    with pytest.raises(ConfigError, match="certificate has expired"):
        Tls(expired, "a")
    foreign = Authority(tmp_path / "other").sign("a")
    with pytest.raises(ConfigError, match="unable to get local issuer certificate"):
        Tls(evolve(foreign, ca=files.ca), "a")
    Tls(evolve(foreign, ca=files.ca))  # A client may be known to an authority of its own.


def test_files_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    files = authority.sign("a")
    other = authority.sign("b")
    nothing = str(tmp_path / "nothing.pem")
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"tls_key is .*nothing.pem', which cannot be read: No s"):
        Tls(evolve(files, key=nothing))
    with pytest.raises(ConfigError, match=r"tls_ca is .*text.pem', which is no certificate"):
        Tls(evolve(files, ca=str(text)))
    with pytest.raises(ConfigError, match=r"cannot be used together: key values mismatch"):
        Tls(evolve(files, key=other.key))


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(
    authority: Authority,
) -> None:
    """OpenSSL would ask on the terminal, and a service would hang there."""
    files = authority.sign("a")
    key = serialization.load_pem_private_key(Path(files.key).read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    Path(files.key).write_bytes(encrypted)
    with pytest.raises(ConfigError, match="not encrypted") as refused:
        Tls(files)
    assert "_ssl" not in str(refused.value).replace(files.key, "")
    assert "[" not in str(refused.value)


def test_security_says_all_that_it_is_told() -> None:
    section = SecurityConfig(tls_certificate="/a", tls_key="/b", tls_ca="/c")
    assert (section.tls_certificate, section.tls_key, section.tls_ca) == ("/a", "/b", "/c")
