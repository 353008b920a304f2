"""Decides: the ring's state and every decision about it; input and now go in, effects come out."""
