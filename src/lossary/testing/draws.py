"""Random batches that fit a loss, from what its card says it takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary.core.card import Card


@dataclass(frozen=True)
class Call:
    """Arguments of one call: tensors by position (floating-point ones are differentiated), the rest by keyword."""

    args: tuple[Tensor, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])


#: One random batch. Shapes are small; a tensor is as long as the first one exactly if it has one entry per item.
Draw = Callable[[Generator, dtype], Call]


def draw(card: Card, g: Generator, dt: dtype) -> Call:
    """A small random batch for the loss, in the first form of call on its card.

    Raises:
        LookupError: Nobody has defined what such a batch looks like.
    """
    form = card.takes[0]
    keys = [(form, card.data, card.input), (form, card.data), (form, card.input), (form,)]
    found = next((_DRAWS[key] for key in keys if key in _DRAWS), None)
    if found is None:
        raise LookupError(f"{card.name}: nothing is drawn for {form} of {card.input}")
    return found(g, dt)


def normal(g: Generator, dt: dtype, *shape: int, scale: float = 1.0) -> Tensor:
    # Drawn in float64, so that the batch is the same in every dtype.
    return (torch.randn(*shape, generator=g, dtype=torch.float64) * scale).to(dt)


def uniform(g: Generator, dt: dtype, *shape: int) -> Tensor:
    """Numbers away from 0 and 1."""
    return (torch.rand(*shape, generator=g, dtype=torch.float64) * 0.9 + 0.05).to(dt)


def labels(g: Generator, classes: int, *shape: int) -> Tensor:
    return torch.randint(classes, shape, generator=g)


def signs(g: Generator, *shape: int) -> Tensor:
    return 2 * labels(g, 2, *shape) - 1


# ---------------------------------------------------------------- by form of call


def _values(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5, scale=2.0)))


def _counts(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), labels(g, 7, 6, 5).to(dt)))


def _amounts(g: Generator, dt: dtype) -> Call:
    first, second = (normal(g, torch.float64, 6, 5).exp().to(dt) for _ in range(2))
    return Call((first, second))


def _scattered(g: Generator, dt: dtype) -> Call:
    counts, dispersion = labels(g, 7, 6, 5).to(dt), normal(g, torch.float64, 6, 5).exp().to(dt)
    return Call((normal(g, dt, 6, 5), counts, dispersion))


def _lives(g: Generator, dt: dtype) -> Call:
    """Times, some of them tied."""
    times = (labels(g, 5, 9) + 1).to(dt)
    return Call((normal(g, dt, 9), times, torch.tensor([1, 1, 0, 1, 0, 1, 1, 1, 0]) == 1))


def _intervals(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), labels(g, 5, 6), labels(g, 2, 6) == 1))


def _codes(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5)))


def _sampled(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, 4), normal(g, dt, 6, 5)))


def _noisy(g: Generator, dt: dtype) -> Call:
    variance = (normal(g, torch.float64, 6, 5).exp() + 0.1).to(dt)
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5), variance))


def _answers(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, scale=3.0), labels(g, 2, 6, 5)))


def _signed(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, scale=2.0), signs(g, 6, 5)))


def _probable(g: Generator, dt: dtype) -> Call:
    return Call((uniform(g, dt, 6, 5), uniform(g, dt, 6, 5)))


def _label_lists(g: Generator, dt: dtype) -> Call:
    order = torch.rand(6, 5, generator=g).argsort(-1)
    lengths = labels(g, 6, 6, 1)
    return Call((normal(g, dt, 6, 5), torch.where(torch.arange(5) < lengths, order, -1)))


def _classes(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, scale=3.0), labels(g, 5, 6)))


def _ordered(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 4, scale=3.0), labels(g, 5, 6)))


def _log_classes(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, torch.float64, 6, 5).log_softmax(1).to(dt), labels(g, 5, 6)))


def _shares(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, scale=2.0), normal(g, torch.float64, 6, 5).softmax(1).to(dt)))


def _log_shares(g: Generator, dt: dtype) -> Call:
    logits, probabilities = _shares(g, torch.float64).args
    return Call((logits.log_softmax(1).to(dt), probabilities.to(dt)))


def _taught(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, scale=2.0), normal(g, dt, 6, 5, scale=2.0)))


def _taught_labels(g: Generator, dt: dtype) -> Call:
    return Call((*_taught(g, dt).args, labels(g, 5, 6)))


def _head(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 7, 5), labels(g, 7, 6)))


def _labelled(g: Generator, dt: dtype) -> Call:
    # Labels in no order; classes of 3, 3, 2 and 1 items
    return Call((normal(g, dt, 9, 4), torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 2])))


def _alone(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 4),))


def _directed(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 4), normal(g, dt, 3, 4)))


def _two_samples(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 4), normal(g, dt, 5, 4)))


def _related(g: Generator, dt: dtype) -> Call:
    """A teacher with more features."""
    return Call((normal(g, dt, 7, 4), normal(g, dt, 7, 6)))


def _distances(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, torch.float64, 6, 5).abs().to(dt), signs(g, 6, 5)))


def _pairs(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5), labels(g, 2, 6) == 1))


def _graded_pairs(g: Generator, dt: dtype) -> Call:
    """Some pairs are equally similar."""
    return Call((normal(g, dt, 8, 5), normal(g, dt, 8, 5), labels(g, 4, 8)))


def _ranked(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5), signs(g, 6, 5)))


def _signed_pairs(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5), signs(g, 6)))


def _views(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 5, 4), normal(g, dt, 5, 4)))


def _texts(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 7, 2, 4), normal(g, dt, 7, 8, 4)))


def _triplets(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 4), normal(g, dt, 6, 4), normal(g, dt, 6, 4)))


def _masks(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 4, 3, 2, 5, scale=2.0), labels(g, 3, 4, 2, 5)))


def _regions(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 4, 3, 2, 5, scale=2.0), labels(g, 2, 4, 3, 2, 5)))


def _distant(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 4, 3, 2, 5, scale=2.0), normal(g, dt, 4, 3, 2, 5, scale=2.0)))


def _probable_regions(g: Generator, dt: dtype) -> Call:
    return Call((uniform(g, dt, 4, 3, 2, 5), labels(g, 2, 4, 3, 2, 5)))


def _lists(g: Generator, dt: dtype) -> Call:
    """Grades: some candidates are equally relevant."""
    return Call((normal(g, dt, 6, 5), labels(g, 4, 6, 5)))


def _preferred(g: Generator, dt: dtype) -> Call:
    return Call(tuple(_below_zero(g, dt, 6) for _ in range(2)))


def _rewarded(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6), normal(g, dt, 6)))


def _preferred_beside_references(g: Generator, dt: dtype) -> Call:
    return Call(tuple(_below_zero(g, dt, 6) for _ in range(4)))


def _liked(g: Generator, dt: dtype) -> Call:
    return Call((_below_zero(g, dt, 6), _below_zero(g, dt, 6), labels(g, 2, 6)))


def _tokens(g: Generator, dt: dtype) -> Call:
    return Call((*_old_and_new(g, dt, 6), normal(g, dt, 6, 5)))


def _valued(g: Generator, dt: dtype) -> Call:
    old = normal(g, dt, 6, 5)
    return Call((old + normal(g, dt, 6, 5, scale=0.3), old, old + normal(g, dt, 6, 5, scale=0.5)))


def _answered(g: Generator, dt: dtype) -> Call:
    new, old = _old_and_new(g, dt, 4)
    return Call((new, old, normal(g, dt, 4)), {"ref_logps": old + normal(g, dt, 4, 5, scale=0.3)})


def _below_zero(g: Generator, dt: dtype, *shape: int) -> Tensor:
    return -(normal(g, torch.float64, *shape).abs() + 0.1).to(dt)


def _old_and_new(g: Generator, dt: dtype, count: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities of tokens, with ratios on both sides of the usual bounds."""
    new = _below_zero(g, dt, count, 5)
    return new, new + normal(g, dt, count, 5, scale=0.3)


