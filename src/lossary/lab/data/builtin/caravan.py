"""Caravan: yes or no, where yes is rare."""

import numpy as np
import torch

from lossary.lab.data import splits
from lossary.lab.data.builtin._packages import kept
from lossary.lab.data.readers import tables
from lossary.lab.data.types import Data, at_hand
from lossary.lab.run.plan import Plan


def load(plan: Plan) -> Data:
    """Yes or no: which of 5,822 households buy insurance for their caravan; 6 of 100 do."""
    source = tables.read(kept("caravan", "Caravan.csv"), tables.Roles("Purchase"), "")
    answers = (source.targets == "Yes").astype(int)
    inputs = source.encode(np.arange(len(answers)))[torch.arange(len(answers))].numpy()
    same = np.unique(inputs, axis=0, return_inverse=True)[1].ravel()
    parts = splits.by_item(answers, same)
    inputs = source.encode(parts[0])
    train, valid, test = (at_hand(inputs, part, torch.from_numpy(answers[part])) for part in parts)
    credit = "Data of the CoIL Challenge 2000, by Sentient Machine Research, from the package ISLP."
    return Data("caravan", "binary", train, valid, test, test_names=("no", "yes"), credit=credit)
