"""Watch losses in any training loop: hooks measure what goes in and which gradient comes out.

The losses know nothing about it. :mod:`lossary.watching.advice` says what the numbers mean.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

import torch
from torch import Tensor, nn

from lossary.catalogue import CATALOGUE, publish
from lossary.core.card import Card
from lossary.core.loss import HeadLoss
from lossary.kernels.modes import plain_only
from lossary.kernels.stable import unit
from lossary.losses.identities.angular import ArcFaceLoss, CosFaceLoss
from lossary.watching.advice import advice
from lossary.watching.margins import shares

__all__ = ["Watch", "watch"]

#: Rows sampled from each batch, evenly spaced: one batch then shows a share to about 3 points.
SAMPLE = 256
#: A row whose gradient is this much shorter than the batch's longest counts as having none.
NEGLIGIBLE = 1e-4
#: Rows of a class needed to compare its mean gradient with others: a few hard rows make most of the mean.
ENOUGH_ROWS = 30

_CARDS: dict[type[nn.Module], Card] = {card.module: card for card in CATALOGUE}


class Watch:
    """What is measured while the ``with`` block of :func:`watch` runs, and what it means."""

    def __init__(self, losses: Mapping[str, nn.Module]) -> None:
        self._seen = {name: _Seen(loss, _CARDS[type(loss)]) for name, loss in losses.items()}
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        self._handles = [handle for seen in self._seen.values() for handle in seen.hooks()]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def facts(self) -> dict[str, dict[str, float]]:
        """For each loss, by name: means over batches of what was measured; see ``lossary.watching.advice.FACTS``."""
        return {name: seen.facts() for name, seen in self._seen.items()}

    def advice(self) -> str:
        """What is wrong or worth a look, one sentence per line; with several losses, each line begins with its loss."""
        found = self.facts()
        if not any(found.values()):
            return "No batch was seen: the loss was not called with gradients on inside the block."
        lines = [
            f"{name}: {sentence}" if len(found) > 1 else sentence
            for name, facts in found.items()
            for sentence in advice(facts)
        ]
        return "\n".join(lines) or "Nothing out of the ordinary."


def watch(loss: nn.Module) -> Watch:
    """Watch a loss, or every loss of the catalogue inside a module, while a ``with`` block runs.

    A sample of rows of each batch is measured; values and gradients in training stay the same, to the bit. Fetching
    each batch's numbers makes the device wait: watch some epochs, not all. What ``torch.compile`` made is not seen.

    Args:
        loss: A loss Module, or a module that contains some.

    Returns:
        A context manager. Its ``advice()`` is text, its ``facts()`` the numbers behind it.

    Raises:
        TypeError: What is not a Module.
        ValueError: A Module without a loss of the catalogue.

    Example:
        >>> import lossary
        >>> loss = lossary.NormalizedSoftmaxLoss(num_classes=100, embedding_size=32, scale=1.0)
        >>> embeddings = torch.randn(64, 32, requires_grad=True)
        >>> with watch(loss) as w:
        ...     loss(embeddings, torch.arange(64)).backward()
        >>> print(w.advice())  # doctest: +ELLIPSIS
        A scale of 1 is too small for 100 classes: even perfectly placed ones would get a probability of 0.027. ...
    """
    if not isinstance(loss, nn.Module):
        raise TypeError(f"loss: wanted a loss Module; got {type(loss).__name__}")
    found = {name or type(loss).__name__: part for name, part in loss.named_modules() if type(part) in _CARDS}
    if not found:
        raise ValueError(f"loss: wanted a loss of the catalogue, or a module with one in it; got {type(loss).__name__}")
    return Watch(found)


class _Seen:
    """Sums over the batches of one loss."""

    def __init__(self, loss: nn.Module, card: Card) -> None:
        self.loss, self.card = loss, card
        self.values: dict[str, list[float]] = defaultdict(list)
        self.of_class: dict[int, list[float]] = defaultdict(list)  # gradient norms of the class's rows

    def hooks(self) -> list[Any]:
        return [
            self.loss.register_forward_pre_hook(self._before, with_kwargs=True),
            self.loss.register_forward_hook(self._after),
        ]

    def facts(self) -> dict[str, float]:
        facts = {name: sum(values) / len(values) for name, values in self.values.items()}
        of_class = {label: sum(n) / len(n) for label, n in self.of_class.items() if len(n) >= ENOUGH_ROWS}
        if len(of_class) > 1 and min(of_class.values()) > 0:
            most, least = max(of_class, key=of_class.__getitem__), min(of_class, key=of_class.__getitem__)
            facts["class_gradient_ratio"] = of_class[most] / of_class[least]
            facts |= {"class_of_most_gradient": most, "class_of_least_gradient": least}
        return facts

    def _add(self, facts: Mapping[str, float | Tensor]) -> None:
        for name, value in facts.items():
            self.values[name].append(float(value))

    def _before(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
        if not args or not isinstance(args[0], Tensor) or not _watchable():
            return None
        x, target = args[0], args[1] if len(args) > 1 and isinstance(args[1], Tensor) else None
        if x.numel() == 0:
            return None
        batch = _Batch(self.loss, self.card, x, target, kwargs.get("mask"))
        with torch.no_grad():
            self._add(batch.facts())
            with suppress(TypeError, ValueError, IndexError):  # the loss itself will refuse such arguments
                self._add(shares(self.loss, args, kwargs))
        if not x.requires_grad:
            return None
        # A view of the input, so that only this loss's gradient is seen.
        view = x.view_as(x)
        view.register_hook(lambda grad: self._backward(batch, grad.detach()))
        return (view, *args[1:]), kwargs

    def _after(self, _: nn.Module, __: Any, value: Any) -> None:
        if isinstance(value, Tensor) and value.dim() == 0 and _watchable():
            self._add({"loss": value.detach()})

    def _backward(self, batch: "_Batch", grad: Tensor) -> None:
        norms = batch.rows(grad).float().norm(dim=-1)
        labels = batch.labels
        if batch.counted is not None:
            norms, labels = norms[batch.counted], None if labels is None else labels[batch.counted]
        if not len(norms):
            return
        finite = bool(norms.isfinite().all())
        self._add({"not_finite": not finite})
        if finite:
            most = norms.max()
            self._add({"idle_rows": (norms <= NEGLIGIBLE * most).float().mean(), "idle_batches": most == 0})
            for label, norm in zip(
                [] if labels is None else labels.tolist(), norms.tolist(), strict=labels is not None
            ):
                self.of_class[label].append(norm)


class _Batch:
    """A sample of a batch's rows: each has scores of all classes, an embedding, or a single number (an element)."""

    def __init__(self, loss: nn.Module, card: Card, x: Tensor, target: Tensor | None, mask: Tensor | None) -> None:
        self.loss, self.card, self.x, self.target = loss, card, x.detach(), target
        self.scores = not {"input-label", "input-shares"}.isdisjoint(card.takes)
        self.elements = not self.scores and (card.item == "element" or card.data in ("values", "answers", "masks"))
        # Without a batch, (C,), the class dimension is the first.
        self.dim = (getattr(loss, "dim", 1) if x.dim() > 1 else 0) if self.scores else -1
        self.shape = x.shape if self.elements else x.movedim(self.dim, -1).shape[:-1]
        count = self.shape.numel()
        every = torch.arange(0, count, max(1, -(-count // SAMPLE)), device=x.device)
        self.index = torch.unravel_index(every, self.shape) if len(self.shape) else ()
        self.labels = self._labels()
        self.counted = self._counted(mask)

    def rows(self, x: Tensor) -> Tensor:
        """The sampled rows, (n, width), of a tensor of the input's shape."""
        x = x.unsqueeze(-1) if self.elements else x.movedim(self.dim, -1)
        return x[self.index] if self.index else x[None]

    def _labels(self) -> Tensor | None:
        """The class indices of the sampled rows, (n,), if the target holds them."""
        t = self.target
        if t is None or self.elements or t.dtype.is_floating_point or t.dtype == torch.bool or t.shape != self.shape:
            return None
        return (t[self.index] if self.index else t[None]).long()

    def _counted(self, mask: Tensor | None) -> Tensor | None:
        counted = mask[self.index] if mask is not None and self.index and mask.shape == self.shape else None
        ignored = getattr(self.loss, "ignore_index", None)
        if self.labels is None or ignored is None:
            return counted
        return self.labels != ignored if counted is None else counted & (self.labels != ignored)

    def facts(self) -> dict[str, float | Tensor]:
        rows = self.rows(self.x).float()
        if self.counted is not None:
            rows = rows[self.counted]
        labels = self.labels if self.labels is None or self.counted is None else self.labels[self.counted]
        if not len(rows):
            return {}
        if self.scores:
            return self._of_scores(rows, labels)
        if self.elements:
            return self._of_elements(rows[:, 0])
        if self.card.data in ("lists", "boxes", "points", "images", "waves"):
            return {}  # scores of candidates, corners, pixels: neither an embedding nor classes
        facts = _of_embeddings(rows, labels)
        if isinstance(self.loss, HeadLoss):
            facts |= self._of_head(rows, labels)
        return facts | self._of_labels()

    def _of_scores(self, scores: Tensor, labels: Tensor | None) -> dict[str, float | Tensor]:
        classes, target = scores.shape[1], self.target
        facts: dict[str, float | Tensor] = {
            "classes": classes,
            "float_labels": target is not None and target.shape == self.shape and _whole_floats(target),
        }
        known = labels if labels is not None and _within(labels, classes) else None
        if (margin := getattr(self.loss, "margin", None)) is not None:
            return facts | _missing(scores, known, margin)
        if getattr(self.loss, "input_kind", "logits") != "logits":
            return facts
        near_one = (scores.sum(1) - 1).abs().max() < 1e-3
        facts["rows_sum_to_one"] = classes > 1 and bool(near_one & (scores >= 0).all())
        facts["scores_within_one"] = scores.abs().max() <= 1
        return facts if known is None else facts | {"target_probability": _probability(scores, known)}

    def _of_elements(self, x: Tensor) -> dict[str, float | Tensor]:
        target = self.target
        if target is None or target.shape != self.x.shape:
            return {}
        t = (target[self.index] if self.index else target[None]).float()
        t = t if self.counted is None else t[self.counted]
        if self.card.input == "values":
            whole = bool(((t == t.round()) & (t >= 0)).all()) and bool((t > 1).any())
            return {"whole_targets": whole}
        if self.card.data not in ("answers", "masks") or self.card.item == "row":
            return {}
        # Targets are 0 and 1, or -1 and 1.
        if (margin := getattr(self.loss, "margin", None)) is not None:
            return {"margin_violations": (torch.where(t > 0.5, x, -x) < margin).float().mean()}
        logits = self.card.input == "logits"
        p = x.sigmoid() if logits else x
        facts: dict[str, float | Tensor] = {"target_probability": torch.where(t > 0.5, p, 1 - p).mean()}
        return facts | ({"logits_within_zero_one": bool(((x >= 0) & (x <= 1)).all())} if logits else {})

    def _of_head(self, rows: Tensor, labels: Tensor | None) -> dict[str, float | Tensor]:
        loss = self.loss
        assert isinstance(loss, HeadLoss)
        scale = getattr(loss, "scale", None)
        facts: dict[str, float | Tensor] = {"classes": loss.num_classes}
        if scale is None or not getattr(loss, "normalize_embeddings", True):
            return facts  # the length of each embedding is its scale
        scale = torch.as_tensor(scale, dtype=rows.dtype, device=rows.device)
        facts["scale"] = scale.mean()
        if labels is None or not _within(labels, loss.num_classes) or scale.dim():
            return facts
        cosines = loss.get_logits(rows.to(loss.weight.dtype)).float()
        facts["target_probability"] = _probability(scale * cosines, labels)
        if isinstance(loss, CosFaceLoss):
            facts |= _missing(cosines, labels, loss.margin)
        elif isinstance(loss, ArcFaceLoss):
            facts |= _missing(-cosines.clamp(-1, 1).acos(), labels, loss.margin)
        return facts

    def _of_labels(self) -> dict[str, float | Tensor]:
        """From all items, not the sample: what is alone in a sample may have company in the batch."""
        t = self.target
        if t is None or t.dim() != 1 or len(t) < 2:
            return {}
        if self.card.input == "embeddings" and t.dtype.is_floating_point:
            return {"float_labels": _whole_floats(t)}
        if self.card.item != "anchor" and "positives" not in self.card.at_call:
            return {}
        _, counts = t.unique(return_counts=True)
        return {"without_positive": (counts == 1).sum() / len(t), "one_label": len(counts) == 1}


def _of_embeddings(x: Tensor, labels: Tensor | None) -> dict[str, float | Tensor]:
    norms = x.norm(dim=1)
    facts: dict[str, float | Tensor] = {"norm": norms.mean()}
    n, size = x.shape
    if n < 2 or size < 2:
        return facts
    u = unit(x)
    facts["norm_spread"] = norms.std() / norms.mean().clamp_min(torch.finfo(norms.dtype).tiny)
    facts["cosine"] = (u.sum(0).square().sum() - u.square().sum()) / (n * (n - 1))
    centred = u - u.mean(0)
    # sum(s^2)^2 / sum(s^4) from the smaller Gram matrix: no decomposition.
    gram = centred @ centred.T if n < size else centred.T @ centred
    facts["effective_rank"] = gram.trace().square() / gram.square().sum().clamp_min(torch.finfo(gram.dtype).tiny)
    classes = n if labels is None else len(labels.unique())
    facts["possible_rank"] = min(n - 1, size, max(1, classes - 1))
    return facts


def _missing(scores: Tensor, labels: Tensor | None, margin: float | Tensor) -> dict[str, float | Tensor]:
    """How often the true class does not lead the best other class by the margin; nothing without labels."""
    if labels is None:
        return {}
    own = scores.gather(1, labels[:, None])
    others = scores.scatter(1, labels[:, None], -torch.inf)
    return {"margin_violations": (own[:, 0] - others.max(1).values < margin).float().mean()}


def _probability(scores: Tensor, labels: Tensor) -> Tensor:
    """The mean probability of the true class."""
    return scores.softmax(1).gather(1, labels[:, None]).mean()


def _whole_floats(target: Tensor) -> bool:
    return target.dtype.is_floating_point and bool((target == target.round()).all())


def _within(labels: Tensor, classes: int) -> bool:
    return bool(((labels >= 0) & (labels < classes)).all())


def _watchable() -> bool:
    """Whether this is training in ordinary eager mode, where values can be read."""
    return torch.is_grad_enabled() and not plain_only()


publish(sys.modules[__name__])
