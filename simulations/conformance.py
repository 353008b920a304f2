"""What a store has to do, as tests for whoever writes one.

Rules:
- Only what ``node.stores.base.Store`` says is demanded, and nothing of how it is done.
- A store is looked at as a node uses it: opened, loaded, written to from any thread, closed; the
  next one in the same directory is the next life of the node.
- What only a loss of power tells (whether it was synced) cannot be seen from here.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random
from typing import ClassVar, Final, TypeAlias
from unittest import SkipTest

from node.stores.base import Report, Store, Stored
from ring.effects import Notice
from ring.errors import StoreError, StoreLockedError
from ring.identity import RANDOM_CHARS, SessionId
from simulations.store_probes import (
    Records,
    damage,
    demand,
    expect_equal,
    expect_no_id,
    ids,
    in_a_thread,
    no_space,
    not_raised_in_a_child,
    pieces_in,
    shown,
    skip_without_files,
    told,
)

Batch: TypeAlias = Sequence[tuple[SessionId, bytes | None]]

NOW_MS: Final = 1_700_000_000_000

_MANY: Final = 600
_CHUNK: Final = 64
_LARGE_BYTES: Final = 1 << 20
_RECORD_BYTES: Final = 200
_DAMAGES: Final = 40
_BATCHES: Final = 60


class StoreConformance:
    """Tests of a store. Subclass it, name the subclass ``Test...``, and pytest finds them."""

    locks: ClassVar[bool] = True
    """Whether a second process is refused; False for a store that only this process can reach."""

    def make(self, directory: Path, report: Report) -> Store:
        """Return a store, not opened yet.

        Args:
            directory: where it keeps everything, or what names the place elsewhere: a new one
                for each test, and the same one for all lives of one store.
            report: takes what people should know.
        """
        raise NotImplementedError("make(directory, report) has to return the store that is tested")

    # --- Keeping ---

    def test_what_was_written_is_there_in_the_next_life(self, tmp_path: Path) -> None:
        """With its bytes, whatever they are, and with the time at which it was written."""
        values = [b"record", bytes(range(256)), b"\0", b"\r\n", Random(0).randbytes(_LARGE_BYTES)]
        records = dict(zip(ids(len(values)), values, strict=True))
        with self._life(tmp_path) as store:
            self._write(store, list(records.items()))
        self._expect(tmp_path, records)
        for written_ms in (0, 2**64 - 1):
            with self._life(tmp_path) as store:
                self._write(store, list(records.items()), written_ms)
            for stored in self._loaded(tmp_path).values():
                demand(
                    stored.written_ms == written_ms,
                    f"a record was written at {written_ms} ms and came back as of "
                    f"{stored.written_ms} ms",
                )

    def test_a_record_is_replaced_as_a_whole(self, tmp_path: Path) -> None:
        """By a longer one, a shorter one, in the same life and in the next."""
        (session_id,) = ids(1)
        for values in ([b"first"], [b"second " * 100, b"third"], [b"4"]):
            with self._life(tmp_path) as store:
                for value in values:
                    self._write(store, [(session_id, value)])
            self._expect(tmp_path, {session_id: values[-1]})

    def test_what_was_deleted_is_gone(self, tmp_path: Path) -> None:
        """Deleting what is not there is no failure, and what was deleted may be written again."""
        kept, deleted, never, again = ids(4)
        with self._life(tmp_path) as store:
            self._write(store, [(kept, b"kept"), (deleted, b"deleted"), (again, b"before")])
            self._write(store, [(deleted, None), (never, None), (again, None)])
            self._write(store, [(again, b"after")])
        self._expect(tmp_path, {kept: b"kept", again: b"after"})

    def test_of_several_changes_to_one_session_the_last_one_counts(self, tmp_path: Path) -> None:
        """Also of those in one batch."""
        written, deleted, revived = ids(3)
        with self._life(tmp_path) as store:
            self._write(store, [])
            self._write(
                store,
                [
                    *((written, b"first"), (deleted, b"first"), (revived, None)),
                    *((written, b"last"), (deleted, None), (revived, b"last")),
                ],
            )
        self._expect(tmp_path, {written: b"last", revived: b"last"})

    def test_many_records_are_kept(self, tmp_path: Path) -> None:
        """Each is loaded once, in whatever order."""
        records = {each: each * 4 for each in ids(_MANY)}
        with self._life(tmp_path) as store:
            self._write(store, list(records.items()))
            for deleted in list(records)[::3]:
                del records[deleted]
                self._write(store, [(deleted, None)])
        self._expect(tmp_path, records)

    def test_ids_that_look_alike_are_kept_apart(self, tmp_path: Path) -> None:
        """In both cases, of homes and namespaces that begin alike, and some look like options."""
        parts = ["a" * RANDOM_CHARS, "A" * RANDOM_CHARS, "-" * RANDOM_CHARS, "_" * RANDOM_CHARS]
        homes = ["a", "a-a", "aa", "a" * 32, "0", "con", "nul", "a.a", f"{'a' * 32}.{'a' * 32}"]
        alike = [SessionId(f"{home}.{part}".encode()) for home in homes for part in parts]
        records = {each: b"of " + each for each in alike}
        with self._life(tmp_path) as store:
            self._write(store, list(records.items()))
        self._expect(tmp_path, records)

    def test_it_is_a_dictionary_that_survives_every_life(self, tmp_path: Path) -> None:
        """Whatever is written, replaced and deleted, in whatever batches."""
        random, few, model = Random(0), ids(6), dict[SessionId, bytes]()
        written = 0
        while written < _BATCHES:
            with self._life(tmp_path) as store:
                found = self._load(store)
                expect_equal(found, model, f"after {written} batches")
                for _ in range(random.randint(1, 8)):
                    batch = [
                        (random.choice(few), random.choice((None, random.randbytes(40))))
                        for _ in range(random.randint(1, 4))
                    ]
                    self._write(store, batch)
                    written += 1
                    for session_id, value in batch:
                        model.pop(session_id, None)
                        if value is not None:
                            model[session_id] = value

    # --- Being used by a node ---

    def test_any_thread_may_call_it(self, tmp_path: Path) -> None:
        """One at a time; also each piece of what it loads may be asked for by another one."""
        records = dict.fromkeys(ids(3 * _CHUNK), b"record")
        for _ in range(2):
            store = self.make(tmp_path, lambda notice: None)
            in_a_thread(store.open)
            try:
                iterator = in_a_thread(store.load)
                while in_a_thread(lambda: list(islice(iterator, _CHUNK))):  # noqa: B023
                    pass
                failures = in_a_thread(
                    lambda: store.write(list(records.items()), NOW_MS)  # noqa: B023
                )
                demand(not failures, f"write failed in another thread: {told(failures)}")
            finally:
                in_a_thread(store.close)
        self._expect(tmp_path, records)

    def test_a_load_that_is_given_up_harms_nothing(self, tmp_path: Path) -> None:
        """A node that is cancelled while it starts."""
        records = dict.fromkeys(ids(10), b"record")
        with self._life(tmp_path) as store:
            self._write(store, list(records.items()))
        with self._life(tmp_path) as store:
            next(iter(store.load()))
        self._expect(tmp_path, records)

    def test_it_may_be_closed_twice(self, tmp_path: Path) -> None:
        """And opened again by the next life."""
        (session_id,) = ids(1)
        with self._life(tmp_path) as store:
            self._write(store, [(session_id, b"record")])
            store.close()
        self._expect(tmp_path, {session_id: b"record"})

    def test_a_second_one_is_refused_until_the_first_is_closed(self, tmp_path: Path) -> None:
        """Two nodes that write to one place would undo each other's work."""
        if not self.locks:
            raise SkipTest("locks is False: nobody else can reach this store")
        with self._life(tmp_path):
            second = self.make(tmp_path, lambda notice: None)
            instead = not_raised_in_a_child(second.open, StoreLockedError)
            demand(
                not instead,
                "a second store was opened by another process while the first one was open; "
                f"open() has to raise StoreLockedError, and {instead}",
            )
        self._expect(tmp_path, {})

    def test_what_is_set_aside_is_never_loaded_again(self, tmp_path: Path) -> None:
        """But it is kept, all of it; and what is written under the same id is left alone."""
        kept, gone = ids(2)
        current, *aside = (Random(number).randbytes(_RECORD_BYTES) for number in range(5))
        with self._life(tmp_path) as store:
            self._write(store, [(kept, current), (gone, current)])
            for values in (aside[:2], aside[2:]):
                failures = store.set_aside(list(zip((kept, gone), values, strict=True)), NOW_MS)
                demand(not failures, f"set_aside could not keep records: {told(failures)}")
            self._write(store, [(gone, None)])
        self._expect(tmp_path, {kept: current})
        if pieces_in(tmp_path, [current]):
            found = sum(bool(pieces_in(tmp_path, [value])) for value in aside)
            demand(
                found == len(aside),
                f"{len(aside)} records were set aside, and {len(aside) - found} of them are not "
                "in the files any more; set_aside has to keep them",
            )

    # --- When things go wrong ---

    def test_a_kill_takes_nothing_that_was_written(self, tmp_path: Path) -> None:
        """What is in the files when ``write`` returns is enough: nobody closes a killed process."""
        records = {each: each * 10 for each in ids(20)}
        first, second = tmp_path / "killed", tmp_path / "next"
        with self._life(first) as store:
            self._write(store, list(records.items()))
            for value in (b"second", b"third"):
                records = dict.fromkeys(records, value)
                self._write(store, list(records.items()))
            skip_without_files(first)
            shutil.copytree(first, second)
        self._expect(second, records)

    def test_what_could_not_be_written_is_named(self, tmp_path: Path) -> None:
        """On a disk that takes nothing: it is returned, not raised; what was there stays."""
        old, new = ids(2)
        with self._life(tmp_path) as store:
            self._write(store, [(old, b"before")])
            with no_space():
                try:
                    failures = store.write([(old, b"meanwhile"), (new, b"meanwhile")], NOW_MS)
                except Exception as error:
                    raise AssertionError(
                        f"write raised {error!r} on a disk that takes nothing; it has to return "
                        "each change that failed, with an OSError"
                    ) from error
            for session_id, failure in failures.items():
                demand(
                    session_id in (old, new) and isinstance(failure, OSError),
                    f"write returned {failure!r} for {session_id!r}, which is no OSError of a "
                    "change that it was given",
                )
        found = self._loaded(tmp_path)
        for session_id, before in ((old, b"before"), (new, None)):
            value = found[session_id].portable if session_id in found else None
            demand(
                value == b"meanwhile" or (session_id in failures and value == before),
                "on a disk that takes nothing, a change was not named as failed, or more than it "
                f"was lost: the next life found {shown(value)}, before it was {shown(before)}",
            )
        with self._life(tmp_path) as store:
            self._write(store, [(old, b"after"), (new, b"after")])
        self._expect(tmp_path, {old: b"after", new: b"after"})

    def test_what_is_damaged_is_reported_and_not_served(self, tmp_path: Path) -> None:
        """Or the whole store is refused, with a ``StoreError``."""
        written = {each: Random(each).randbytes(_RECORD_BYTES) for each in ids(5)}
        sound, random = tmp_path / "sound", Random(0)
        with self._life(sound) as store:
            self._write(store, list(written.items()))
        skip_without_files(sound)
        found, usual = self._told_of(shutil.copytree(sound, tmp_path / "looked-at"))
        demand(found is not None, "a store with nothing wrong was refused")
        for number in range(_DAMAGES):
            damaged = tmp_path / f"damaged-{number}"
            shutil.copytree(sound, damaged)
            what = damage(damaged, random)
            before = {each: pieces_in(damaged, [value]) for each, value in written.items()}
            found, notices = self._told_of(damaged)
            for session_id, pieces in before.items():
                is_loaded = found is not None and session_id in found
                left = pieces_in(damaged, [written[session_id]])
                # What is moved may be laid out otherwise, and a piece of it be cut in two.
                demand(
                    is_loaded or 2 * len(left) >= len(pieces),
                    f"{what}, and a record that was not loaded is not in the files any more; what "
                    "cannot be read has to be kept",
                )
            if found is None:
                continue
            for session_id, stored in found.items():
                demand(
                    written.get(session_id) == stored.portable and stored.written_ms == NOW_MS,
                    f"{what}, and a record was loaded that nobody has written so: "
                    f"{shown(stored.portable)} as of {stored.written_ms} ms",
                )
            demand(
                found.keys() == written.keys() or len(notices) > len(usual),
                f"{what}, and {len(written) - len(found)} of {len(written)} records were not "
                "loaded, of which nothing was reported",
            )
            expect_no_id(notices, written)

    # --- Parts ---

    @contextmanager
    def _life(self, directory: Path) -> Iterator[Store]:
        store = self.make(directory, lambda notice: None)
        store.open()
        try:
            yield store
        finally:
            store.close()

    def _told_of(self, directory: Path) -> tuple[dict[SessionId, Stored] | None, list[Notice]]:
        """Return what is loaded there (None: the store is refused), and what is reported."""
        notices = list[Notice]()
        store = self.make(directory, notices.append)
        try:
            store.open()
            try:
                return self._load(store), notices
            finally:
                store.close()
        except StoreError:
            return None, notices

    def _write(self, store: Store, changes: Batch, written_ms: int = NOW_MS) -> None:
        failures = store.write(changes, written_ms)
        demand(
            not failures,
            f"write named {len(failures)} of {len(changes)} changes as failed: {told(failures)}",
        )

    def _load(self, store: Store) -> dict[SessionId, Stored]:
        found = dict[SessionId, Stored]()
        for stored in store.load():
            demand(
                stored.session_id not in found,
                f"session {stored.session_id!r} was loaded twice in one go",
            )
            found[stored.session_id] = stored
        return found

    def _loaded(self, directory: Path) -> dict[SessionId, Stored]:
        with self._life(directory) as store:
            return self._load(store)

    def _expect(self, directory: Path, records: Records) -> None:
        expect_equal(self._loaded(directory), records, "in the next life")
