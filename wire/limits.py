"""Every limit of the protocol, with its reason. All of them are inclusive; sizes are in bytes.

Rule: a limit is part of the protocol. A sender that keeps its own settings below these never
meets one; a receiver refuses whatever is above, and the connection ends.
"""

from typing import Final

from ring.placement import MEMBERS_MAX
from ring.table import BUCKETS

HANDSHAKE_FRAME_BYTES_MAX: Final = 4096
"""A payload before authentication; the longest hello has 227 bytes, and strangers get no more."""

FRAME_BYTES_MAX: Final = 1024 * 1024
"""A payload after authentication: the largest session, alone in a frame, with room to spare."""

CHANGES_MAX: Final = 1024
"""Changes in one frame: four times the default batch, because a frame is merged in one go."""

RECORDS_MAX: Final = 1024
"""Records in one frame of a comparison, twice the default batch, for the same reason."""

LISTED_MAX: Final = 16_384
"""Ids in one listing. A bucket is never split, so this allows 16 million sessions to a home."""

DIFFERENT_MAX: Final = 1024
"""Records that one acknowledgement brings back."""

BUCKET_SUM_BYTES: Final = 8
BUCKETS_BYTES: Final = BUCKETS * BUCKET_SUM_BYTES
"""The sums of a home, when there are any."""

NAMES_MAX: Final = MEMBERS_MAX
"""Member names in one message: no list of members is longer than the ring."""

RING_NAME_CHARS_MAX: Final = 64
ADDRESS_CHARS_MAX: Final = 262
"""A host name of 255 characters, brackets or a colon, and a port."""

REASON_CHARS_MAX: Final = 512
"""One sentence for people, in a failed request."""
TEXT_BYTES_MAX: Final = 4 * REASON_CHARS_MAX
"""The longest text of any message, in UTF-8."""

DETAIL_CHARS_MAX: Final = 64
"""What a refusal adds to its code."""

U64_MAX: Final = (1 << 64) - 1
