"""Hypothesis strategies that several test files share: names, ids and messages."""

import string

from hypothesis import strategies as st

from ring.administration import RingRecord, RingShown, SetRing, ShowRing
from ring.announcements import LIFE_CYCLE, Announced, Announcements, EventKind
from ring.clock import Stamp
from ring.identity import RANDOM_CHARS, SessionId
from ring.inquiry import Inspect, Inspected, Row, State, Story, Why
from ring.journal import Happening, Note
from ring.messages import (
    Absent,
    Acks,
    Answer,
    Ask,
    Changes,
    Compare,
    Compared,
    Durability,
    End,
    Failed,
    Failure,
    Find,
    Found,
    Leaving,
    Listing,
    Members,
    Message,
    Offer,
    Offered,
    Records,
    Redirect,
    Release,
    Rotate,
    Save,
    Saved,
    Status,
)
from ring.placement import VERSION_MAX, Departed, Member, Ring
from ring.questions import Matches, Query
from ring.table import BUCKETS, SHARDS

URL_SAFE = string.ascii_letters + string.digits + "-_"

u64s = st.integers(0, 2**64 - 1)
member_names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
name_tuples = st.lists(member_names, max_size=4).map(tuple)
session_ids = st.builds(
    lambda home, namespace, tail: SessionId(f"{home}.{namespace}{tail}".encode()),
    member_names,
    st.just("") | member_names.map("{}.".format),
    st.text(URL_SAFE, min_size=RANDOM_CHARS, max_size=RANDOM_CHARS),
)
portables = st.binary(min_size=1, max_size=40)
maybe_portables = st.binary(max_size=40)
durabilities = st.sampled_from(Durability)


def flat_lists(
    *columns: st.SearchStrategy[bytes] | st.SearchStrategy[int], max_size: int = 5
) -> st.SearchStrategy[list[bytes | int]]:
    """Return flat lists of rows, as streams of records have them."""
    rows = st.lists(st.tuples(*columns), max_size=max_size)
    return rows.map(lambda them: [value for row in them for value in row])


@st.composite
def acks(draw: st.DrawFn) -> Acks:
    """Return acknowledgements whose exceptions are among the changes acknowledged."""
    upto = draw(u64s)
    if not upto:
        return Acks(0)
    numbers = st.integers(1, upto)
    return Acks(upto, tuple(draw(st.lists(st.tuples(numbers, maybe_portables), max_size=4))))


entry_keys = st.binary(min_size=1, max_size=20)
entry_changes = st.dictionaries(entry_keys, st.none() | st.binary(max_size=40), max_size=4).map(
    lambda changes: tuple(changes.items())
)
bucket_sums = st.just(b"") | st.binary(min_size=8, max_size=8).map(lambda one: one * BUCKETS)
bucket_numbers = st.lists(st.integers(0, BUCKETS - 1), max_size=5).map(tuple)
plain_text = st.text(max_size=40)


@st.composite
def _rings(draw: st.DrawFn) -> Ring:
    """Return a ring with backups and departed members."""
    names = draw(st.lists(member_names, min_size=1, max_size=6, unique=True))
    count = draw(st.integers(1, len(names)))
    home, *others = names[:count]
    members = [Member(home, draw(plain_text))]
    members += [Member(name, draw(plain_text), draw(st.booleans())) for name in others]
    departed = tuple(
        Departed(name, draw(st.sampled_from(names[:count])), draw(plain_text))
        for name in names[count:]
    )
    version = draw(st.integers(1, VERSION_MAX))
    name = draw(st.text("shop 1", max_size=8))
    return Ring(name, tuple(members), version, draw(st.integers(1, 8)), departed)


whole_rings = _rings()


@st.composite
def _announced_rows(draw: st.DrawFn) -> tuple[bytes | int, ...]:
    """Return one announcement: what was rotated has a new id, and nothing else."""
    kind = draw(st.sampled_from(sorted(LIFE_CYCLE)))
    new_id = draw(session_ids) if kind is EventKind.ROTATED else b""
    return draw(session_ids), int(kind), draw(u64s), draw(maybe_portables), new_id


announced_rows = _announced_rows()
notes = st.builds(
    Note,
    st.just("") | member_names,
    st.sampled_from(Happening),
    u64s.map(Stamp),
    u64s.map(Stamp),
    u64s,
    st.binary(max_size=55),
)
shards = st.integers(0, SHARDS)
maybe_ids = st.just(b"") | session_ids


