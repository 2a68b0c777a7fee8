"""Candidates of a query, and how relevant each is."""
