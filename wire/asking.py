"""Questions about many sessions and their answers, spelled by hand: pages of rows.

Rule: a page is read row by row like a frame of a stream; what a fragment says is for the core.
"""

from ring.entry import KEY_BYTES_MAX
from ring.index import INDEXED_BYTES_MAX
from ring.questions import CURSOR_BYTES_MAX, MATCHES_MAX, Matches, Query
from wire import checks
from wire.limits import REASON_CHARS_MAX

_STRIDE = 2


def spell_query(message: Query) -> list[object]:
    """Return the fields of a Query."""
    return [
        message.number,
        message.index,
        message.value,
        message.cursor,
        message.forwarded,
        message.namespace,
    ]


def read_query(fields: list[object]) -> Query:
    """Return the Query that ``fields`` spell, or raise a ValueError."""
    number, index, value, cursor, forwarded, namespace = fields
    key = _bytes(index, "index", KEY_BYTES_MAX)
    if not key:
        raise ValueError("index is empty")
    return Query(
        checks.u64(number, "number"),
        key,
        _bytes(value, "value", INDEXED_BYTES_MAX),
        _bytes(cursor, "cursor", CURSOR_BYTES_MAX),
        checks.exactly(bool, forwarded, "forwarded"),
        checks.namespace(namespace, "namespace"),
    )


def spell_matches(message: Matches) -> list[object]:
    """Return the fields of a Matches."""
    return [
        message.number,
        message.flat,
        message.counts,
        message.cursor,
        list(message.homes),
        list(message.missing),
        list(message.unreachable),
        message.reason,
    ]


def read_matches(fields: list[object]) -> Matches:
    """Return the Matches that ``fields`` spell, or raise a ValueError."""
    number, flat, counts, cursor, homes, missing, unreachable, reason = fields
    ids, portables = checks.flat_columns(flat, _STRIDE, MATCHES_MAX)
    checks.check_session_ids(ids)
    checks.check_portables(portables)
    values, numbers = checks.flat_columns(counts, _STRIDE, MATCHES_MAX)
    for value in values:
        _bytes(value, "value", INDEXED_BYTES_MAX)
    checks.check_u64s(numbers)
    return Matches(
        checks.u64(number, "number"),
        flat,  # type: ignore[arg-type]  # just checked, by columns
        counts,  # type: ignore[arg-type]  # just checked, by columns
        _bytes(cursor, "cursor", CURSOR_BYTES_MAX),
        checks.member_names(homes, "homes"),
        checks.member_names(missing, "missing"),
        checks.member_names(unreachable, "unreachable"),
        checks.text(reason, "reason", REASON_CHARS_MAX),
    )


def _bytes(value: object, what: str, bytes_max: int) -> bytes:
    checked = checks.exactly(bytes, value, what)
    if len(checked) > bytes_max:
        raise ValueError(f"{what} has {len(checked)} bytes; {bytes_max} are allowed")
    return checked
