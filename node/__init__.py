"""Performs: links, timers, stores and the application's interface, on trio."""
