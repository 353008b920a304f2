"""The bytes of one session file, and its name.

Rules:
- The name is a hash of the id, so that no id ever becomes a path or shows in a listing.
- Magic and version stand first in every version of this form, so that an older program can tell
  a newer file from a damaged one.
- The checksum covers everything else in the file, and the length is exact: a torn, padded or
  rotten file is recognised, whatever it holds. It proves no origin: permissions do that.

Layout, big-endian: magic (8 bytes), version (2), length of the id (2), length of the record (4),
written_ms (8), BLAKE2b-128 of all before and after it (16), id, record.
"""

from hashlib import blake2b
from struct import Struct
from typing import Final

from node.stores.base import Stored
from ring.identity import SessionId

SESSION_SUFFIX: Final = ".session"
TEMPORARY_SUFFIX: Final = ".tmp"
"""Of files that are not in their place yet, or no longer; their content is never read."""

FORMAT_VERSION: Final = 1

FILE_BYTES_MAX: Final = 16 << 20
"""Far above any session's limit; what is larger was not written by a store."""

_MAGIC: Final = b"ssnring\n"
_VERSIONED: Final = Struct(">8sH")
_LENGTHS: Final = Struct(">8sHHIQ")
_CHECKSUM_BYTES: Final = 16
_HEADER_BYTES: Final = _LENGTHS.size + _CHECKSUM_BYTES


class UnreadableFileError(Exception):
    """A file is not what a store wrote. Its text says what is wrong, for people to read.

    Attributes:
        remedy: what the operator can do about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


def file_name(session_id: SessionId) -> str:
    """Return the name of the file of ``session_id``."""
    return blake2b(session_id, digest_size=16).hexdigest() + SESSION_SUFFIX


def encode(stored: Stored) -> bytes:
    """Return the bytes of the file that holds ``stored``: its id up to 65,535 bytes."""
    session_id, portable = stored.session_id, stored.portable
    lengths = _LENGTHS.pack(
        _MAGIC, FORMAT_VERSION, len(session_id), len(portable), stored.written_ms
    )
    content = session_id + portable
    return lengths + _checksum(lengths, content) + content


def decode(name: str, content: bytes) -> Stored:
    """Return what the file called ``name`` holds.

    Raises:
        UnreadableFileError: it is damaged, foreign, of a newer form, or under a wrong name.
    """
    if len(content) < _VERSIONED.size or not content.startswith(_MAGIC):
        raise _damaged("it does not begin like a session file")
    version = _VERSIONED.unpack_from(content)[1]
    if version > FORMAT_VERSION:
        raise UnreadableFileError(
            f"format version {version} is newer than {FORMAT_VERSION}, the newest known here",
            "start the newer sessionring again, with this file moved back into the store",
        )
    if version != FORMAT_VERSION or len(content) < _HEADER_BYTES:
        raise _damaged("its header is damaged")
    _, _, id_bytes, portable_bytes, written_ms = _LENGTHS.unpack_from(content)
    if len(content) != _HEADER_BYTES + id_bytes + portable_bytes:
        raise _damaged(
            f"it has {len(content)} bytes, not {_HEADER_BYTES + id_bytes + portable_bytes}"
        )
    lengths, checksum = content[: _LENGTHS.size], content[_LENGTHS.size : _HEADER_BYTES]
    if _checksum(lengths, content[_HEADER_BYTES:]) != checksum:
        raise _damaged("its checksum does not match")
    session_id = SessionId(content[_HEADER_BYTES : _HEADER_BYTES + id_bytes])
    if file_name(session_id) != name:
        raise UnreadableFileError(
            "the session inside belongs under another name",
            "it was renamed or copied by hand; its session has a file of its own",
        )
    return Stored(session_id, content[_HEADER_BYTES + id_bytes :], written_ms)


def _checksum(lengths: bytes, content: bytes) -> bytes:
    checksum = blake2b(lengths, digest_size=_CHECKSUM_BYTES)
    checksum.update(content)
    return checksum.digest()


def _damaged(reason: str) -> UnreadableFileError:
    return UnreadableFileError(reason, "check the disk; the other members may hold the session")
