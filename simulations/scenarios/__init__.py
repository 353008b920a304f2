"""Named scenarios: each tells one story that a ring has to survive, message by message."""

from simulations.scenarios.catalogue import SCENARIOS, Scenario
from simulations.scenarios.stage import BrokenPromise

__all__ = ["SCENARIOS", "BrokenPromise", "Scenario"]
