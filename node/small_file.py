"""A small text file beside the sessions: replaced as a whole, and read as it was written, or not.

Rule: the last line is a checksum of what is before it. Another bit in a number is another number:
without the checksum a rotten file would be believed.
"""

import os
from hashlib import blake2b
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 1 << 20
"""Far above what any of them needs; what is larger was not written here."""

_SEAL: Final = b"# checksum %s\n"
_CHECKSUM_BYTES: Final = 16
_SEAL_BYTES: Final = len(_SEAL % bytes(2 * _CHECKSUM_BYTES))


class DamagedFileError(Exception):
    """A file is not as it was written. Its text says what is wrong, for people to read."""


def write_small_file(path: Path, text: str) -> None:
    """Have ``text`` at ``path``, durably; what was there before stays until then.

    Raises:
        OSError: it could not be written. What was there may still be.
    """
    temporary = path.with_suffix(".tmp")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with temporary.open("wb") as file:
        file.write(sealed(text))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_small_file(path: Path) -> str:
    """Return the text that was written to ``path``.

    Raises:
        OSError: it cannot be read.
        DamagedFileError: it is not as it was written.
    """
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise DamagedFileError(f"it is larger than {FILE_BYTES_MAX} bytes")
    return unsealed(content)


def sealed(text: str) -> bytes:
    """Return the bytes of the file that holds ``text``."""
    content = text.encode()
    return content + _seal(content)


def unsealed(content: bytes) -> str:
    """Return the text in the bytes of a file.

    Raises:
        DamagedFileError: these are not the bytes that ``sealed`` made of a text.
    """
    text, seal = content[:-_SEAL_BYTES], content[-_SEAL_BYTES:]
    if seal != _seal(text):
        raise DamagedFileError("its checksum, in the last line, is missing or does not match")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise DamagedFileError("it is not UTF-8") from error


def _seal(content: bytes) -> bytes:
    return _SEAL % blake2b(content, digest_size=_CHECKSUM_BYTES).hexdigest().encode()
