"""A class, or several, for every position of an image."""
