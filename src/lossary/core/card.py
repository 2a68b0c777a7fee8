"""Card: the facts about a loss that the docs, the benchmarks, the lab and the tests read.

The docstring of the function has the formula in words and the arguments, for people; nothing is written twice. What
only tests read (placed batches, other hyperparameters, golden values) is kept with the tests.
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
    "points",
    "images",
    "waves",
    "lifetimes",
]
#: A form of call, by its tensors in order. An "input" is a network's numbers, a "target" has its shape.
Takes = Literal[
    "input-target",
    "input-label",  # one class index per item
    "thresholds-label",  # one score per threshold between ordered classes, and one class index per item
    "input-shares",  # shares of the classes, which sum to 1 for each item
    "input-distances",  # signed distances in its shape, above 0 where it should be small
    "input-teacher",  # a student's scores, or embeddings, and a teacher's, in one shape
    "input-teacher-label",  # the same for classes, and one class index per item
    "student-teacher",  # a student's embeddings and a teacher's, which may have another length
    "input-labels",  # several class indices per item, as a padded list
    "input-target-variance",
    "score-time-event",  # a number per item, a time, and whether the event came then or had not come yet
    "hazards-interval-event",  # likewise, a number per interval of time
    "mean-log-variance",  # of a distribution
    "samples-target",  # several predictions of each number
    "first-second-target",  # two scores, and whether the first should be the larger one
    "pair-target",  # two embeddings, and whether they belong together
    "pair-grade",  # two embeddings, and how similar they are; only the order counts
    "embeddings",  # alone
    "embeddings-directions",  # and directions in their space
    "two-samples",  # embeddings, and others of any number that are not their pairs
    "embeddings-labels",
    "queries-references",  # anchors, and `ref_embeddings` with the `positives` among them
    "embeddings-weight-labels",  # one direction per class, owned by the Module
    "embeddings-centers-labels",  # likewise, one center per class
    "anchor-positive",
    "anchor-positive-negative",
    "queries-documents",  # one embedding per token: (N, T, D) twice, with other T
    "list",  # scores of a list's candidates, and the relevance of each
    "chosen-rejected",  # a number for the preferred answer, and one for the other
    "chosen-rejected-references",  # with those of a reference model
    "answer-reference-target",  # a number for an answer, the reference model's, and whether the answer is liked
    "tokens-advantages",  # log-probabilities of tokens now and when drawn, and each token's advantage
    "answers-advantages",  # the same, one answer per row, with each answer's advantage and a reference's numbers
    "boxes",  # (x1, y1, x2, y2) twice: the predicted and the true one
    "clouds",  # (N, P, D) and (N, M, D): predicted points and true ones, in no order
    "input-place",  # scores of places in order, and a number between the first and the last
    "image-target",  # (N, C, H, W) twice: an image and its target
    "large-image-target",  # the same, with at least 161 pixels per side
    "image",  # (N, C, H, W) alone
    "wave-target",  # (N, T) twice: a signal and its target
]
#: What the first tensor holds; amounts are numbers whose ratios count, none below 0.
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
    "points",
    "images",
    "waves",
]
#: What an item of ``reduction="none"`` is. "batch": the loss is defined only for a whole batch.
Item = Literal["element", "row", "anchor", "pair", "triplet", "image-class", "image", "batch"]

#: Arguments that change from batch to batch: they belong to the function and ``forward``, and are never fields.
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
        "query_mask",
        "positive_mask",
        "negatives_mask",
        "input_mask",
        "target_mask",
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

#: What a card says about a formula without a number, and how the docs print it.
UNNUMBERED: Mapping[str, str] = {
    "unnumbered": "the paper numbers none",
    "textbook": "a textbook formula, which no one paper numbers",
    "code": "in code alone",
    "program": "there as a quadratic program, with slack variables",  # each slack is a hinge of this loss
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
    symbols: Mapping[str, str]  # what each letter of the formula means, with arguments in `backticks`
    data: Data
    takes: tuple[Takes, ...]  # every form of call; the usual one first
    input: Input
    kernel: Literal["none", "rows", "tuples", "overlap", "order"]
    item: Item
    paper: str  # "arXiv:1801.07698" or a full reference
    defaults: str  # where the default hyperparameters come from
    equation: str = ""  # its number in the paper, "section 3" if that is all that is known, or a word of UNNUMBERED
    search: Mapping[str, Range | Choice] = field(default_factory=dict[str, Range | Choice])  # the lab's search space
    batch: Literal["shuffled", "m-per-class"] = "shuffled"  # what the paper's recipe feeds it
    separable: bool = True  # the loss of a batch is the sum over its items' own losses
    mean_is_plain: bool = True  # mean == none.mean(); False: the docstring says what mean is
    has_minimum: bool = True  # False: a diagnostic, which falls without limit as the input grows
    exact: Mapping[str, Any] = field(default_factory=dict[str, Any])  # arguments that make the gradient exact
    at_call: frozenset[str] = frozenset()  # which of AT_CALL it takes
    when: str = ""  # when to use it and when not
    pitfalls: tuple[str, ...] = ()  # what common code and teaching get wrong
    relatives: tuple[str, ...] = ()  # names of other cards
    aliases: tuple[str, ...] = ()
    by_order: bool = False  # it tells which of two scores is larger, but hardly by how much
    untuned: str = ""  # why the lab tunes none of its numbers, if it has any
    held: frozenset[str] = frozenset()  # hyperparameters whose gradient is true only with `exact`

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
