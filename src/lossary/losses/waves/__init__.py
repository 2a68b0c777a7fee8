"""Signals in time beside the signals that they should be."""
