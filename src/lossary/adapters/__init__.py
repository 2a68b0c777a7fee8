"""Lossary's losses in other libraries' trainers: one module a library, which imports what it needs when it is imported.

``pip install "lossary[huggingface]"``, ``[sentence-transformers]`` or ``[lightning]`` brings the library.
"""