def _boxes(g: Generator, dt: dtype) -> Call:
    """In some pairs one box lies within the other, some pairs are apart; most overlap."""
    centers, lengths = normal(g, torch.float64, 2, 6, 2), normal(g, torch.float64, 2, 6, 2).exp() + 0.5
    return Call(tuple(torch.cat([centers - lengths / 2, centers + lengths / 2], 2).to(dt)))


def _clouds(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, 3), normal(g, dt, 6, 4, 3)))


def _places(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, scale=3.0), (4 * uniform(g, torch.float64, 6)).to(dt)))


def _images(g: Generator, dt: dtype) -> Call:
    """Images with two positions of a window of 11 pixels."""
    x = uniform(g, torch.float64, 3, 1, 11, 12)
    return Call((x.to(dt), (0.7 * x + 0.3 * uniform(g, torch.float64, 3, 1, 11, 12)).to(dt)))


def _large_images(g: Generator, dt: dtype) -> Call:
    x = uniform(g, torch.float64, 2, 1, 161, 162)
    return Call((x.to(dt), (0.7 * x + 0.3 * uniform(g, torch.float64, 2, 1, 161, 162)).to(dt)))


def _waves(g: Generator, dt: dtype) -> Call:
    x = normal(g, torch.float64, 2, 1100)
    return Call((x.to(dt), (x + 0.5 * normal(g, torch.float64, 2, 1100)).to(dt)))