@st.composite
def _inspects(draw: st.DrawFn) -> Inspect:
    """Return a question for a page, or for one session of that home."""
    home, one = draw(member_names), draw(st.booleans())
    only = home.encode() + b"." + b"A" * RANDOM_CHARS if one else b""
    rows_max, ended, values = draw(st.integers(0, 256)), draw(st.booleans()), draw(st.booleans())
    forwarded = draw(st.booleans())
    place = draw(shards), draw(maybe_ids)
    return Inspect(draw(u64s), home, *place, rows_max, only, ended, values, forwarded)


rows = st.builds(
    Row,
    session_ids,
    st.sampled_from(State),
    u64s,
    u64s,
    u64s.map(Stamp),
    u64s,
    u64s,
    plain_text,
    name_tuples,
    maybe_portables,
)

MESSAGES: dict[type[Message], st.SearchStrategy[Message]] = {
    Changes: st.builds(Changes, flat_lists(session_ids, u64s, portables)),
    Acks: acks(),
    Status: st.builds(
        Status,
        u64s.map(Stamp),
        st.booleans(),
        st.booleans(),
        u64s,
        name_tuples,
        st.booleans(),
        st.booleans(),
        u64s,
        name_tuples,
        u64s,
    ),
    Announced: st.builds(
        Announced, flat_lists(session_ids, st.sampled_from(sorted(LIFE_CYCLE)).map(int), u64s)
    ),
    Announcements: st.builds(
        lambda home, since, is_handed_over, rows: Announcements(
            home, Stamp(since), is_handed_over, [value for row in rows for value in row]
        ),
        member_names,
        u64s,
        st.booleans(),
        st.lists(announced_rows, max_size=5),
    ),
    Release: st.builds(Release, flat_lists(session_ids, u64s)),
    Compare: st.builds(Compare, member_names, u64s, bucket_sums, st.booleans()),
    Offer: st.builds(Offer, member_names, flat_lists(session_ids, u64s)),
    Offered: st.builds(Offered, member_names, u64s),
    Records: st.builds(Records, member_names, u64s, flat_lists(session_ids, u64s, portables)),
    Listing: st.builds(Listing, member_names, u64s, bucket_numbers, flat_lists(session_ids, u64s)),
    Compared: st.builds(Compared, member_names, u64s),
    Ask: st.builds(Ask, u64s, session_ids),
    Answer: st.builds(Answer, u64s, maybe_portables),
    Find: st.builds(Find, u64s, session_ids, st.booleans(), st.booleans(), st.booleans()),
    Save: st.builds(
        Save,
        u64s,
        session_ids,
        st.booleans(),
        entry_changes,
        durabilities,
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    End: st.builds(
        End, u64s, session_ids, durabilities, st.booleans(), st.booleans(), st.booleans()
    ),
    Rotate: st.builds(
        Rotate,
        u64s,
        session_ids,
        session_ids,
        entry_changes,
        durabilities,
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    Found: st.builds(Found, u64s, portables, st.booleans()),
    Absent: st.builds(Absent, u64s),
    Saved: st.builds(Saved, u64s, name_tuples, name_tuples, st.booleans()),
    Failed: st.builds(Failed, u64s, st.sampled_from(Failure), plain_text),
    Leaving: st.just(Leaving()),
    Redirect: st.builds(Redirect, u64s, member_names),
    Members: st.builds(
        lambda ring_name, members, backups, heirs: Members(
            ring_name,
            tuple(members),
            tuple(members.values()),
            backups,
            tuple(heirs),
            tuple(heirs.values()),
        ),
        st.text("shop 1", max_size=8),
        st.dictionaries(member_names, plain_text, max_size=4),
        name_tuples,
        st.dictionaries(member_names, member_names, max_size=4),
    ),
    RingRecord: st.builds(RingRecord, whole_rings),
    ShowRing: st.builds(ShowRing, u64s),
    SetRing: st.builds(SetRing, u64s, whole_rings),
    RingShown: st.builds(RingShown, u64s, whole_rings),
    Query: st.builds(
        Query, u64s, entry_keys, st.binary(max_size=260), st.binary(max_size=40), st.booleans()
    ),
    Matches: st.builds(
        Matches,
        u64s,
        flat_lists(session_ids, portables),
        flat_lists(st.binary(max_size=260), u64s),
        st.binary(max_size=40),
        name_tuples,
        name_tuples,
        name_tuples,
        plain_text,
    ),
    Why: st.builds(Why, u64s, session_ids, st.booleans()),
    Story: st.builds(Story, u64s, st.lists(notes, max_size=4).map(tuple), name_tuples),
    Inspect: _inspects(),
    Inspected: st.builds(
        Inspected,
        u64s,
        member_names,
        st.booleans(),
        u64s,
        u64s,
        st.lists(rows, max_size=3).map(tuple),
        shards,
        maybe_ids,
    ),
}
"""A strategy for every class of messages."""

messages: st.SearchStrategy[Message] = st.one_of(*MESSAGES.values())
