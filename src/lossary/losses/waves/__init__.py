"""Signals in time against their targets."""
