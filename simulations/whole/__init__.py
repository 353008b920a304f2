"""Level 2: the unmodified nodes in virtual time, on a network and a disk byte by byte.

``guest`` runs trio inside the simulated time | ``network`` carries bytes | ``files`` are what is on
a disk, ``disk`` is that of a node | ``life`` is one process | ``world`` is all of them, and has the
face of the world of level 1.
"""
