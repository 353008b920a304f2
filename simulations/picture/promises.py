"""The promises in one sentence each, as docs/reliability.md has them."""

from typing import Final

PROMISES: Final = {
    "durable": "A change whose receipt names n holders is readable while fewer than n of them are "
    "lost before the ring is settled again.",
    "ended-is-final": "After an undegraded end no client reads the session again.",
    "read-your-writes": "A client that routes by id reads what it wrote with an undegraded "
    "receipt, or newer.",
    "no-lost-attribute": "Concurrent changes to different attributes, members of a map or set, or "
    "to a counter all survive; of two to one attribute, one wins everywhere.",
    "recovery-first": "A restarted node serves nothing older than what a live member that it can "
    "reach has acknowledged.",
    "expiry": "A session is there until max idle after its last acknowledged change, and gone soon "
    "after its last use.",
    "convergence": "Once faults stop, all holders of a home have the same whole records, exactly "
    "as many as configured, and nobody else keeps any.",
    "progress": "With faults outside a healthy core that never end, the core answers every request "
    "and agrees.",
    "honest": "No receipt names a node that does not have the change when it acknowledges.",
    "events": "Each creation, end, expiry and rotation is announced to an application that "
    "listens, at least once; once, while nothing but planned stops happens; with an end comes the "
    "session as it was.",
    "principals": "A question for a principal's sessions to which nothing is missing names each "
    "that was acknowledged undegraded, once, none that had ended undegraded, and none of another "
    "namespace.",
    "isolation": "A stranger or a malformed peer changes nothing and stops nobody; an answer never "
    "belongs to another request.",
    "bounded": "Once nothing happens any more, nothing is left that waits or that somebody forgot.",
}
