"""Options of a comparison, each written once: what it is called, what it is by default, and what the help says of it.

A plan has them as fields, and the command line as options, a group of its help each.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Files:
    """Of data read from files."""

    target: str = ""
    """What to predict: a table's column, an array of the file, or the file with the labels of an .npy file. Of pairs
    of texts both columns: QUERIES,DOCUMENTS."""
    task: str = ""
    """classification, zero-shot, binary, multi-label, regression, segmentation or retrieval, where another is
    inferred."""
    types: str = ""
    """Of a table's columns, as COLUMN=number|category|text|skip, separated by commas, where others are inferred."""
    yes: str = ""
    """Which of two targets means yes; the task then is binary."""
    lists: str = ""
    """A table's column that names the list a row belongs to: the rows of a list are ranked by the target."""
    by: str = ""
    """A table's column whose rows of one value are never in two parts: patients, speakers, customers. What is compared
    then are they, and not their rows."""
    time: str = ""
    """A table's column of dates or numbers: the earliest rows train, the latest ones test."""
    split: str = ""
    """A table's column that says where each row belongs: train, val or test."""
    megapixels: int = 64
    """Of the largest image that is read: to decode one takes time and memory, however small its file is."""
