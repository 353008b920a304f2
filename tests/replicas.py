"""The rig of ``simulations``, by a shorter name."""

from simulations.rig import ACTIONS_MAX, Rig

__all__ = ["ACTIONS_MAX", "Rig"]
