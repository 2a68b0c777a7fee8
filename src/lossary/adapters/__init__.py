"""Lossary's losses in other libraries' trainers: one module per library; importing it imports the library.

``pip install "lossary[huggingface]"``, ``[sentence-transformers]`` or ``[lightning]`` installs the library.
"""
