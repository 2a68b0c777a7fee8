"""Embeddings with the identity that each belongs to."""
