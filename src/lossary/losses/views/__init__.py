"""Two views of the same thing."""
