"""The time until an event that for some has not happened yet."""
