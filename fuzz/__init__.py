"""Hostile bytes: what any input must not do, as plain functions of bytes (see CONTRIBUTING.md)."""
