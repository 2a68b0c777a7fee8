"""Losses of language models: over log-probabilities of tokens, or of whole answers."""
