"""One file per format of data: its contents become a Source, or pairs, or code that is run."""
