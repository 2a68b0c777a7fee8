"""Losses for images with a reference image."""
