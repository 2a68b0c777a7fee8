"""What an exhibit is: a number, question, claim, picture or error of a lecture, and the code that answers it."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lossary.gallery.training import emoji_drawn, found_first, trained, verified
from lossary.lab.report.drawing import Spec

#: What a function finds, by the words that stand before it on the page: numbers, tensors and statements. A statement is
#: True or False, or {"by": 1.5}: where seeds differ, it is so if the mean of that is surely above 0.
Results = dict[str, Any]

#: What stands before the code of every exhibit, so that it runs where it is pasted.
PRELUDE = f"""\
import csv
import gzip
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import sklearn.datasets
import sklearn.metrics
import torch
import torch.nn.functional as F
from torch import Tensor, tensor
from torch.utils.flop_counter import FlopCounterMode

import lossary
from lossary.lab.data.builtin import BUILTIN, emoji
from lossary.lab.run.record import Record
from lossary.lab.stats.judge import judge
from lossary.lab.tasks.scoring import primary

torch.set_default_dtype(torch.float64)
seed = 0
torch.manual_seed(seed)


{inspect.getsource(trained)}

{inspect.getsource(found_first)}

{inspect.getsource(verified)}

{inspect.getsource(emoji_drawn).rstrip()}


"""


class Source(Enum):
    """The documents, as (title, institution)."""

    RECITATION = (
        "Recitation 0.20: Understanding Loss Functions",
        "Carnegie Mellon University, Introduction to Deep Learning (11-785)",
    )
    SLIDES = ("Loss Functions", "National Sun Yat-sen University, Electrical Engineering")
    LECTURE = ("Lecture 13: Loss Function for Neural Networks", "BITS Pilani, Deep Learning (CS F425)")
    BOOK = ("Basic Loss Functions", "arihara-sudhan.github.io")
    PRIMER = ("Primers: Loss Functions", "aman.ai")

    @property
    def title(self) -> str:
        return self.value[0]

    @property
    def institution(self) -> str:
        return self.value[1]


@dataclass(frozen=True)
class Exhibit:
    """One thing on the page; its family is the letter of its id."""

    id: str
    title: str
    run: Callable[..., Results]
    source: Source
    says: str  # what the document says or asks, in our words
    answer: str  # what is so, and why
    look_for: str = ""
    printed: Mapping[str, str] = field(default_factory=dict[str, str])  # numbers of the document, by the result's name
    losses: tuple[str, ...] = ()
    seeds: int = 0  # how many, where there is chance
    recorded: bool = False  # takes long: measured by `make claims` and read from its record
    draw: Callable[[Results], Spec] | None = None  # the picture; with `hand`, what its script is given
    expect: tuple[str, str] = ("", "")  # a question to think about first, and its answer, which is folded
    helpers: tuple[Callable[..., Any], ...] = ()  # functions of its own that it calls
    hand: str = ""  # a picture that is moved by hand: the script of that name in templates/hands

    @property
    def family(self) -> str:
        return self.id[0]

    @property
    def code(self) -> str:
        """The lines that are run, as a cell of a notebook: its last value is the result."""
        return "\n\n\n".join([*(inspect.getsource(helper).rstrip() for helper in self.helpers), self.lines])

    @property
    def lines(self) -> str:
        """The same without its helpers."""
        source = textwrap.dedent(inspect.getsource(self.run))
        function = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
        lines = source.splitlines()[function.body[0].lineno - 1 : function.body[-1].end_lineno]
        return textwrap.dedent("\n".join(lines)).replace("\nreturn ", "\n").removeprefix("return ")


def exhibit(
    id: str, title: str, source: Source, *, says: str, answer: str, **more: Any
) -> Callable[[Callable[..., Results]], Exhibit]:
    """Make a function the exhibit that says what it computes."""
    return lambda run: Exhibit(id, title, run, source, says, answer, **more)
