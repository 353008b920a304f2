"""What a node says about itself: one line per event, through ``logging``.

Rules:
- The logger is ``sessionring``. Without a handler of the application's it is silent.
- A line is an event name that never changes, then ``key=value`` fields. Both also stand on the
  log record, as ``event`` and ``fields``, for handlers that want more than text.
- A field never carries a session id, only its tag, and never bytes of a peer unescaped: what a
  stranger sends must not be able to forge a line.
- A line that strangers can cause is rate-limited, so that a flood does not fill the disk.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Final

from ring.effects import Notice
from ring.identity import SessionId

LOGGER: Final = logging.getLogger("sessionring")
LOGGER.addHandler(logging.NullHandler())

Field = str | int | float | bool

_Cause = tuple[int, str, tuple[tuple[str, Field], ...]]

_FIELD_CHARS_MAX: Final = 300
_PLAIN: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/@+,[]"
)


class _Line:
    """The text of an event, made only if a handler wants it."""

    __slots__ = ("_event", "_fields")

    def __init__(self, event: str, fields: Mapping[str, Field]) -> None:
        self._event = event
        self._fields = fields

    def __str__(self) -> str:
        parts = [f"{name}={_field_text(value)}" for name, value in self._fields.items()]
        return " ".join([self._event, *parts])


def _field_text(value: Field) -> str:
    """Return ``value`` on one line; whatever is not plain is quoted and escaped as JSON."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if len(text) > _FIELD_CHARS_MAX:
        text = text[:_FIELD_CHARS_MAX] + "..."
    if text and _PLAIN.issuperset(text):
        return text
    return json.dumps(text)


def log_event(level: int, event: str, fields: Mapping[str, Field] | None = None) -> None:
    """Log ``event`` at ``level`` (of ``logging``) with its ``fields``, in their order."""
    if not LOGGER.isEnabledFor(level):
        return
    fields = dict(fields or {})
    LOGGER.log(
        level,
        "%s",
        _Line(event, fields),
        extra={"event": event, "fields": fields},
        stacklevel=2,
    )


def log_of_store(notice: Notice) -> None:
    """Log what a store wants people to know: what it cannot keep or read is an error."""
    log_event(logging.ERROR if notice.alarming else logging.INFO, notice.event, notice.fields)


class SessionTagger:
    """Gives session ids a short name for logs, which tells nobody the id.

    Args:
        key: 16 to 64 random bytes; tags of two processes can be matched if they share it.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, session_id: SessionId) -> str:
        """Return eight hexadecimal digits that are the same for the same id and key."""
        return hashlib.blake2s(session_id, key=self._key[:32], digest_size=4).hexdigest()


class RateLimitedLog:
    """Logs what strangers cause: in each interval one line per cause, for a few causes.

    What was left out is counted, and told in one line per cause when the interval is over.

    Args:
        interval_s: seconds, above 0. Larger: a flood costs less; smaller: two of one cause are
            told apart sooner.
        causes_max: causes that get a line of their own in one interval; the others are counted
            together, since a cause may quote what a stranger chose.
    """

    def __init__(self, interval_s: float = 10.0, causes_max: int = 16) -> None:
        self._interval_s = interval_s
        self._causes_max = causes_max
        self._over_at: float | None = None
        self._left_out: dict[_Cause, int] = {}

    def log(
        self,
        now: float,
        level: int,
        event: str,
        cause: Mapping[str, Field],
        details: Mapping[str, Field] | None = None,
    ) -> None:
        """Log ``event`` at ``level``, or count it.

        Args:
            now: monotonic seconds.
            level: of ``logging``.
            event: the event's name.
            cause: fields that are the same in all lines that count as one.
            details: fields that differ between them.
        """
        if self._over_at is None or now >= self._over_at:
            self.flush()
            self._over_at = now + self._interval_s
        key = (level, event, tuple(cause.items()))
        if key in self._left_out:
            self._left_out[key] += 1
        elif len(self._left_out) < self._causes_max:
            self._left_out[key] = 0
            log_event(level, event, {**cause, **(details or {})})
        else:
            others = (level, event, (("reason", "other reasons"),))
            self._left_out[others] = self._left_out.get(others, 0) + 1

    def flush(self) -> None:
        """Log what was left out, and begin a new interval at the next line."""
        for (level, event, cause), left_out in self._left_out.items():
            if left_out:
                log_event(level, event, {**dict(cause), "left_out": left_out})
        self._left_out.clear()
        self._over_at = None
