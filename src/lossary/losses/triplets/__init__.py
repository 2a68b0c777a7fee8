"""Triplets: an anchor, a nearer item and a farther one."""
