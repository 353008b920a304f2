"""Measures what the documents claim; never part of the tests, and never installed."""
