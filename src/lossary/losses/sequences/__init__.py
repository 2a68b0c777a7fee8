"""Sequences of scores, against sequences of labels."""