def _image(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 4, 2, 5, 3),))


#: By form of call, plus data or input if the form alone does not tell; the longest key that fits counts.
_DRAWS: Mapping[tuple[str, ...], Draw] = {
    ("input-target", "values"): _values,
    ("input-target", "values", "log-rates"): _counts,
    ("input-target", "values", "amounts"): _amounts,
    ("input-target", "answers"): _answers,
    ("input-target", "answers", "scores"): _signed,
    ("input-target", "answers", "probabilities"): _probable,
    ("input-shares",): _shares,
    ("input-shares", "classes", "log-probabilities"): _log_shares,
    ("input-target", "distances"): _distances,
    ("input-target", "masks"): _regions,
    ("input-target", "masks", "probabilities"): _probable_regions,
    ("input-target-variance",): _noisy,
    ("input-distances",): _distant,
    ("input-teacher",): _taught,
    ("input-teacher-label",): _taught_labels,
    ("student-teacher",): _related,
    ("input-target-variance", "values", "log-rates"): _scattered,
    ("samples-target",): _sampled,
    ("mean-log-variance",): _codes,
    ("score-time-event",): _lives,
    ("hazards-interval-event",): _intervals,
    ("input-labels",): _label_lists,
    ("input-label",): _classes,
    ("thresholds-label",): _ordered,
    ("input-label", "classes", "log-probabilities"): _log_classes,
    ("input-label", "masks"): _masks,
    ("first-second-target",): _ranked,
    ("first-second-target", "pairs"): _signed_pairs,
    ("pair-target",): _pairs,
    ("pair-grade",): _graded_pairs,
    ("embeddings",): _alone,
    ("embeddings-directions",): _directed,
    ("two-samples",): _two_samples,
    ("embeddings-labels",): _labelled,
    ("embeddings-weight-labels",): _head,
    ("embeddings-centers-labels",): _head,
    ("anchor-positive",): _views,
    ("anchor-positive-negative",): _triplets,
    ("queries-documents",): _texts,
    ("list",): _lists,
    ("chosen-rejected", "tokens"): _preferred,
    ("chosen-rejected", "tokens", "scores"): _rewarded,
    ("chosen-rejected-references",): _preferred_beside_references,
    ("answer-reference-target",): _liked,
    ("tokens-advantages",): _tokens,
    ("tokens-advantages", "tokens", "values"): _valued,
    ("answers-advantages",): _answered,
    ("boxes",): _boxes,
    ("clouds",): _clouds,
    ("input-place",): _places,
    ("image-target",): _images,
    ("large-image-target",): _large_images,
    ("image",): _image,
    ("wave-target",): _waves,
}
