"""A file for each form that data may come in: what lies there becomes a Source, or pairs, or code that is run."""
