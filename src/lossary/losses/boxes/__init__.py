"""Boxes in an image: predicted ones against true ones."""
