"""The board: which losses are better, equal or worse on real data, by questions that were fixed before any run."""

from pathlib import Path

RESULTS = Path(__file__).with_name("results")
#: What the docs' page is made of.
ANSWERS = RESULTS / "answers.json"
#: Of a loss against another on one data set.
STATUSES = ("better", "equal", "worse", "undecided", "not learned")
