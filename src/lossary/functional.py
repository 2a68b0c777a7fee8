"""The loss functions, each under its own name: at torch's names and defaults, torch's results."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from lossary.catalogue import CATALOGUE, WITHOUT_CARD

if TYPE_CHECKING:
    # isort: off
    # begin: written by `make docs`
    from lossary.losses.angular import arcface_loss as arcface_loss
    from lossary.losses.angular import cosface_loss as cosface_loss
    from lossary.losses.angular import normalized_softmax_loss as normalized_softmax_loss
    from lossary.losses.binary import balanced_bce_loss as balanced_bce_loss
    from lossary.losses.binary import binary_cross_entropy as binary_cross_entropy
    from lossary.losses.binary import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
    from lossary.losses.binary import sigmoid_focal_loss as sigmoid_focal_loss
    from lossary.losses.center import center_loss as center_loss
    from lossary.losses.center import ge2e_loss as ge2e_loss
    from lossary.losses.compound import dice_cross_entropy_loss as dice_cross_entropy_loss
    from lossary.losses.compound import dice_focal_loss as dice_focal_loss
    from lossary.losses.compound import sigmoid_dice_cross_entropy_loss as sigmoid_dice_cross_entropy_loss
    from lossary.losses.compound import sigmoid_dice_focal_loss as sigmoid_dice_focal_loss
    from lossary.losses.contrastive import contrastive_loss as contrastive_loss
    from lossary.losses.divergence import kl_div as kl_div
    from lossary.losses.divergence import kl_divergence_loss as kl_divergence_loss
    from lossary.losses.hinge import crammer_singer_loss as crammer_singer_loss
    from lossary.losses.hinge import hinge_loss as hinge_loss
    from lossary.losses.hinge import multiclass_hinge_loss as multiclass_hinge_loss
    from lossary.losses.hinge import squared_hinge_loss as squared_hinge_loss
    from lossary.losses.likelihood import ctc_loss as ctc_loss
    from lossary.losses.likelihood import gaussian_nll_loss as gaussian_nll_loss
    from lossary.losses.likelihood import poisson_nll_loss as poisson_nll_loss
    from lossary.losses.linear import linear_cross_entropy as linear_cross_entropy
    from lossary.losses.listwise import approx_ndcg_loss as approx_ndcg_loss
    from lossary.losses.listwise import lambda_loss as lambda_loss
    from lossary.losses.listwise import listmle_loss as listmle_loss
    from lossary.losses.listwise import listnet_loss as listnet_loss
    from lossary.losses.listwise import ranknet_loss as ranknet_loss
    from lossary.losses.lovasz import lovasz_hinge_loss as lovasz_hinge_loss
    from lossary.losses.lovasz import lovasz_softmax_loss as lovasz_softmax_loss
    from lossary.losses.lovasz import sigmoid_lovasz_loss as sigmoid_lovasz_loss
    from lossary.losses.margin import cosine_embedding_loss as cosine_embedding_loss
    from lossary.losses.margin import hinge_embedding_loss as hinge_embedding_loss
    from lossary.losses.margin import multi_margin_loss as multi_margin_loss
    from lossary.losses.modalities import clip_loss as clip_loss
    from lossary.losses.modalities import siglip_loss as siglip_loss
    from lossary.losses.multiclass import cross_entropy as cross_entropy
    from lossary.losses.multiclass import focal_loss as focal_loss
    from lossary.losses.multiclass import nll_loss as nll_loss
    from lossary.losses.multilabel import multilabel_margin_loss as multilabel_margin_loss
    from lossary.losses.multilabel import multilabel_soft_margin_loss as multilabel_soft_margin_loss
    from lossary.losses.multilabel import soft_margin_loss as soft_margin_loss
    from lossary.losses.overlap import dice_loss as dice_loss
    from lossary.losses.overlap import jaccard_loss as jaccard_loss
    from lossary.losses.overlap import sigmoid_dice_loss as sigmoid_dice_loss
    from lossary.losses.overlap import sigmoid_jaccard_loss as sigmoid_jaccard_loss
    from lossary.losses.overlap import sigmoid_tversky_loss as sigmoid_tversky_loss
    from lossary.losses.overlap import tversky_loss as tversky_loss
    from lossary.losses.poly import poly_focal_loss as poly_focal_loss
    from lossary.losses.poly import poly_loss as poly_loss
    from lossary.losses.poly import sigmoid_poly_focal_loss as sigmoid_poly_focal_loss
    from lossary.losses.ranking import margin_ranking_loss as margin_ranking_loss
    from lossary.losses.regression import l1_loss as l1_loss
    from lossary.losses.regression import mean_bias_error as mean_bias_error
    from lossary.losses.regression import mse_loss as mse_loss
    from lossary.losses.regression import quantile_loss as quantile_loss
    from lossary.losses.retrieval import info_nce_loss as info_nce_loss
    from lossary.losses.retrieval import multiple_negatives_ranking_loss as multiple_negatives_ranking_loss
    from lossary.losses.retrieval import n_pair_loss as n_pair_loss
    from lossary.losses.robust import huber_loss as huber_loss
    from lossary.losses.robust import log_cosh_loss as log_cosh_loss
    from lossary.losses.robust import smooth_l1_loss as smooth_l1_loss
    from lossary.losses.similarity import multi_similarity_loss as multi_similarity_loss
    from lossary.losses.sphereface import combined_margin_loss as combined_margin_loss
    from lossary.losses.sphereface import sphereface_loss as sphereface_loss
    from lossary.losses.supcon import nt_xent_loss as nt_xent_loss
    from lossary.losses.supcon import supcon_loss as supcon_loss
    from lossary.losses.triplet import triplet_loss as triplet_loss
    from lossary.losses.triplet import triplet_margin_loss as triplet_margin_loss
    from lossary.losses.triplet import triplet_margin_with_distance_loss as triplet_margin_with_distance_loss

    a_softmax_loss = sphereface_loss
    aam_softmax_loss = arcface_loss
    am_softmax_loss = cosface_loss
    generalized_end_to_end_loss = ge2e_loss
    mae_loss = l1_loss
    mnr_loss = multiple_negatives_ranking_loss
    normface_loss = normalized_softmax_loss
    # end
    # isort: on

_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    **{fn.__name__: fn for fn in WITHOUT_CARD},
    **{name: card.fn for card in CATALOGUE for name in (card.name, *(a for a in card.aliases if a.islower()))},
}


if not TYPE_CHECKING:  # to a type checker it would mean that there is every name

    def __getattr__(name: str) -> Callable[..., Tensor]:
        if name not in _FUNCTIONS:
            raise AttributeError(f"module 'lossary.functional' has no attribute {name!r}")
        return _FUNCTIONS[name]


def __dir__() -> list[str]:
    return sorted(_FUNCTIONS)
