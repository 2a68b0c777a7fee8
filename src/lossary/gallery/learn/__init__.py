"""A small course: losses to write and broken ones to mend, graded by what the library says."""
