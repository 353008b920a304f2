"""Where randomness comes from: session ids are secrets, so nobody may foretell it."""

from random import Random, SystemRandom

from ring.errors import ConfigError


def checked_random(random: Random | None, *, simulated: bool) -> Random:
    """Return ``random``, or the operating system's for None.

    Args:
        random: a source of random bits.
        simulated: allows one that can be foretold, so that a simulation can be repeated.

    Raises:
        ConfigError: it can be foretold, and this is no simulation. Definite.
    """
    if random is None:
        return SystemRandom()
    if not simulated and not isinstance(random, SystemRandom):
        raise ConfigError(
            "random is a plain random.Random, with which session ids can be foretold; leave it "
            "out, or say simulated=True in a simulation"
        )
    return random
