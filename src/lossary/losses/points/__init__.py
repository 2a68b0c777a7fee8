"""Losses of sets of points."""
