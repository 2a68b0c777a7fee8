"""Yes or no, once or for many labels at a time."""
