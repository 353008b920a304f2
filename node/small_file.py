"""A small file beside the sessions, replaced as a whole."""

import os
from pathlib import Path


def write_small_file(path: Path, text: str) -> None:
    """Have ``text`` at ``path``, durably; what was there before stays until then.

    Raises:
        OSError: it could not be written. What was there may still be.
    """
    temporary = path.with_suffix(".tmp")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
