"""What the rig of ``simulations`` is made of, by a shorter name."""

from simulations.rig_parts import Asked, Connection, Disk, Sent

__all__ = ["Asked", "Connection", "Disk", "Sent"]
