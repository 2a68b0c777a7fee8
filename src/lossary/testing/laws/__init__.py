"""The laws: what holds for every loss, each a function of a subject that raises AssertionError if it does not hold."""
