"""The loss functions by name; under torch's names and defaults they return torch's results."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from lossary.catalogue import CATALOGUE, HELPERS, WITHOUT_CARD

if TYPE_CHECKING:
    # isort: off
    # begin: written by `make docs`
    from lossary.compose.linear import linear_cross_entropy as linear_cross_entropy
    from lossary.losses.answers.asymmetric import asymmetric_loss as asymmetric_loss
    from lossary.losses.answers.binary import balanced_bce_loss as balanced_bce_loss
    from lossary.losses.answers.binary import binary_cross_entropy as binary_cross_entropy
    from lossary.losses.answers.binary import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
    from lossary.losses.answers.focal import sigmoid_focal_loss as sigmoid_focal_loss
    from lossary.losses.answers.focal import sigmoid_poly_focal_loss as sigmoid_poly_focal_loss
    from lossary.losses.answers.margin import hinge_loss as hinge_loss
    from lossary.losses.answers.margin import multilabel_margin_loss as multilabel_margin_loss
    from lossary.losses.answers.margin import multilabel_soft_margin_loss as multilabel_soft_margin_loss
    from lossary.losses.answers.margin import soft_margin_loss as soft_margin_loss
    from lossary.losses.answers.margin import squared_hinge_loss as squared_hinge_loss
    from lossary.losses.answers.quality import quality_focal_loss as quality_focal_loss
    from lossary.losses.answers.quality import varifocal_loss as varifocal_loss
    from lossary.losses.answers.ranking import auc_margin_loss as auc_margin_loss
    from lossary.losses.boxes.iou import complete_iou_loss as complete_iou_loss
    from lossary.losses.boxes.iou import distance_iou_loss as distance_iou_loss
    from lossary.losses.boxes.iou import distribution_focal_loss as distribution_focal_loss
    from lossary.losses.boxes.iou import generalized_iou_loss as generalized_iou_loss
    from lossary.losses.boxes.iou import iou_loss as iou_loss
    from lossary.losses.classes.distillation import decoupled_distillation_loss as decoupled_distillation_loss
    from lossary.losses.classes.distillation import distillation_loss as distillation_loss
    from lossary.losses.classes.distillation import jensen_shannon_loss as jensen_shannon_loss
    from lossary.losses.classes.divergence import kl_div as kl_div
    from lossary.losses.classes.divergence import kl_divergence_loss as kl_divergence_loss
    from lossary.losses.classes.hinge import crammer_singer_loss as crammer_singer_loss
    from lossary.losses.classes.hinge import multi_margin_loss as multi_margin_loss
    from lossary.losses.classes.hinge import multiclass_hinge_loss as multiclass_hinge_loss
    from lossary.losses.classes.longtail import ldam_loss as ldam_loss
    from lossary.losses.classes.longtail import logit_adjusted_loss as logit_adjusted_loss
    from lossary.losses.classes.noisy import bi_tempered_logistic_loss as bi_tempered_logistic_loss
    from lossary.losses.classes.noisy import generalized_cross_entropy_loss as generalized_cross_entropy_loss
    from lossary.losses.classes.noisy import symmetric_cross_entropy_loss as symmetric_cross_entropy_loss
    from lossary.losses.classes.ordinal import coral_loss as coral_loss
    from lossary.losses.classes.ordinal import corn_loss as corn_loss
    from lossary.losses.classes.ordinal import earth_mover_loss as earth_mover_loss
    from lossary.losses.classes.powers import poly_focal_loss as poly_focal_loss
    from lossary.losses.classes.powers import poly_loss as poly_loss
    from lossary.losses.classes.selective import asymmetric_softmax_loss as asymmetric_softmax_loss
    from lossary.losses.classes.selective import ohem_cross_entropy_loss as ohem_cross_entropy_loss
    from lossary.losses.classes.softmax import cross_entropy as cross_entropy
    from lossary.losses.classes.softmax import focal_loss as focal_loss
    from lossary.losses.classes.softmax import nll_loss as nll_loss
    from lossary.losses.identities.adaptive import adaface_loss as adaface_loss
    from lossary.losses.identities.adaptive import magface_loss as magface_loss
    from lossary.losses.identities.angular import arcface_loss as arcface_loss
    from lossary.losses.identities.angular import cosface_loss as cosface_loss
    from lossary.losses.identities.angular import normalized_softmax_loss as normalized_softmax_loss
    from lossary.losses.identities.centers import center_loss as center_loss
    from lossary.losses.identities.extended import combined_margin_loss as combined_margin_loss
    from lossary.losses.identities.extended import curricularface_loss as curricularface_loss
    from lossary.losses.identities.neighbors import nca_loss as nca_loss
    from lossary.losses.identities.neighbors import smooth_ap_loss as smooth_ap_loss
    from lossary.losses.identities.prototypes import ge2e_loss as ge2e_loss
    from lossary.losses.identities.prototypes import proxy_anchor_loss as proxy_anchor_loss
    from lossary.losses.identities.proxies import proxy_nca_loss as proxy_nca_loss
    from lossary.losses.identities.proxies import soft_triple_loss as soft_triple_loss
    from lossary.losses.identities.similarity import circle_loss as circle_loss
    from lossary.losses.identities.similarity import multi_similarity_loss as multi_similarity_loss
    from lossary.losses.identities.similarity import supcon_loss as supcon_loss
    from lossary.losses.identities.sphereface import sphereface2_loss as sphereface2_loss
    from lossary.losses.identities.sphereface import sphereface_loss as sphereface_loss
    from lossary.losses.images.structure import ms_ssim_loss as ms_ssim_loss
    from lossary.losses.images.structure import ssim_loss as ssim_loss
    from lossary.losses.images.structure import total_variation as total_variation
    from lossary.losses.lifetimes.hazards import cox_ph_loss as cox_ph_loss
    from lossary.losses.lifetimes.hazards import logistic_hazard_loss as logistic_hazard_loss
    from lossary.losses.lifetimes.hazards import weibull_nll_loss as weibull_nll_loss
    from lossary.losses.lists.listwise import approx_ndcg_loss as approx_ndcg_loss
    from lossary.losses.lists.listwise import listmle_loss as listmle_loss
    from lossary.losses.lists.listwise import listnet_loss as listnet_loss
    from lossary.losses.lists.pairwise import lambda_loss as lambda_loss
    from lossary.losses.lists.pairwise import margin_mse_loss as margin_mse_loss
    from lossary.losses.lists.pairwise import margin_ranking_loss as margin_ranking_loss
    from lossary.losses.lists.pairwise import ranknet_loss as ranknet_loss
    from lossary.losses.masks.boundaries import boundary_loss as boundary_loss
    from lossary.losses.masks.boundaries import hausdorff_dt_loss as hausdorff_dt_loss
    from lossary.losses.masks.boundaries import sigmoid_boundary_loss as sigmoid_boundary_loss
    from lossary.losses.masks.boundaries import sigmoid_hausdorff_dt_loss as sigmoid_hausdorff_dt_loss
    from lossary.losses.masks.dice_ce import dice_cross_entropy_loss as dice_cross_entropy_loss
    from lossary.losses.masks.dice_ce import sigmoid_dice_cross_entropy_loss as sigmoid_dice_cross_entropy_loss
    from lossary.losses.masks.dice_focal import dice_focal_loss as dice_focal_loss
    from lossary.losses.masks.dice_focal import sigmoid_dice_focal_loss as sigmoid_dice_focal_loss
    from lossary.losses.masks.lines import cl_dice_loss as cl_dice_loss
    from lossary.losses.masks.lines import sigmoid_cl_dice_loss as sigmoid_cl_dice_loss
    from lossary.losses.masks.lovasz import lovasz_hinge_loss as lovasz_hinge_loss
    from lossary.losses.masks.lovasz import lovasz_softmax_loss as lovasz_softmax_loss
    from lossary.losses.masks.lovasz import sigmoid_lovasz_loss as sigmoid_lovasz_loss
    from lossary.losses.masks.overlap import dice_loss as dice_loss
    from lossary.losses.masks.overlap import jaccard_loss as jaccard_loss
    from lossary.losses.masks.overlap import sigmoid_dice_loss as sigmoid_dice_loss
    from lossary.losses.masks.overlap import sigmoid_jaccard_loss as sigmoid_jaccard_loss
    from lossary.losses.masks.tversky import focal_tversky_loss as focal_tversky_loss
    from lossary.losses.masks.tversky import sigmoid_focal_tversky_loss as sigmoid_focal_tversky_loss
    from lossary.losses.masks.tversky import sigmoid_tversky_loss as sigmoid_tversky_loss
    from lossary.losses.masks.tversky import tversky_loss as tversky_loss
    from lossary.losses.masks.weighted import generalized_dice_loss as generalized_dice_loss
    from lossary.losses.masks.weighted import sigmoid_generalized_dice_loss as sigmoid_generalized_dice_loss
    from lossary.losses.pairs.contrastive import contrastive_loss as contrastive_loss
    from lossary.losses.pairs.contrastive import cosine_embedding_loss as cosine_embedding_loss
    from lossary.losses.pairs.contrastive import hinge_embedding_loss as hinge_embedding_loss
    from lossary.losses.pairs.graded import angle_loss as angle_loss
    from lossary.losses.pairs.graded import cosent_loss as cosent_loss
    from lossary.losses.points.clouds import chamfer_loss as chamfer_loss
    from lossary.losses.sequences.alignment import ctc_loss as ctc_loss
    from lossary.losses.tokens.policy import grpo_loss as grpo_loss
    from lossary.losses.tokens.policy import ppo_clip_loss as ppo_clip_loss
    from lossary.losses.tokens.policy import ppo_value_loss as ppo_value_loss
    from lossary.losses.tokens.preferences import dpo_loss as dpo_loss
    from lossary.losses.tokens.preferences import ipo_loss as ipo_loss
    from lossary.losses.tokens.preferences import kto_loss as kto_loss
    from lossary.losses.tokens.rewards import bradley_terry_loss as bradley_terry_loss
    from lossary.losses.tokens.rewards import cpo_loss as cpo_loss
    from lossary.losses.tokens.rewards import orpo_loss as orpo_loss
    from lossary.losses.tokens.rewards import simpo_loss as simpo_loss
    from lossary.losses.triplets.given import bpr_loss as bpr_loss
    from lossary.losses.triplets.given import triplet_margin_loss as triplet_margin_loss
    from lossary.losses.triplets.given import triplet_margin_with_distance_loss as triplet_margin_with_distance_loss
    from lossary.losses.triplets.triplet import triplet_loss as triplet_loss
    from lossary.losses.values.counts import negative_binomial_nll_loss as negative_binomial_nll_loss
    from lossary.losses.values.counts import tweedie_loss as tweedie_loss
    from lossary.losses.values.forecasts import ensemble_crps_loss as ensemble_crps_loss
    from lossary.losses.values.forecasts import gaussian_crps_loss as gaussian_crps_loss
    from lossary.losses.values.likelihood import gaussian_nll_loss as gaussian_nll_loss
    from lossary.losses.values.likelihood import kl_gaussian_loss as kl_gaussian_loss
    from lossary.losses.values.likelihood import poisson_nll_loss as poisson_nll_loss
    from lossary.losses.values.regression import l1_loss as l1_loss
    from lossary.losses.values.regression import mean_bias_error as mean_bias_error
    from lossary.losses.values.regression import mse_loss as mse_loss
    from lossary.losses.values.regression import quantile_loss as quantile_loss
    from lossary.losses.values.regression import rmse_loss as rmse_loss
    from lossary.losses.values.relative import mape_loss as mape_loss
    from lossary.losses.values.relative import msle_loss as msle_loss
    from lossary.losses.values.relative import smape_loss as smape_loss
    from lossary.losses.values.robust import charbonnier_loss as charbonnier_loss
    from lossary.losses.values.robust import huber_loss as huber_loss
    from lossary.losses.values.robust import log_cosh_loss as log_cosh_loss
    from lossary.losses.values.robust import smooth_l1_loss as smooth_l1_loss
    from lossary.losses.views.decorrelation import barlow_twins_loss as barlow_twins_loss
    from lossary.losses.views.decorrelation import koleo_loss as koleo_loss
    from lossary.losses.views.decorrelation import vicreg_loss as vicreg_loss
    from lossary.losses.views.decoupled import dcl_loss as dcl_loss
    from lossary.losses.views.decoupled import hard_negative_contrastive_loss as hard_negative_contrastive_loss
    from lossary.losses.views.distribution import flops_loss as flops_loss
    from lossary.losses.views.distribution import mmd_loss as mmd_loss
    from lossary.losses.views.distribution import sigreg_loss as sigreg_loss
    from lossary.losses.views.guided import gist_embed_loss as gist_embed_loss
    from lossary.losses.views.guided import sampled_softmax_loss as sampled_softmax_loss
    from lossary.losses.views.multivector import colbert_loss as colbert_loss
    from lossary.losses.views.mutual import clip_loss as clip_loss
    from lossary.losses.views.mutual import nt_xent_loss as nt_xent_loss
    from lossary.losses.views.mutual import siglip_loss as siglip_loss
    from lossary.losses.views.relational import rkd_angle_loss as rkd_angle_loss
    from lossary.losses.views.relational import rkd_distance_loss as rkd_distance_loss
    from lossary.losses.views.retrieval import info_nce_loss as info_nce_loss
    from lossary.losses.views.retrieval import multiple_negatives_ranking_loss as multiple_negatives_ranking_loss
    from lossary.losses.views.retrieval import n_pair_loss as n_pair_loss
    from lossary.losses.views.selfdistillation import dino_loss as dino_loss
    from lossary.losses.views.selfdistillation import negative_cosine_loss as negative_cosine_loss
    from lossary.losses.views.selfdistillation import swav_loss as swav_loss
    from lossary.losses.waves.signals import multi_resolution_stft_loss as multi_resolution_stft_loss
    from lossary.losses.waves.signals import si_sdr_loss as si_sdr_loss

    a_softmax_loss = sphereface_loss
    aam_softmax_loss = arcface_loss
    am_softmax_loss = cosface_loss
    aucm_loss = auc_margin_loss
    balanced_softmax_loss = logit_adjusted_loss
    chamfer_distance_loss = chamfer_loss
    ciou_loss = complete_iou_loss
    decoupled_contrastive_loss = dcl_loss
    diou_loss = distance_iou_loss
    dkd_loss = decoupled_distillation_loss
    generalized_end_to_end_loss = ge2e_loss
    giou_loss = generalized_iou_loss
    hcl_loss = hard_negative_contrastive_loss
    mae_loss = l1_loss
    maximum_mean_discrepancy_loss = mmd_loss
    mean_squared_logarithmic_error = msle_loss
    mnr_loss = multiple_negatives_ranking_loss
    normface_loss = normalized_softmax_loss
    ppo_loss = ppo_clip_loss
    reward_model_loss = bradley_terry_loss
    sisdr_loss = si_sdr_loss
    soft_nearest_neighbor_loss = nca_loss
    splade_regularizer = flops_loss
    tv_loss = total_variation
    # end
    # isort: on

_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    **{name: getattr(module, name) for module in HELPERS for name in module.__all__ if name in WITHOUT_CARD},
    **{name: card.fn for card in CATALOGUE for name in (card.name, *(a for a in card.aliases if a.islower()))},
}


if not TYPE_CHECKING:  # to a type checker it would mean that every name exists

    def __getattr__(name: str) -> Callable[..., Tensor]:
        if name not in _FUNCTIONS:
            raise AttributeError(f"module 'lossary.functional' has no attribute {name!r}")
        return _FUNCTIONS[name]


def __dir__() -> list[str]:
    return sorted(_FUNCTIONS)
