"""Advice: what facts measured in training mean, in plain sentences. Numbers in, words out; no tensors here."""

from collections.abc import Iterator, Mapping, Sequence
from math import exp, log

from lossary._text import printable

__all__ = ["FACTS", "advice"]

#: What is measured, and what the number means. Facts that do not apply to a loss are absent.
FACTS = {
    "loss": "the loss",
    "not_finite": "share of batches whose gradient is not finite",
    "idle_rows": "share of rows with a negligible gradient",
    "idle_batches": "share of batches without any gradient",
    "target_probability": "mean probability of the true class (or answer), without a margin",
    "margin_violations": "share of rows, triplets or dissimilar pairs that lack their margin",
    "idle_tuples": "share of the triplets or pairs in the mean that have no gradient",
    "norm": "mean length of the embeddings",
    "norm_spread": "standard deviation of the embeddings' lengths, divided by their mean",
    "cosine": "mean cosine of two embeddings of a batch",
    "effective_rank": "participation ratio of the centred directions' squared singular values",
    "possible_rank": "the largest possible effective rank, given rows, width and classes",
    "class_gradient_ratio": "mean gradient norm of a row, largest over smallest of the classes",
    "class_of_most_gradient": "the class whose rows get the largest gradients",
    "class_of_least_gradient": "the class whose rows get the smallest gradients",
    "without_positive": "share of items that have no other item of their label in the batch",
    "one_label": "share of batches whose items all have one label",
    "classes": "number of classes",
    "scale": "scale of the cosines",
    "scores_within_one": "share of batches whose scores all lie within [-1, 1]",
    "rows_sum_to_one": "share of batches whose scores are already probabilities",
    "logits_within_zero_one": "share of batches whose yes-or-no logits all lie within [0, 1]",
    "float_labels": "share of batches whose labels are whole numbers stored as floats",
    "whole_targets": "share of batches whose targets are all whole numbers from 0 on, and not all 0 or 1",
}

#: What holds in nearly every batch comes from the set-up, not from chance.
NEARLY_ALL = 0.95
#: Past this, a batch of hundreds trains on a few dozen rows: a smaller batch, or harder rows, would do as much.
MANY_IDLE = 0.9
#: The probability past which cross-entropy's gradient, 1 - p, is a hundredth of its initial size.
LEARNT = 0.99
#: What a well-placed training set should be able to reach; CosFace's bound on the scale uses it.
WANTED_PROBABILITY = 0.9
#: Random directions in D dimensions have cosines of about D ** -0.5, after a ReLU about 0.6. This is far above both.
COLLAPSED = 0.95
#: A share of the possible directions; a healthy batch uses a quarter or more, as random ones do.
FEW_DIRECTIONS = 0.1
#: Below this many possible directions, a tenth of them is less than one.
ENOUGH_DIRECTIONS = 10
#: Lengths that differ this much weigh items unequally in every loss of dot products or distances.
UNEQUAL_LENGTHS = 1.0
#: Within a factor of ten, classes are just harder or easier; means over few rows add a factor of two.
UNEQUAL_CLASSES = 20.0
#: A share of items that are alone, or of batches without a gradient: past it, most of the input teaches nothing.
MOSTLY_WASTED = 0.5


#: Facts that name a class by its index, so they cannot be averaged.
OF_CLASSES = ("class_of_most_gradient", "class_of_least_gradient")


def advice(facts: Mapping[str, float], names: Sequence[str] = ()) -> list[str]:
    """Sentences about what is wrong or worth a look, most serious first; none if all is in order.

    Args:
        facts: By the names in ``FACTS``.
        names: Names of the classes, by index; without them a class is called by its index.

    >>> advice({"without_positive": 0.8})
    ['80% of items are alone with their label: sample several items per label.']
    """
    parts = (_misuse(facts), _scale(facts), _gradients(facts), _classes(facts, names), _embeddings(facts))
    return [sentence for part in parts for sentence in part]


def called(label: float, names: Sequence[str] = ()) -> str:
    """A class by its name, or by its index if it has none.

    >>> called(1, ("cat", "dog")), called(7)
    ("'dog'", '7')
    """
    return f"'{printable(names[int(label)])}'" if int(label) < len(names) else f"{label:.0f}"


def best_probability(classes: float, scale: float) -> float:
    """The highest probability of the true class in a softmax over scaled cosines, averaged over balanced classes.

    At best the directions of C classes are the corners of a simplex: cosine 1 with the true class, -1 / (C - 1) with
    every other one (NormFace, arXiv:1704.06369, proposition 2).

    >>> round(best_probability(10, 1.0), 3)
    0.252
    """
    return 1 / (1 + (classes - 1) * exp(-scale * classes / (classes - 1)))


def least_scale(classes: float) -> float:
    """The scale at which the best probability is the wanted one (CosFace, arXiv:1801.09414, eq. 6).

    >>> round(best_probability(1000, least_scale(1000)), 3)
    0.9
    """
    return (classes - 1) / classes * log((classes - 1) * WANTED_PROBABILITY / (1 - WANTED_PROBABILITY))


