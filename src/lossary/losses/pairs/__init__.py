"""Pairs that belong together or do not."""
