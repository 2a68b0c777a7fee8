"""Kernels in Triton: a product and all that follows from it in one pass, where torch takes one for each operation.

They stand behind the operators that the plain kernels stand behind, with the same arguments and results: formulas,
reductions, second derivatives and what a compiler sees are the same. Triton is imported when it is first asked for.
"""
