"""What is fuzzed: the cards, and which arguments a loss takes. Nothing else here asks a card."""

import functools
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

import samples
from lossary.catalogue import CATALOGUE
from lossary.core.card import Card, Choice, Range
from lossary.core.loss import HeadLoss
from lossary.testing import Call

CARDS: dict[str, Card] = {card.name: card for card in CATALOGUE}


@dataclass(frozen=True)
class Slot:
    """A positional argument: what its numbers are, and its dimensions by letter.

    N items, C classes, D components, E any shape, S none to two more dimensions; 4 of a box, I of a small
    image, L of a large one, T of a signal; ``()`` is a scalar.
    """

    domain: str
    axes: str


def slots(*pairs: str) -> tuple[Slot, ...]:
    return tuple(Slot(*pair.split(":")) for pair in pairs)


#: By the card's kind of data; each a choice of forms in which the loss may be called.
_OF_DATA: dict[str, tuple[tuple[Slot, ...], ...]] = {
    "values": (slots("real:E", "number:E"),),
    "answers": (slots("real:E", "truth:E"),),
    "classes": (slots("real:NCS", "index:NS"), slots("real:NC", "index:N"), slots("real:NC", "soft:NC")),
    "identities": (slots("real:ND", "identity:N"),),
    "views": (slots("real:ND", "real:ND"),),
    "triplets": (slots("real:ND", "real:ND", "real:ND"),),
    "lists": (slots("real:NC", "grade:NC"),),
    "tokens": (slots("log_probability:N", "log_probability:N"),),
    "masks": (slots("real:NCS", "index:NS"),),
    "boxes": (slots("real:N4", "number:N4"),),
    "points": (slots("real:NUD", "real:NUD"),),
    "images": (slots("probability:NI", "probability:NI"),),
    "waves": (slots("probability:NT", "probability:NT"),),  # of louder ones float32 has noise above the least magnitude
}
_HEAD = (slots("real:ND", "real:CD", "index:N"),)
_REGIONS = (slots("real:NCS", "yes:NCS"),)
#: Losses that take something else than others of their data.
_OF_LOSS: dict[str, tuple[tuple[Slot, ...], ...]] = {
    "poisson_nll_loss": (slots("real:E", "count:E"),),
    "cox_ph_loss": (slots("real:N", "identity:N", "yes:N"),),
    "weibull_nll_loss": (slots("real:N", "variance:N", "yes:N"),),
    "logistic_hazard_loss": (slots("real:NC", "index:N", "yes:N"),),
    "boundary_loss": (slots("real:NCS", "real:NCS"),),
    "sigmoid_boundary_loss": (slots("real:NCS", "real:NCS"),),
    "sigmoid_hausdorff_dt_loss": (slots("real:NCS", "yes:NCS"),),
    "cl_dice_loss": (slots("real:NCS", "index:NS"),),
    "sigmoid_cl_dice_loss": (slots("real:NCS", "yes:NCS"),),
    "kl_gaussian_loss": (slots("real:ND", "real:ND"),),
    "tweedie_loss": (slots("real:E", "count:E"),),
    "negative_binomial_nll_loss": (slots("real:E", "count:E", "variance:E"),),
    "gaussian_crps_loss": (slots("real:E", "number:E", "variance:E"),),
    "ensemble_crps_loss": (slots("real:ND", "number:N"),),
    "gaussian_nll_loss": (slots("real:E", "number:E", "variance:E"),),
    "binary_cross_entropy": (slots("probability:E", "truth:E"),),
    "soft_margin_loss": (slots("real:E", "sign:E"),),
    "hinge_loss": (slots("real:E", "sign:E"),),
    "squared_hinge_loss": (slots("real:E", "sign:E"),),
    "auc_margin_loss": (slots("real:NC", "sign:NC"), slots("real:N", "sign:N")),
    "multilabel_soft_margin_loss": (slots("real:NC", "truth:NC"),),
    "multilabel_margin_loss": (slots("real:NC", "places:NC"),),
    "distillation_loss": (slots("real:NC", "real:NC"),),
    "decoupled_distillation_loss": (slots("real:NC", "real:NC", "index:N"),),
    "jensen_shannon_loss": (slots("real:NC", "real:NC"),),
    "koleo_loss": (slots("real:ND"),),
    "flops_loss": (slots("real:ND"),),
    "sigreg_loss": (slots("real:ND", "real:CD"),),
    "mmd_loss": (slots("real:ND", "real:CD"),),
    "colbert_loss": (slots("real:NUD", "real:NUD"),),
    "rkd_distance_loss": (slots("real:ND", "real:ND"),),
    "rkd_angle_loss": (slots("real:ND", "real:ND"),),
    "coral_loss": (slots("real:NC", "index:N"),),
    "corn_loss": (slots("real:NC", "index:N"),),
    "earth_mover_loss": (slots("real:NCS", "index:NS"),),
    "nll_loss": (slots("log_probability:NCS", "index:NS"), slots("log_probability:NC", "index:N")),
    "multi_margin_loss": (slots("real:NC", "index:N"),),
    "triplet_loss": (slots("real:ND", "identity:N"),),
    "hinge_embedding_loss": (slots("distance:E", "sign:E"),),
    "cosine_embedding_loss": (slots("real:ND", "real:ND", "sign:N"),),
    "kl_divergence_loss": (slots("real:NCS", "distribution:NCS"),),
    "kl_div": (slots("log_probability:E", "probability:E"),),
    "contrastive_loss": (slots("real:ND", "real:ND", "yes:N"), slots("real:ND", "identity:N")),
    "margin_ranking_loss": (slots("real:E", "real:E", "sign:E"),),
    "margin_mse_loss": (slots("real:E", "real:E", "number:E"),),
    "cosent_loss": (slots("real:ND", "real:ND", "identity:N"),),
    "angle_loss": (slots("real:ND", "real:ND", "identity:N"),),
    "dcl_loss": (slots("real:ND", "real:ND"), slots("real:ND", "identity:N")),
    "lambda_loss": (slots("real:NC", "count:NC"),),
    "approx_ndcg_loss": (slots("real:NC", "count:NC"),),
    "ge2e_loss": (slots("real:ND", "identity:N"), slots("real:NUD")),
    "center_loss": _HEAD,
    "varifocal_loss": (slots("real:E", "yes:E"),),
    "ms_ssim_loss": (slots("probability:NL", "probability:NL"),),
    "total_variation": (slots("real:NI"),),
    "distribution_focal_loss": (slots("real:NC", "truth:N"),),
    "dpo_loss": (slots("log_probability:N", "log_probability:N", "constant:N", "constant:N"),),
    "ipo_loss": (slots("log_probability:N", "log_probability:N", "constant:N", "constant:N"),),
    "kto_loss": (slots("log_probability:N", "constant:N", "yes:N"),),
    "bradley_terry_loss": (slots("real:N", "real:N"),),
    "ppo_value_loss": (slots("real:NC", "constant:NC", "constant:NC"),),
    "ppo_clip_loss": (slots("log_probability:NC", "constant:NC", "constant:NC"),),
    "grpo_loss": (slots("log_probability:NC", "constant:NC", "constant:N"),),
}


