"""The board: which losses are better, equal or worse on real data, by questions that were fixed before any run."""
