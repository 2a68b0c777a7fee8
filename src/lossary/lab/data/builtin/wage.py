"""Wage: regression with natural outliers."""

from dataclasses import replace

from lossary.lab.data import files
from lossary.lab.data.builtin._packages import kept
from lossary.lab.data.types import Data
from lossary.lab.run.plan import Plan


def load(plan: Plan) -> Data:
    """Regression with natural outliers: wages of 3,000 men, of whom some 80 earn twice as much as all others."""
    path = kept("wage", "Wage.csv")
    # Its logarithm would reveal the wage.
    table = Plan(data=str(path), target="wage", types="logwage=skip", task="regression", outliers=plan.outliers)
    data = files.read(table).data
    credit = "Data of the Current Population Survey, March 2011 supplement, from the package ISLP."
    return replace(data, credit=credit)