def forms(card: Card) -> tuple[tuple[Slot, ...], ...]:
    """The ways to call the loss by position; the first is that of the card's own batches."""
    if card.name in _OF_LOSS:
        return _OF_LOSS[card.name]
    if issubclass(card.module, HeadLoss):
        return _HEAD
    if card.data == "masks" and (card.name.startswith("sigmoid") or card.name == "lovasz_hinge_loss"):
        return _REGIONS
    return _OF_DATA[card.data]


def given(card: Card, call: Call) -> tuple[Slot, ...]:
    """The slots of one of the card's own batches."""
    found = forms(card)
    target = call.args[-1]
    floating = isinstance(target, torch.Tensor) and target.is_floating_point()
    fitting = [f for f in found if len(f) == len(call.args) and f[-1].domain not in ("soft",)]
    fitting = [f for f in fitting if floating or f[-1].domain != "real"] or fitting
    form = (fitting or [found[0]])[0]
    form += (Slot("real", "MD"),) * (len(call.args) - len(form))  # negatives, by position
    if form[-1].domain == "index" and floating:
        return (*form[:-1], Slot("soft", form[0].axes))
    return form


@functools.cache
def batches(name: str, dtype: torch.dtype) -> tuple[Call, ...]:
    """The card's placed batches."""
    return samples.of(CARDS[name]).edges(dtype)


@functools.cache
def fields(name: str) -> Mapping[str, tuple[Any, tuple[Any, ...]]]:
    """The hyperparameters of a loss: name -> its default, and the types or values that its hint allows."""
    module = CARDS[name].module
    hints = typing.get_type_hints(module)
    own = {n: d for n, d in module.fields.items() if n not in HeadLoss.fields}
    return {n: (default, typing.get_args(hints[n]) or (hints[n],)) for n, default in own.items()}


def bears_torchs_name(card: Card) -> bool:
    """Such a loss returns torch's dtype, and is compared with torch's own function too."""
    return hasattr(F, card.name)


__all__ = [
    "CARDS",
    "Call",
    "Card",
    "Choice",
    "Range",
    "Slot",
    "batches",
    "bears_torchs_name",
    "fields",
    "forms",
    "given",
]
