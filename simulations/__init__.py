"""Proves: seeded worlds, fault plans and checkers; and the script that runs a real local ring."""
