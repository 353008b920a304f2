"""What one does to a store, and with what it has kept, to see whether it is one."""

import os
import resource
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final, TypeAlias, TypeVar
from unittest import SkipTest

from node.stores.base import Stored
from ring.effects import Notice
from ring.identity import SessionId, new_session_id

Records: TypeAlias = Mapping[SessionId, bytes]

_SHOWN_BYTES: Final = 24
_CUT_SHARE: Final = 0.2
_PIECE_BYTES: Final = 8
_ERROR_BYTES_MAX: Final = 4096

T = TypeVar("T")


def demand(holds: bool, story: str) -> None:
    """Fail with a story, unless something holds."""
    if not holds:
        raise AssertionError(story)


def in_a_thread(call: Callable[[], T]) -> T:
    """Call from a thread that has called nothing before."""
    results, errors = list[T](), list[BaseException]()

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 -- it is raised where it belongs
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def not_raised_in_a_child(call: Callable[[], object], wanted: type[Exception]) -> str:
    """Call in another process; return in words what it did instead of raising; "": it raised.

    Locks of POSIX (``lockf``) keep out other processes only, so no thread would do.
    """
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # The child calls nothing that another thread of this process could have locked.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        instead = "raised nothing"
        try:
            call()
        except wanted:
            instead = ""
        except BaseException as error:  # noqa: BLE001 -- it is told where it belongs
            instead = f"raised {error!r}"
        finally:
            os.write(write_end, instead.encode()[:_ERROR_BYTES_MAX])
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        instead = pipe.read().decode(errors="replace")
    os.waitpid(child, 0)
    return instead


def ids(number: int, seed: int = 0) -> list[SessionId]:
    """Return so many ids, always the same."""
    random = Random(seed)
    return [new_session_id("a", random) for _ in range(number)]


def expect_equal(found: Mapping[SessionId, Stored], records: Records, when: str) -> None:
    """Demand that what was found is what was written last; ``when`` begins the story."""
    for session_id in sorted(found.keys() | records.keys()):
        stored, value = found.get(session_id), records.get(session_id)
        portable = stored.portable if stored is not None else None
        demand(
            portable == value,
            f"{when}, session {session_id.decode()} is {shown(portable)}; "
            f"what was written last is {shown(value)}",
        )


def expect_no_id(notices: Sequence[Notice], records: Records) -> None:
    """Demand that what people are told names no session."""
    reports = str(notices)
    for session_id in records:
        demand(
            session_id.decode() not in reports,
            f"a report names the session {session_id.decode()}; who reads logs could use it",
        )


def shown(value: bytes | None) -> str:
    """Return a record in words."""
    if value is None:
        return "not there"
    more = f"... of {len(value)} bytes" if len(value) > _SHOWN_BYTES else ""
    return f"{value[:_SHOWN_BYTES]!r}{more}"


def told(failures: Mapping[SessionId, OSError]) -> str:
    """Return failures in words."""
    return ", ".join(sorted({str(error) for error in failures.values()}))


def files(directory: Path) -> list[Path]:
    """Return the files in a directory and below it, in order."""
    return [path for path in sorted(directory.rglob("*")) if path.is_file()]


def skip_without_files(directory: Path) -> None:
    """Skip the test where there is nothing to damage or to copy."""
    if not files(directory):
        raise SkipTest("this store keeps nothing in the files of its directory")


def damage(directory: Path, random: Random) -> str:
    """Change a byte of a file there, or cut it short; return what was done, in words."""
    path = random.choice([path for path in files(directory) if path.stat().st_size])
    content = bytearray(path.read_bytes())
    place = random.randrange(len(content))
    if random.random() < _CUT_SHARE:
        path.write_bytes(content[:place])
        return f"{path.name} was cut to {place} bytes"
    content[place] ^= 1 << random.randrange(8)
    path.write_bytes(content)
    return f"byte {place} of {path.name} was changed"


def pieces_in(directory: Path, values: Iterable[bytes]) -> set[bytes]:
    """Return the pieces of records that lie in the files there as they are.

    A store that packs what it keeps has none; and of a record that was damaged there are most.
    """
    contents = [path.read_bytes() for path in files(directory)]
    pieces = {
        value[start : start + _PIECE_BYTES]
        for value in values
        for start in range(0, len(value) - _PIECE_BYTES + 1, _PIECE_BYTES)
    }
    return {piece for piece in pieces if any(piece in content for content in contents)}


@contextmanager
def no_space() -> Iterator[None]:
    """Have the system refuse every byte that this process writes to a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
