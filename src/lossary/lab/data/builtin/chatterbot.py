"""ChatterBot: questions and their answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from lossary.lab.data.readers import pairs
from lossary.lab.data.types import Data
from lossary.lab.run.plan import Plan

CREDIT = (
    "Talk from the ChatterBot corpus by Gunther Cox and contributors (BSD 3-Clause), embedded by all-MiniLM-L6-v2 "
    "of sentence-transformers (Apache-2.0)."
)


def load(plan: Plan) -> Data:
    """Finding the answer to a question, or the next line of a talk: 1,173 pairs, embedded by a frozen encoder."""
    with np.load(Path(__file__).parent / "chatterbot.npz") as stored:
        called, embeddings, texts = str(stored["texts"]).split("\n"), stored["directions"], stored["pairs"].astype(int)
    data = pairs.split("chatterbot", lambda _: pairs.directions(embeddings[texts]), texts, called)
    return replace(data, credit=CREDIT)
