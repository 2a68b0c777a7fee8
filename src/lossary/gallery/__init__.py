"""The gallery: what lectures say about losses, computed; every exhibit is one small function."""
