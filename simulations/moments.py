"""What has to come about now and then in simulated runs, or they prove little."""

from enum import StrEnum


class Moment(StrEnum):
    """What has to come about now and then, or a run proves little."""

    CRASH_AFTER_RECEIPT = "crash after a receipt"
    CRASH_DURING_SETTLE = "crash during settle"
    CRASH_DURING_TAKEOVER = "crash during takeover"
    CRASH_DURING_HAND_BACK = "crash during hand-back"
    CRASH_DURING_ROTATION = "crash during rotation"
    CRASH_DURING_SNAPSHOT = "crash during snapshot"
    CRASH_OF_SEVERAL = "crash of several"
    CRASH_OF_ALL = "crash of all"
    CRASH_BEHIND_A_CUT = "crash behind a cut"
    EMPTY_DISK = "return with an empty disk"
    OLD_DISK = "return with an old disk"
    WRONG_DISK = "return with a wrong disk"
    CRASH_DURING_A_WRITE = "crash while the disk writes"
    CRASH_DURING_DRAIN = "crash during drain"
    DRAINED = "stop after everything was handed over"
    DRAIN_INCOMPLETE = "stop at the deadline of a drain"
    RESET_DURING_SETTLE = "reset during settle"
    RESET_DURING_SNAPSHOT = "reset during snapshot"
    RESET_WITH_FRAMES = "reset with frames under way"
    FREEZE_OF_AN_OWNER = "freeze of an acting owner"
    THAW_AFTER_DOWN = "thaw after it was called down"
    THAW_BEFORE_DOWN = "thaw before it was called down"
    TWO_CLAIMANTS = "two claimants of a home"
    SETTLED_AGAIN = "settled again"
    TOMBSTONE_DROPPED = "tombstone dropped"
    HOME_YIELDED = "home yielded"
