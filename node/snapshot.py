"""A session as it was when something happened to it: to be read, and nothing else.

Rule: nothing is decoded before it is asked for; an attribute that cannot be decoded fails alone.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from node.attributes import Attributes
from node.errors import AttributeDecodeError
from node.unpacking import unpack_value
from node.writers import Writers
from ring.clock import stamp_ms
from ring.entry import CREATED, PRINCIPAL, entry_stamp
from ring.record import Record

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SessionSnapshot(Mapping[str, Any]):
    """A session's attributes by name, and a little of its life.

    What is changed inside a value changes nothing in the ring.

    Args:
        portable: its record as it was; empty bytes: nobody knows.
        writers: of this process.
    """

    __slots__ = ("_attributes", "_record", "_writers", "portable")

    def __init__(self, portable: bytes, writers: Writers) -> None:
        self.portable = portable
        """As the ring gave it."""
        self._writers = writers
        self._record: Record | None = None
        self._attributes: Attributes | None = None

    def __repr__(self) -> str:
        return f"<SessionSnapshot of {len(self)} attributes>"

    @property
    def is_known(self) -> bool:
        """Whether the node that tells of it had the session; else there is nothing in here."""
        return bool(self.portable)

    @property
    def created_at(self) -> datetime | None:
        """When the session was created, in UTC; None: not known."""
        created = self._decoded().entries.get(CREATED)
        if created is None:
            return None
        return _EPOCH + timedelta(milliseconds=stamp_ms(entry_stamp(created)))

    @property
    def principal(self) -> str | None:
        """Whose session it was, if the ring knows."""
        packed = self._decoded().value(PRINCIPAL)
        try:
            principal = unpack_value("of the session's life", packed) if packed else None
        except AttributeDecodeError:
            return None
        return principal if isinstance(principal, str) else None

    def __getitem__(self, name: str) -> Any:
        return self._opened()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened())

    def __len__(self) -> int:
        return len(self._opened())

    def _decoded(self) -> Record:
        if self._record is None:
            self._record = Record.from_portable(self.portable, 0.0) if self.portable else Record()
        return self._record

    def _opened(self) -> Attributes:
        if self._attributes is None:
            self._attributes = Attributes(dict(self._decoded().entries), self._writers)
        return self._attributes
