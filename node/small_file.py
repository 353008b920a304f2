"""A small text file beside the sessions: replaced as a whole, and read as it was written, or not.

Rule: the last line is a checksum of what is before it. Another bit in a number is another number:
without the checksum a rotten file would be believed.
"""

from contextlib import suppress
from hashlib import blake2b
from typing import Final

from node.stores.disk import Disk

FILE_BYTES_MAX: Final = 1 << 20
"""Far above what any of them needs; what is larger was not written here."""

_SEAL: Final = b"# checksum %s\n"
_CHECKSUM_BYTES: Final = 16
_SEAL_BYTES: Final = len(_SEAL % bytes(2 * _CHECKSUM_BYTES))


class DamagedFileError(Exception):
    """A file is not as it was written. Its text says what is wrong, for people to read."""


def write_small_file(disk: Disk, directory: str, name: str, text: str) -> None:
    """Have ``text`` in a file of ``directory``, durably; what was there before stays until then.

    Raises:
        OSError: it could not be written. What was there may still be.
    """
    temporary, place = f"{directory}/{name}.tmp", f"{directory}/{name}"
    with suppress(FileExistsError):
        disk.make_directory(directory)
        disk.fsync_directory()
    with suppress(FileNotFoundError):
        disk.unlink(temporary)  # Left by a process that died while it wrote.
    descriptor = disk.create(temporary)
    try:
        rest = memoryview(sealed(text))
        while rest:
            rest = rest[disk.write(descriptor, rest) :]
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)
    disk.rename(temporary, place)
    disk.fsync_directory(directory)


def read_small_file(disk: Disk, directory: str, name: str) -> str:
    """Return the text that was written to a file of ``directory``.

    Raises:
        OSError: it cannot be read.
        DamagedFileError: it is not as it was written.
    """
    descriptor = disk.open_to_read(f"{directory}/{name}")
    try:
        content = disk.read(descriptor, FILE_BYTES_MAX + 1)
    finally:
        disk.close(descriptor)
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
