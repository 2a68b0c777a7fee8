"""Boxes in an image: the predicted one beside the true one."""
