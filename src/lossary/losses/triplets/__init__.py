"""Triplets: an anchor, what is nearer, what is farther."""
