"""Card: the facts about a loss that the tests, the docs, the benchmarks and the lab read.

The formula in words and the arguments stand in the function's docstring, for people; nothing is written twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Generator, Tensor, dtype

from lossary._loss import Loss

#: What a loss is given: decides its drawing, its place in the docs' index and the lab's tasks it can join.
Data = Literal["values", "binary", "classes", "identities", "pairs", "triplets", "views", "masks", "lists"]
#: What an item of ``reduction="none"`` is. "batch": the loss exists only for a whole batch.
Item = Literal["element", "row", "anchor", "pair", "triplet", "image-class", "batch"]

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
        "group",
    }
)


@dataclass(frozen=True)
class Call:
    """Arguments of one call: tensors by position (floating ones are differentiated), the rest by keyword."""

    args: tuple[Tensor, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])


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


#: One random batch: ``draw(generator, dtype) -> Call``. Shapes are small; values include non-default corners. A
#: tensor is as long as the first one exactly if it has one entry an item: so the laws know what to drop or permute.
Draw = Callable[[Generator, dtype], Call]
#: A golden case's inputs (name -> tensor) and parameters (name -> value) as a call of the function; None where
#: the case is another card's, or more than the function offers.
Golden = Callable[[Mapping[str, Tensor], Mapping[str, Any]], Call | None]


@dataclass(frozen=True)
class Card:
    """One loss. ``name`` is the function's name."""

    fn: Callable[..., Tensor]
    module: type[Loss]
    formula: str  # TeX
    data: Data
    kernel: Literal["none", "rows", "tuples", "overlap", "order"]
    item: Item
    paper: str  # "arXiv:1801.07698" or a full reference
    equation: str  # which equation of it; "" where the paper numbers none, or nobody has looked it up
    defaults: str  # where the default hyperparameters come from
    draw: Draw
    edges: Callable[[dtype], tuple[Call, ...]]  # placed batches: extremes, ties, kinks, empty, one class
    variants: tuple[Mapping[str, Any], ...] = ({},)  # hyperparameters under which every law is checked
    golden: Mapping[str, Golden] = field(default_factory=dict[str, Golden])  # by the golden file's name of the loss
    search: Mapping[str, Range | Choice] = field(default_factory=dict[str, Range | Choice])  # the lab's search space
    batch: Literal["shuffled", "m-per-class"] = "shuffled"  # what its paper's recipe feeds it
    separable: bool = True  # the loss of a batch is the sum over its items' own losses
    mean_is_plain: bool = True  # mean == none.mean(); False: the docstring says what it is
    at_call: frozenset[str] = frozenset()  # which of AT_CALL it takes
    when: str = ""  # when to use it and when not
    pitfalls: tuple[str, ...] = ()  # what common code and common teaching get wrong
    relatives: tuple[str, ...] = ()  # names of other cards
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.fn.__name__

    @property
    def title(self) -> str:
        """The docstring's first line."""
        return (self.fn.__doc__ or "").strip().splitlines()[0]
