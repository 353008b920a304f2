"""What is said about the ring itself: members tell it to each other, people look at it and set it.

Rule: whoever knows a greater version of the ring tells it before anything else, on every
connection. So whatever is said behind that is said of a ring that the hearer knows.
"""

from attrs import frozen

from ring.placement import Ring


@frozen
class RingRecord:
    """Both ways: the ring as the sender knows it, in a version that the receiver may lack."""

    ring: Ring


@frozen
class ShowRing:
    """A client: which ring does this node know?"""

    number: int


@frozen
class SetRing:
    """A client: let this be the ring from now on; its version is greater."""

    number: int
    ring: Ring


@frozen
class RingShown:
    """The ring as the node knows it, after what was asked for."""

    number: int
    ring: Ring
