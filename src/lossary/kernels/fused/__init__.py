"""Triton kernels: a product and everything computed from it in one pass, where torch takes one per operation.

They implement the same operators as the plain kernels, with the same arguments and results: formulas, reductions,
second derivatives and what a compiler sees do not change. Triton is imported on first use.
"""
