"""Embeddings with the identity each belongs to."""