def _misuse(facts: Mapping[str, float]) -> Iterator[str]:
    if facts.get("classes") == 1:
        yield (
            "The scores have one channel, and a softmax over one channel is always 1: the loss is constant. A "
            "yes-or-no question needs a sigmoid loss, such as binary_cross_entropy_with_logits."
        )
    if _usual(facts, "float_labels"):
        yield "The labels are whole numbers stored as floats: if they are class indices, pass labels.long()."
    if _usual(facts, "rows_sum_to_one"):
        yield "The scores of every row are probabilities: the loss takes logits, so leave out the softmax before it."
    elif _usual(facts, "scores_within_one") and facts.get("classes", 0) > 1:
        best = 1 / (1 + (facts["classes"] - 1) * exp(-2.0))
        yield (
            f"All scores lie within [-1, 1]. If they are cosines, multiply them by a scale: without one the true of "
            f"{facts['classes']:.0f} classes gets a probability of at most {best:.2f}."
        )
    if _usual(facts, "logits_within_zero_one"):
        yield (
            "All logits lie within [0, 1], as after a sigmoid: the loss takes logits, so leave out the sigmoid before "
            "it."
        )
    if _usual(facts, "whole_targets"):
        yield (
            "All targets are whole numbers. If they name classes, cross_entropy with integer labels knows that class 3 "
            "is not between 2 and 4; if they count something, see poisson_nll_loss."
        )
    if _usual(facts, "one_label"):
        yield "All items of a batch have one label, so the loss has no negatives: shuffle the data, or mix labels."
    if _usual(facts, "without_positive"):
        yield (
            "No item has another one of its label in its batch, so nothing is drawn together: sample several items per "
            "label."
        )
    elif facts.get("without_positive", 0.0) > MOSTLY_WASTED:
        yield f"{facts['without_positive']:.0%} of items are alone with their label: sample several items per label."


def _scale(facts: Mapping[str, float]) -> Iterator[str]:
    classes, scale = facts.get("classes", 0.0), facts.get("scale")
    if scale is not None and classes > 1 and (best := best_probability(classes, scale)) < WANTED_PROBABILITY:
        yield (
            f"A scale of {scale:.3g} is too small for {classes:.0f} classes: even perfectly placed ones would get a "
            f"probability of {best:.2g}. {least_scale(classes):.3g} would allow {WANTED_PROBABILITY}."
        )


def _gradients(facts: Mapping[str, float]) -> Iterator[str]:
    if (broken := facts.get("not_finite", 0.0)) > 0:
        yield f"In {broken:.1%} of batches the gradient is not finite: NaN in the data, or too high a learning rate."
    # Without pairs nothing can have a gradient, which has already been said.
    if not (_usual(facts, "without_positive") or _usual(facts, "one_label")):
        yield from _idle(facts)
    if (sure := facts.get("target_probability", 0.0)) > LEARNT and facts.get("classes") != 1:
        yield (
            f"The true class gets a probability of {sure:.4f} on average: the training data are learnt; from now on "
            "the validation data decide."
        )
    if (missing := facts.get("margin_violations", 0.0)) >= NEARLY_ALL and "idle_rows" in facts:
        yield (
            f"{missing:.0%} of the rows (pairs, triplets) lack their margin: it may be too large, or training has only "
            "begun."
        )


def _classes(facts: Mapping[str, float], names: Sequence[str]) -> Iterator[str]:
    if (ratio := facts.get("class_gradient_ratio", 1.0)) > UNEQUAL_CLASSES:
        most, least = (f"class {called(facts[name], names)}" if name in facts else "" for name in OF_CLASSES)
        yield (
            f"A row of {most or 'the class with the largest gradients'} gets {ratio:.0f} times the gradient of a row "
            f"of {least or 'the class with the smallest'}: some classes are learnt, others not."
        )


def _idle(facts: Mapping[str, float]) -> Iterator[str]:
    idle = facts.get("idle_rows", 0.0)
    if (silent := facts.get("idle_batches", 0.0)) >= NEARLY_ALL:
        yield (
            "No row has a gradient: every row (pair, triplet) already satisfies the loss. Training is over, or the "
            "margin is too small."
        )
    elif silent > MOSTLY_WASTED:
        yield f"{silent:.0%} of the batches have no gradient at all: mine harder rows, or enlarge the margin."
    elif idle > MANY_IDLE:
        yield f"{idle:.0%} of the rows have next to no gradient: most of each batch no longer teaches anything."
    elif (idle := facts.get("idle_tuples", 0.0)) > MANY_IDLE:
        yield (
            f"{idle:.0%} of the triplets or pairs in the mean have no gradient, and they shrink that of the others: "
            "mine harder ones, or enlarge the margin."
        )


def _embeddings(facts: Mapping[str, float]) -> Iterator[str]:
    if (cosine := facts.get("cosine", 0.0)) > COLLAPSED:
        yield (
            f"The embeddings have collapsed: two of a batch have a cosine of {cosine:.3f} on average. Lower the "
            "learning rate, or mine less hard."
        )
    rank, possible = facts.get("effective_rank"), facts.get("possible_rank", 0.0)
    if rank is not None and possible >= ENOUGH_DIRECTIONS and rank < FEW_DIRECTIONS * possible:
        yield f"The embeddings use about {rank:.1f} of {possible:.0f} possible directions."
    if (spread := facts.get("norm_spread", 0.0)) > UNEQUAL_LENGTHS:
        yield f"The embeddings' lengths differ widely: their standard deviation is {spread:.1f} times their mean."


def _usual(facts: Mapping[str, float], name: str) -> bool:
    return facts.get(name, 0.0) >= NEARLY_ALL
