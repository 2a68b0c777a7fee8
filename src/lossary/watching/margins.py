"""How many triplets and pairs of a batch lack their margin, and how many have no gradient."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lossary.kernels.distances import root
from lossary.kernels.measures import Lp
from lossary.losses._batch import compare
from lossary.losses._distance import DistanceName, measure_of
from lossary.losses.pairs.contrastive import ContrastiveLoss, pairs_given, pairs_of_batch
from lossary.losses.triplets.given import TripletMarginLoss
from lossary.losses.triplets.triplet import TripletLoss

#: No distance reaches it, so every triplet lacks it.
UNREACHED = 1e30

Shares = dict[str, float | Tensor]


def shares(loss: nn.Module, inputs: tuple[Any, ...], extra: Mapping[str, Any]) -> Shares:
    """Shares of the triplets or pairs of a call; nothing for other losses, or if a batch has none.

    Weights are ignored, and other ranks count their own items.
    """
    if not isinstance(loss, TripletLoss | TripletMarginLoss | ContrastiveLoss):
        return {}
    given = {name: value for name, value in extra.items() if name not in ("sample_weight", "group")}
    given = {**loss.hyperparameters(), **given, "reduction": "sum"}
    if isinstance(loss, ContrastiveLoss):
        return _pairs(*inputs, **given)
    found = _triplets if isinstance(loss, TripletLoss) else _given_triplets
    return found(type(loss).fn, inputs, given)


def _triplets(fn: Callable[..., Tensor], inputs: tuple[Any, ...], given: Mapping[str, Any]) -> Shares:
    """Violations among all triplets, whichever are mined; idle ones among those in the mean."""
    lacking = _lacking(fn, inputs, {**given, "mining": "all", "average": "all"})
    of_active = given["mining"] == "all" and given["average"] == "active" and given.get("triplets") is None
    # A soft margin gives every triplet a gradient.
    mined = None if given["margin"] is None or of_active else _lacking(fn, inputs, given)
    return _known({"margin_violations": lacking, "idle_tuples": None if mined is None else 1 - mined})


def _given_triplets(fn: Callable[..., Tensor], inputs: tuple[Any, ...], given: Mapping[str, Any]) -> Shares:
    lacking = _lacking(fn, inputs, given)
    return _known({"margin_violations": lacking, "idle_tuples": None if lacking is None else 1 - lacking})


def _lacking(fn: Callable[..., Tensor], inputs: tuple[Any, ...], given: Mapping[str, Any]) -> Tensor | None:
    """The share of triplets that lack their margin (with a soft margin: that are in the wrong order)."""
    margin = 0.0 if given["margin"] is None else float(given["margin"])
    every = _active(fn, inputs, {**given, "margin": UNREACHED})
    return _active(fn, inputs, {**given, "margin": margin}) / every if every > 0 else None


def _active(fn: Callable[..., Tensor], inputs: tuple[Any, ...], given: Mapping[str, Any]) -> Tensor:
    """How many triplets have a loss above 0: the derivative of the sum of their hinges by the margin."""
    inputs = tuple(t.detach() if isinstance(t, Tensor) else t for t in inputs)
    margin = torch.tensor(given["margin"], device=inputs[0].device, requires_grad=True)
    with torch.enable_grad():
        loss = fn(*inputs, **{**given, "margin": margin})
    if not loss.requires_grad:
        return torch.zeros_like(margin)
    return torch.autograd.grad(loss, margin, materialize_grads=True)[0]


def _pairs(
    x1: Tensor,
    x2: Tensor | None,
    target: Tensor | None = None,
    *,
    margin: float | Tensor,
    similar_label: int,
    distance: DistanceName | Lp = "euclidean",
    pairs: tuple[Tensor, Tensor] | None = None,
    mask: Tensor | None = None,
    **of_batch: Any,
) -> Shares:
    """Violations among dissimilar pairs; idle ones among all pairs."""
    if target is not None:
        squared, similar, counted = pairs_given(x1, x2, target, similar_label, mask, measure=measure_of(distance))
    else:
        relations: dict[str, Any] = {
            name: of_batch.get(name) for name in ("positives", "ids", "ref_embeddings", "ref_labels")
        }
        squared, similar, counted = pairs_of_batch(compare(x1, x2, mask=mask, **relations), pairs, measure_of(distance))
    if counted is not None:
        squared, similar = squared[counted], similar[counted]
    near = root(squared) < margin
    violations, idle = near[~similar], torch.where(similar, squared == 0, ~near)
    found = {"margin_violations": violations, "idle_tuples": idle}
    return _known({name: of.float().mean() if of.numel() else None for name, of in found.items()})


def _known(found: Mapping[str, Tensor | None]) -> Shares:
    return {name: share for name, share in found.items() if share is not None}
