"""Every PyTorch loss done right, and one command that tells you which one your data wants."""
