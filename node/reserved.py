"""What a session says of itself under reserved keys: whose it is, and how long it lives.

Rules:
- What a newer version has written in another way is passed on, and counts here as nothing.
- The name of a principal is a text of 1 to 255 bytes.
- A session that changes hands goes on under a fresh id (``node.session``): whoever knew the old one
  has nothing any more.
"""

import msgpack

from node.attributes import Attributes
from node.durations import pack_seconds
from node.errors import AttributeDecodeError
from node.unpacking import unpack_value
from ring.entry import LIFETIME, MAX_IDLE, PRINCIPAL, PRINCIPAL_BYTES_MAX


def pack_principal(name: object) -> bytes:
    """Return the packed form of a principal's name.

    Raises:
        TypeError: it is no str.
        ValueError: it is empty, too long, or has no UTF-8.
    """
    if not isinstance(name, str):
        raise TypeError(f"principal is {name!r}; use a str, such as the key of the user")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"principal {name!a} has a lone surrogate, and so no UTF-8") from None
    if not 1 <= length <= PRINCIPAL_BYTES_MAX:
        raise ValueError(
            f"principal has {length} bytes of UTF-8; use 1 to {PRINCIPAL_BYTES_MAX}, such as the "
            "key of the user"
        )
    packed: bytes = msgpack.packb(str(name))
    return packed


def unpack_principal(packed: bytes) -> str | None:
    """Return the name that is packed; None if there is none, or none that is known here."""
    try:
        name = unpack_value("of the session's principal", packed) if packed else None
    except AttributeDecodeError:
        return None
    return name if isinstance(name, str) else None


class Reserved(Attributes):
    """Attributes, and beside them what the session says of itself."""

    __slots__ = ()

    @property
    def max_idle(self) -> float:
        """Seconds without access after which the session expires; 0 or less: never.

        Setting it is a change like any other, in force once it is saved.
        """
        return self._seconds(MAX_IDLE)

    @max_idle.setter
    def max_idle(self, seconds: float) -> None:
        self.change_reserved(MAX_IDLE, pack_seconds("max_idle", seconds))

    @property
    def lifetime(self) -> float:
        """Seconds after its creation at which the session expires; 0 or less: never.

        Setting it is a change like any other, in force once it is saved.
        """
        return self._seconds(LIFETIME)

    @lifetime.setter
    def lifetime(self, seconds: float) -> None:
        self.change_reserved(LIFETIME, pack_seconds("lifetime", seconds))

    def _seconds(self, key: bytes) -> float:
        seconds = self._reserved_value(key)
        return seconds if isinstance(seconds, float) else 0.0

    def _reserved_value(self, key: bytes) -> object:
        """Return what stands under a reserved key; None if nothing that this version knows."""
        packed = self.reserved(key)
        try:
            return unpack_value("of the session's life", packed) if packed else None
        except AttributeDecodeError:
            return None  # The spelling of a newer version: passed on, not understood.

    @property
    def principal(self) -> str | None:
        """Whose session it is, by the name that was set; None: nobody's yet.

        Setting it is a change like any other, in force once it is saved. A session that the ring
        has already goes on under a fresh id then, unless the configuration says otherwise: put the
        new ``id`` into the cookie.
        """
        return unpack_principal(self.reserved(PRINCIPAL))

    @principal.setter
    def principal(self, name: str | None) -> None:
        if name is None:
            self.discard_reserved(PRINCIPAL)
        elif name != self.principal:
            self.change_reserved(PRINCIPAL, pack_principal(name))

    @property
    def changes_hands(self) -> bool:
        """Whether the principal is another one than the ring knows."""
        if not self.is_changed(PRINCIPAL):
            return False
        return self.reserved(PRINCIPAL) != self.known_reserved(PRINCIPAL)
