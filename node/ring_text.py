"""A ring as text: the sections ``[ring]`` of a configuration file, to be shown, kept and read.

Rule: what is written here is read back as the same ring, and is what a person would write.
"""

import json

from node.tables import read_ring, read_toml
from ring.errors import ConfigError
from ring.placement import Ring


def ring_to_text(ring: Ring) -> str:
    """Return ``ring`` as TOML."""
    lines = [
        "[ring]",
        f"name = {_quoted(ring.name)}",
        f"version = {ring.version}",
        f"copies = {ring.copies}",
    ]
    for member in ring.members:
        lines += ["", "[[ring.members]]", f"name = {_quoted(member.name)}"]
        if member.address:
            lines.append(f"address = {_quoted(member.address)}")
        if member.backup:
            lines.append("backup = true")
    for departed in ring.departed:
        lines += ["", "[[ring.departed]]", f"name = {_quoted(departed.name)}"]
        lines.append(f"heir = {_quoted(departed.heir)}")
        if departed.address:
            lines.append(f"address = {_quoted(departed.address)}")
    return "\n".join(lines) + "\n"


def ring_from_text(text: str) -> Ring:
    """Return the ring that ``text`` describes.

    Raises:
        ConfigError: it describes none.
    """
    try:
        tables = read_toml(text)
    except ValueError as error:
        raise ConfigError(f"it is not TOML: {error}") from error
    return read_ring(tables.get("ring"))


def _quoted(text: str) -> str:
    """Return a TOML string; one of JSON is one, but for a character that both would escape."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
