"""Every error the ring raises on purpose, and what each one says about state.

Rule: an error is *definite* (it did not happen) or *indefinite* (it may have happened); the
docstring of each class says which. Errors name the value at fault and the remedy.

Source: Maelstrom's split of errors into definite and indefinite; h11's split of protocol errors
into local (our bug) and remote (theirs).
"""


class SessionRingError(Exception):
    """Root of all errors that this project raises on purpose."""


class ConfigError(SessionRingError):
    """The configuration cannot be used. Definite: nothing was started.

    The message names the key, the value and the remedy.
    """


class UnknownMemberError(SessionRingError):
    """A name is not in this ring. Definite: nothing was placed."""


class RecordFormatError(SessionRingError):
    """Bytes are not a record. Definite: nothing was merged."""


class StampAheadError(SessionRingError):
    """A record was stamped too far in the future. Definite: nothing was merged.

    Attributes:
        ahead_s: how many seconds ahead of this node's clock.
    """

    def __init__(self, ahead_s: float) -> None:
        super().__init__(f"a record is stamped {ahead_s:.0f} s ahead of this node's clock")
        self.ahead_s = ahead_s


class ProtocolError(SessionRingError):
    """The rules of the wire were broken. The connection is over, the node goes on."""


class LocalProtocolError(ProtocolError):
    """This side tried what the protocol does not allow: our bug. Nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol does not allow. Nothing of the offending frame was used."""


class SessionEnded(SessionRingError):
    """The session was ended, has expired, or never existed. Definite: nothing was written."""


class SessionUnavailableError(SessionRingError):
    """Who holds the session is not known yet, or cannot be reached now. Definite: try again."""


class OutcomeUnknownError(SessionUnavailableError):
    """The node that was asked did not answer in time. Indefinite: the change may be in force."""


class ReplicationTimeoutError(SessionRingError):
    """The asked-for durability was not reached in time, and the caller chose to refuse that.

    Indefinite: the change is in force here and may survive. An end stays in force here.
    """


class SessionTooLargeError(SessionRingError):
    """A session or one of its attributes is over its limit. Definite: nothing was written."""


class RingFullError(SessionRingError):
    """The node remembers as many ends as it may: nothing is created or rotated. Definite.

    Or there are as many sessions of a namespace as there may be: none is created.
    """


class UnknownIndexError(SessionRingError):
    """Sessions cannot be found by this attribute: a node has no index of it. Definite.

    The message names the node, the attribute and the remedy.
    """


class TooManySessionsError(SessionRingError):
    """The principal has as many sessions as it may. Definite: this one is not among them."""


class StoreError(SessionRingError):
    """A store cannot be opened or used. The message names the directory and the remedy."""


class StoreLockedError(StoreError):
    """Another node has the store open. Definite: nothing was read or written."""
