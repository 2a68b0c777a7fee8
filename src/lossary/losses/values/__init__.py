"""A number against a number."""
