"""Formulas as their papers have them, for losses on which faults are planted; number by number, in mpmath's digits."""

from collections.abc import Callable
from typing import Any

from mpmath import acos, cos, exp, log, log1p, mpf, pi, sin, sqrt

Data = Any


def mean(numbers: list[Any]) -> Any:
    return sum(numbers) / len(numbers)


def cosine(a: Data, b: Data) -> Any:
    lengths = [sqrt(sum(x * x for x in v)) for v in (a, b)]
    return sum(x * y for x, y in zip(a, b, strict=True)) / (lengths[0] * lengths[1]) if min(lengths) else mpf(0)


def of_margins(scores: Callable[[Any], Any], scale: int) -> Callable[..., Any]:
    """Cross-entropy of scaled cosines, where the right one is changed."""

    def formula(embeddings: Data, weight: Data, labels: list[int]) -> Any:
        losses = []
        for x, label in zip(embeddings, labels, strict=True):
            cosines = [cosine(x, w) for w in weight]
            z = [scale * (scores(c) if i == label else c) for i, c in enumerate(cosines)]
            losses.append(log(sum(exp(s - z[label]) for s in z)))
        return mean(losses)

    return formula


def arc(c: Any) -> Any:
    theta = acos(max(min(c, mpf(1)), mpf(-1)))
    margin = mpf("0.5")
    return cos(theta + margin) if theta + margin <= pi else c - sin(margin) * margin


def mse(x: Data, y: Data) -> Any:
    return mean([(a - b) ** 2 for r, s in zip(x, y, strict=True) for a, b in zip(r, s, strict=True)])


def log_cosh(x: Data, y: Data) -> Any:
    gaps = [abs(a - b) for r, s in zip(x, y, strict=True) for a, b in zip(r, s, strict=True)]
    return mean([d + log1p(exp(-2 * d)) - log(2) for d in gaps])


def triplet_hard(embeddings: Data, labels: list[int]) -> Any:
    """Batch-hard with a soft margin, over the anchors that have both."""
    losses = []
    for i, x in enumerate(embeddings):
        far = [sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True))) for y in embeddings]
        same = [d for j, d in enumerate(far) if labels[j] == labels[i] and j != i]
        other = [d for j, d in enumerate(far) if labels[j] != labels[i]]
        if same and other:
            losses.append(log1p(exp(max(same) - min(other))))
    return mean(losses) if losses else mpf(0)


FORMULAS: dict[str, Callable[..., Any]] = {
    "cosface_loss": of_margins(lambda c: c - mpf("0.35"), 64),
    "arcface_loss": of_margins(arc, 64),
    "mse_loss": mse,
    "log_cosh_loss": log_cosh,
    "triplet_loss": triplet_hard,
}
