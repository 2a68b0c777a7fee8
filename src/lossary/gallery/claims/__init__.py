"""Claims, each split into statements that are so or not."""
