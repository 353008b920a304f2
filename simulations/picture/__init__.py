"""The picture of a run: one page in which everything that happened can be looked at."""
