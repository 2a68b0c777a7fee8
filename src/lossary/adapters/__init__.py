"""Lossary's losses in other libraries' trainers: one module per library; importing it imports the library.

The extras ``huggingface``, ``sentence-transformers`` and ``lightning`` install the libraries.
"""
