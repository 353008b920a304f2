"""Where commands write: made sure of before they run for long, and not left behind empty.

Rule: what cannot be written is refused with the argument, the value and what to name instead.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from ring.errors import ConfigError


@contextmanager
def directory_for_files(argument: str, directory: Path) -> Iterator[None]:
    """Have a directory, and its parents, in which files can be made; remove what stays empty.

    Args:
        argument: by which the directory was named.
        directory: it.

    Raises:
        ConfigError: no file can be made there. Definite: nothing was left.
    """
    made = list[Path]()
    try:
        try:
            made += [each for each in (directory, *directory.parents) if not each.exists()]
            directory.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=directory):
                pass
        except OSError as error:
            raise ConfigError(
                f"{argument} is {str(directory)!r}, which cannot be used ({error.strerror}); "
                "name a directory in which files can be made"
            ) from error
        yield
    finally:
        for each in made:
            with suppress(OSError):  # There are plans in it, or it could not be made.
                each.rmdir()


@contextmanager
def file_for_text(path: Path, named: str, instead: str) -> Iterator[Callable[[str], None]]:
    """Open a file; yield what writes all its text, and until then leave in it what is there.

    A file that was made for this and not written is removed.

    Args:
        path: its place.
        named: by which argument it was named, and how, to begin the message of an error with.
        instead: what somebody should do if it cannot be written.

    Raises:
        ConfigError: it cannot be written, now or by what is yielded. Definite.
    """

    def refused(error: OSError) -> ConfigError:
        return ConfigError(f"{named}, which cannot be written ({error.strerror}); {instead}")

    is_new = True
    try:
        try:
            file = path.open("x", encoding="utf-8")
        except FileExistsError:
            is_new = False
            file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise refused(error) from error

    is_written = False

    def write(text: str) -> None:
        nonlocal is_written
        try:
            if path.is_file():  # Pipes and terminals have nothing in them to be replaced.
                file.truncate(0)
            file.write(text)
            file.close()
        except OSError as error:
            raise refused(error) from error
        is_written = True

    try:
        yield write
    finally:
        with suppress(OSError):  # It was told by ``write``.
            file.close()
        if is_new and not is_written:
            path.unlink(missing_ok=True)
