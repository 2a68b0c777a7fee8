"""Rows of scores: the few numbers a row that losses are formulas of, ready or made block by block."""
