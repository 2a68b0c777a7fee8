"""Watching losses while they train."""
