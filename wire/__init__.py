"""Spells: frames and messages to bytes and back; bytes in, events out."""
