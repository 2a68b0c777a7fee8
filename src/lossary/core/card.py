"""Card: the facts about a loss that the docs, the benchmarks, the lab and the tests read.

The formula in words and the arguments stand in the function's docstring, for people; nothing is written twice. What
only tests read (placed batches, other hyperparameters, golden values) lies beside them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from lossary.core.loss import Loss

__all__ = ["Card"]

#: What a loss is given: the package it lives in, and its place in the docs' index.
Data = Literal[
    "values",
    "answers",
    "classes",
    "identities",
    "pairs",
    "triplets",
    "views",
    "masks",
    "lists",
    "tokens",
    "boxes",
    "images",
    "waves",
    "lifetimes",
]
#: A form of call, by its tensors in their order. An "input" is numbers that a network gives, a "target" has its shape.
Takes = Literal[
    "input-target",
    "input-label",  # one class index an item
    "thresholds-label",  # a score a threshold between classes in their order, and one class index an item
    "input-shares",  # shares of the classes, each item's sum 1
    "input-teacher",  # a student's scores, or embeddings, and a teacher's, in one shape
    "input-labels",  # several class indices an item, as a padded list
    "input-target-variance",
    "score-time-event",  # a number an item, how long, and whether the event came then or had not come yet
    "hazards-interval-event",  # likewise, a number an interval of time
    "mean-log-variance",  # of a distribution
    "samples-target",  # several predictions of each number
    "first-second-target",  # two scores, and whether the first should be the larger one
    "pair-target",  # two embeddings, and whether they belong together
    "pair-grade",  # two embeddings, and how similar they are, of which the order counts
    "embeddings",  # alone
    "embeddings-labels",
    "queries-references",  # anchors, and `ref_embeddings` with the `positives` among them
    "embeddings-weight-labels",  # a direction a class, which the Module owns
    "embeddings-centers-labels",  # likewise, a center a class
    "anchor-positive",
    "anchor-positive-negative",
    "list",  # scores of a list's candidates, and how relevant each is
    "chosen-rejected",  # a number of the preferred answer, and one of the other
    "chosen-rejected-references",  # beside those of a reference model
    "answer-reference-target",  # a number of an answer, the reference model's, and whether the answer is liked
    "tokens-advantages",  # log-probabilities of tokens now and as they were drawn, and each token's advantage
    "answers-advantages",  # the same, an answer a row, with each answer's advantage and a reference's log-probabilities
    "boxes",  # (x1, y1, x2, y2) twice: the predicted and the true one
    "input-place",  # scores of places in order, and a number between the first and the last
    "image-target",  # (N, C, H, W) twice: an image and the one that it should be
    "large-image-target",  # the same, of 161 pixels a side or more
    "image",  # (N, C, H, W) alone
    "wave-target",  # (N, T) twice: a signal and the one that it should be
]
#: What the first tensor holds; amounts are numbers of which ratios count, none below 0.
Input = Literal[
    "values",
    "amounts",
    "log-rates",
    "logits",
    "probabilities",
    "log-probabilities",
    "scores",
    "distances",
    "embeddings",
    "boxes",
    "images",
    "waves",
]
#: What an item of ``reduction="none"`` is. "batch": the loss exists only for a whole batch.
Item = Literal["element", "row", "anchor", "pair", "triplet", "image-class", "image", "batch"]

#: Arguments that change from batch to batch: of the function and of ``forward``, never fields of the Module.
AT_CALL = frozenset(
    {
        "sample_weight",
        "mask",
        "positives",
        "ref_embeddings",
        "ref_labels",
        "pairs",
        "triplets",
        "ids",
        "negatives",
        "guide_anchor",
        "guide_positive",
        "guide_negatives",
        "log_q",
        "negatives_log_q",
        "group",
        "divisor",
        "kl",
        "margins",
        "ref_logps",
    }
)

#: What a card says of a formula without a number, and what the docs print of it.
UNNUMBERED: Mapping[str, str] = {
    "unnumbered": "the paper numbers none",
    "textbook": "a textbook formula, which no one paper numbers",
    "code": "in code alone",
    "unconfirmed": "its equation not confirmed",  # the paper may have one: nobody has read it there yet
}


@dataclass(frozen=True)
class Range:
    """Where the lab searches a number."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """What the lab chooses from."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Card:
    """One loss. ``name`` is the function's name."""

    fn: Callable[..., Tensor]
    module: type[Loss]
    formula: str  # TeX
    symbols: Mapping[str, str]  # what each letter of the formula is, with the arguments in `backticks`
    data: Data
    takes: tuple[Takes, ...]  # every form of call; the usual one first
    input: Input
    kernel: Literal["none", "rows", "tuples", "overlap", "order"]
    item: Item
    paper: str  # "arXiv:1801.07698" or a full reference
    defaults: str  # where the default hyperparameters come from
    equation: str = ""  # which one of the paper, "section 3" where that is what is known, or a word of UNNUMBERED
    search: Mapping[str, Range | Choice] = field(default_factory=dict[str, Range | Choice])  # the lab's search space
    batch: Literal["shuffled", "m-per-class"] = "shuffled"  # what its paper's recipe feeds it
    separable: bool = True  # the loss of a batch is the sum over its items' own losses
    mean_is_plain: bool = True  # mean == none.mean(); False: the docstring says what it is
    has_minimum: bool = True  # False: a diagnostic, which falls without end as the input grows
    exact: Mapping[str, Any] = field(default_factory=dict[str, Any])  # arguments that make its gradient its value's own
    at_call: frozenset[str] = frozenset()  # which of AT_CALL it takes
    when: str = ""  # when to use it and when not
    pitfalls: tuple[str, ...] = ()  # what common code and common teaching get wrong
    relatives: tuple[str, ...] = ()  # names of other cards
    aliases: tuple[str, ...] = ()
    by_order: bool = False  # it tells which of two scores is larger, and hardly by how much
    untuned: str = ""  # why the lab tunes none of its numbers, where it has some

    @property
    def name(self) -> str:
        return self.fn.__name__

    @property
    def place(self) -> str:
        """Where its paper has the formula: "equation 5", "section 3.2", or why there is no number."""
        if self.equation[:1].isdigit():
            return f"equation {self.equation}"
        return UNNUMBERED.get(self.equation, self.equation)

    @property
    def title(self) -> str:
        """The docstring's first line."""
        return (self.fn.__doc__ or "").strip().splitlines()[0]
