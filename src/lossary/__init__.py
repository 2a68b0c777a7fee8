"""Every PyTorch loss done right, and one command that tells you which one your data wants.

The public names are the families' ``__all__`` and the cards' aliases; they are imported at first use, so the command
line can answer without importing torch. Type checkers read them below.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossary import functional as functional
    from lossary import presets as presets

    # isort: off
    # begin: written by `make docs`
    from lossary.catalogue import find as find
    from lossary.compose.activations import sigmoid as sigmoid
    from lossary.compose.activations import softmax as softmax
    from lossary.compose.activations import sum_normalize as sum_normalize
    from lossary.compose.cached import Cached as Cached
    from lossary.compose.distillation import linear_distillation as linear_distillation
    from lossary.compose.linear import LinearCrossEntropyLoss as LinearCrossEntropyLoss
    from lossary.compose.linear import LinearHead as LinearHead
    from lossary.compose.linear import linear_cross_entropy as linear_cross_entropy
    from lossary.compose.linear import linear_loss as linear_loss
    from lossary.compose.perceptual import PerceptualLoss as PerceptualLoss
    from lossary.compose.permutations import PermutationInvariant as PermutationInvariant
    from lossary.compose.prototypes import DINOHead as DINOHead
    from lossary.compose.prototypes import linear_dino_loss as linear_dino_loss
    from lossary.compose.queue import Queue as Queue
    from lossary.compose.regularizers import Regularized as Regularized
    from lossary.compose.regularizers import elastic_net_penalty as elastic_net_penalty
    from lossary.compose.regularizers import l1_penalty as l1_penalty
    from lossary.compose.regularizers import l2_penalty as l2_penalty
    from lossary.compose.regularizers import weights_of as weights_of
    from lossary.compose.sampled import SampledClasses as SampledClasses
    from lossary.compose.sharded import shard_classes as shard_classes
    from lossary.compose.sums import DeepSupervision as DeepSupervision
    from lossary.compose.sums import Matryoshka as Matryoshka
    from lossary.compose.sums import Sum as Sum
    from lossary.compose.tasks import UncertaintyWeighting as UncertaintyWeighting
    from lossary.compose.tokens import TokenReadings as TokenReadings
    from lossary.compose.tokens import group_advantages as group_advantages
    from lossary.compose.tokens import kto_reference_point as kto_reference_point
    from lossary.compose.tokens import linear_logps as linear_logps
    from lossary.compose.tokens import linear_readings as linear_readings
    from lossary.compose.tokens import sequence_logps as sequence_logps
    from lossary.compose.tokens import z_loss as z_loss
    from lossary.compose.weighting import class_weights as class_weights
    from lossary.core.card import Card as Card
    from lossary.core.loss import HeadLoss as HeadLoss
    from lossary.core.loss import Loss as Loss
    from lossary.distributed.ways import exchange_by as exchange_by
    from lossary.kernels.measures import Lp as Lp
    from lossary.losses.answers.asymmetric import AsymmetricLoss as AsymmetricLoss
    from lossary.losses.answers.asymmetric import asymmetric_loss as asymmetric_loss
    from lossary.losses.answers.binary import BCELoss as BCELoss
    from lossary.losses.answers.binary import BCEWithLogitsLoss as BCEWithLogitsLoss
    from lossary.losses.answers.binary import BalancedBCELoss as BalancedBCELoss
    from lossary.losses.answers.binary import balanced_bce_loss as balanced_bce_loss
    from lossary.losses.answers.binary import binary_cross_entropy as binary_cross_entropy
    from lossary.losses.answers.binary import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
    from lossary.losses.answers.focal import SigmoidFocalLoss as SigmoidFocalLoss
    from lossary.losses.answers.focal import SigmoidPolyFocalLoss as SigmoidPolyFocalLoss
    from lossary.losses.answers.focal import sigmoid_focal_loss as sigmoid_focal_loss
    from lossary.losses.answers.focal import sigmoid_poly_focal_loss as sigmoid_poly_focal_loss
    from lossary.losses.answers.margin import HingeLoss as HingeLoss
    from lossary.losses.answers.margin import MultiLabelMarginLoss as MultiLabelMarginLoss
    from lossary.losses.answers.margin import MultiLabelSoftMarginLoss as MultiLabelSoftMarginLoss
    from lossary.losses.answers.margin import SoftMarginLoss as SoftMarginLoss
    from lossary.losses.answers.margin import SquaredHingeLoss as SquaredHingeLoss
    from lossary.losses.answers.margin import hinge_loss as hinge_loss
    from lossary.losses.answers.margin import multilabel_margin_loss as multilabel_margin_loss
    from lossary.losses.answers.margin import multilabel_soft_margin_loss as multilabel_soft_margin_loss
    from lossary.losses.answers.margin import soft_margin_loss as soft_margin_loss
    from lossary.losses.answers.margin import squared_hinge_loss as squared_hinge_loss
    from lossary.losses.answers.quality import QualityFocalLoss as QualityFocalLoss
    from lossary.losses.answers.quality import VarifocalLoss as VarifocalLoss
    from lossary.losses.answers.quality import quality_focal_loss as quality_focal_loss
    from lossary.losses.answers.quality import varifocal_loss as varifocal_loss
    from lossary.losses.answers.ranking import AUCMarginLoss as AUCMarginLoss
    from lossary.losses.answers.ranking import auc_margin_loss as auc_margin_loss
    from lossary.losses.boxes.iou import CompleteIoULoss as CompleteIoULoss
    from lossary.losses.boxes.iou import DistanceIoULoss as DistanceIoULoss
    from lossary.losses.boxes.iou import DistributionFocalLoss as DistributionFocalLoss
    from lossary.losses.boxes.iou import GeneralizedIoULoss as GeneralizedIoULoss
    from lossary.losses.boxes.iou import IoULoss as IoULoss
    from lossary.losses.boxes.iou import complete_iou_loss as complete_iou_loss
    from lossary.losses.boxes.iou import distance_iou_loss as distance_iou_loss
    from lossary.losses.boxes.iou import distribution_focal_loss as distribution_focal_loss
    from lossary.losses.boxes.iou import generalized_iou_loss as generalized_iou_loss
    from lossary.losses.boxes.iou import iou_loss as iou_loss
    from lossary.losses.classes.distillation import DecoupledDistillationLoss as DecoupledDistillationLoss
    from lossary.losses.classes.distillation import DistillationLoss as DistillationLoss
    from lossary.losses.classes.distillation import JensenShannonLoss as JensenShannonLoss
    from lossary.losses.classes.distillation import decoupled_distillation_loss as decoupled_distillation_loss
    from lossary.losses.classes.distillation import distillation_loss as distillation_loss
    from lossary.losses.classes.distillation import jensen_shannon_loss as jensen_shannon_loss
    from lossary.losses.classes.divergence import KLDivLoss as KLDivLoss
    from lossary.losses.classes.divergence import KLDivergenceLoss as KLDivergenceLoss
    from lossary.losses.classes.divergence import cross_entropy_of as cross_entropy_of
    from lossary.losses.classes.divergence import entropy as entropy
    from lossary.losses.classes.divergence import kl_div as kl_div
    from lossary.losses.classes.divergence import kl_divergence_loss as kl_divergence_loss
    from lossary.losses.classes.hinge import CrammerSingerLoss as CrammerSingerLoss
    from lossary.losses.classes.hinge import MultiMarginLoss as MultiMarginLoss
    from lossary.losses.classes.hinge import MulticlassHingeLoss as MulticlassHingeLoss
    from lossary.losses.classes.hinge import crammer_singer_loss as crammer_singer_loss
    from lossary.losses.classes.hinge import multi_margin_loss as multi_margin_loss
    from lossary.losses.classes.hinge import multiclass_hinge_loss as multiclass_hinge_loss
    from lossary.losses.classes.longtail import LDAMLoss as LDAMLoss
    from lossary.losses.classes.longtail import LogitAdjustedLoss as LogitAdjustedLoss
    from lossary.losses.classes.longtail import ldam_loss as ldam_loss
    from lossary.losses.classes.longtail import logit_adjusted_loss as logit_adjusted_loss
    from lossary.losses.classes.noisy import BiTemperedLogisticLoss as BiTemperedLogisticLoss
    from lossary.losses.classes.noisy import GeneralizedCrossEntropyLoss as GeneralizedCrossEntropyLoss
    from lossary.losses.classes.noisy import SymmetricCrossEntropyLoss as SymmetricCrossEntropyLoss
    from lossary.losses.classes.noisy import bi_tempered_logistic_loss as bi_tempered_logistic_loss
    from lossary.losses.classes.noisy import generalized_cross_entropy_loss as generalized_cross_entropy_loss
    from lossary.losses.classes.noisy import symmetric_cross_entropy_loss as symmetric_cross_entropy_loss
    from lossary.losses.classes.ordinal import CORALLoss as CORALLoss
    from lossary.losses.classes.ordinal import CORNLoss as CORNLoss
    from lossary.losses.classes.ordinal import EarthMoverLoss as EarthMoverLoss
    from lossary.losses.classes.ordinal import coral_loss as coral_loss
    from lossary.losses.classes.ordinal import corn_loss as corn_loss
    from lossary.losses.classes.ordinal import earth_mover_loss as earth_mover_loss
    from lossary.losses.classes.powers import PolyFocalLoss as PolyFocalLoss
    from lossary.losses.classes.powers import PolyLoss as PolyLoss
    from lossary.losses.classes.powers import poly_focal_loss as poly_focal_loss
    from lossary.losses.classes.powers import poly_loss as poly_loss
    from lossary.losses.classes.selective import AsymmetricSoftmaxLoss as AsymmetricSoftmaxLoss
    from lossary.losses.classes.selective import OHEMCrossEntropyLoss as OHEMCrossEntropyLoss
    from lossary.losses.classes.selective import asymmetric_softmax_loss as asymmetric_softmax_loss
    from lossary.losses.classes.selective import ohem_cross_entropy_loss as ohem_cross_entropy_loss
    from lossary.losses.classes.softmax import CrossEntropyLoss as CrossEntropyLoss
    from lossary.losses.classes.softmax import FocalLoss as FocalLoss
    from lossary.losses.classes.softmax import NLLLoss as NLLLoss
    from lossary.losses.classes.softmax import cross_entropy as cross_entropy
    from lossary.losses.classes.softmax import focal_loss as focal_loss
    from lossary.losses.classes.softmax import nll_loss as nll_loss
    from lossary.losses.identities.adaptive import AdaFaceLoss as AdaFaceLoss
    from lossary.losses.identities.adaptive import MagFaceLoss as MagFaceLoss
    from lossary.losses.identities.adaptive import adaface_loss as adaface_loss
    from lossary.losses.identities.adaptive import magface_loss as magface_loss
    from lossary.losses.identities.angular import ArcFaceLoss as ArcFaceLoss
    from lossary.losses.identities.angular import CosFaceLoss as CosFaceLoss
    from lossary.losses.identities.angular import NormalizedSoftmaxLoss as NormalizedSoftmaxLoss
    from lossary.losses.identities.angular import arcface_loss as arcface_loss
    from lossary.losses.identities.angular import cosface_loss as cosface_loss
    from lossary.losses.identities.angular import normalized_softmax_loss as normalized_softmax_loss
    from lossary.losses.identities.centers import CenterLoss as CenterLoss
    from lossary.losses.identities.centers import ClassMeanCenterLoss as ClassMeanCenterLoss
    from lossary.losses.identities.centers import MovingCenterLoss as MovingCenterLoss
    from lossary.losses.identities.centers import center_loss as center_loss
    from lossary.losses.identities.centers import class_means as class_means
    from lossary.losses.identities.centers import moved_centers as moved_centers
    from lossary.losses.identities.extended import CombinedMarginLoss as CombinedMarginLoss
    from lossary.losses.identities.extended import CurricularFaceLoss as CurricularFaceLoss
    from lossary.losses.identities.extended import combined_margin_loss as combined_margin_loss
    from lossary.losses.identities.extended import curricularface_loss as curricularface_loss
    from lossary.losses.identities.neighbors import NCALoss as NCALoss
    from lossary.losses.identities.neighbors import SmoothAPLoss as SmoothAPLoss
    from lossary.losses.identities.neighbors import nca_loss as nca_loss
    from lossary.losses.identities.neighbors import smooth_ap_loss as smooth_ap_loss
    from lossary.losses.identities.prototypes import GE2ELoss as GE2ELoss
    from lossary.losses.identities.prototypes import ProxyAnchorLoss as ProxyAnchorLoss
    from lossary.losses.identities.prototypes import ge2e_loss as ge2e_loss
    from lossary.losses.identities.prototypes import proxy_anchor_loss as proxy_anchor_loss
    from lossary.losses.identities.proxies import ProxyNCALoss as ProxyNCALoss
    from lossary.losses.identities.proxies import SoftTripleLoss as SoftTripleLoss
    from lossary.losses.identities.proxies import proxy_nca_loss as proxy_nca_loss
    from lossary.losses.identities.proxies import soft_triple_loss as soft_triple_loss
    from lossary.losses.identities.similarity import CircleLoss as CircleLoss
    from lossary.losses.identities.similarity import MultiSimilarityLoss as MultiSimilarityLoss
    from lossary.losses.identities.similarity import SupConLoss as SupConLoss
    from lossary.losses.identities.similarity import circle_loss as circle_loss
    from lossary.losses.identities.similarity import multi_similarity_loss as multi_similarity_loss
    from lossary.losses.identities.similarity import supcon_loss as supcon_loss
    from lossary.losses.identities.sphereface import Annealing as Annealing
    from lossary.losses.identities.sphereface import SphereFace2Loss as SphereFace2Loss
    from lossary.losses.identities.sphereface import SphereFaceLoss as SphereFaceLoss
    from lossary.losses.identities.sphereface import sphereface2_loss as sphereface2_loss
    from lossary.losses.identities.sphereface import sphereface_loss as sphereface_loss
    from lossary.losses.images.structure import MSSSIMLoss as MSSSIMLoss
    from lossary.losses.images.structure import SSIMLoss as SSIMLoss
    from lossary.losses.images.structure import TotalVariation as TotalVariation
    from lossary.losses.images.structure import ms_ssim_loss as ms_ssim_loss
    from lossary.losses.images.structure import ssim_loss as ssim_loss
    from lossary.losses.images.structure import total_variation as total_variation
    from lossary.losses.lifetimes.hazards import CoxPHLoss as CoxPHLoss
    from lossary.losses.lifetimes.hazards import LogisticHazardLoss as LogisticHazardLoss
    from lossary.losses.lifetimes.hazards import WeibullNLLLoss as WeibullNLLLoss
    from lossary.losses.lifetimes.hazards import cox_ph_loss as cox_ph_loss
    from lossary.losses.lifetimes.hazards import logistic_hazard_loss as logistic_hazard_loss
    from lossary.losses.lifetimes.hazards import weibull_nll_loss as weibull_nll_loss
    from lossary.losses.lists.listwise import ApproxNDCGLoss as ApproxNDCGLoss
    from lossary.losses.lists.listwise import ListMLELoss as ListMLELoss
    from lossary.losses.lists.listwise import ListNetLoss as ListNetLoss
    from lossary.losses.lists.listwise import approx_ndcg_loss as approx_ndcg_loss
    from lossary.losses.lists.listwise import listmle_loss as listmle_loss
    from lossary.losses.lists.listwise import listnet_loss as listnet_loss
    from lossary.losses.lists.pairwise import LambdaLoss as LambdaLoss
    from lossary.losses.lists.pairwise import MarginMSELoss as MarginMSELoss
    from lossary.losses.lists.pairwise import MarginRankingLoss as MarginRankingLoss
    from lossary.losses.lists.pairwise import RankNetLoss as RankNetLoss
    from lossary.losses.lists.pairwise import lambda_loss as lambda_loss
    from lossary.losses.lists.pairwise import margin_mse_loss as margin_mse_loss
    from lossary.losses.lists.pairwise import margin_ranking_loss as margin_ranking_loss
    from lossary.losses.lists.pairwise import ranknet_loss as ranknet_loss
    from lossary.losses.masks.boundaries import BoundaryLoss as BoundaryLoss
    from lossary.losses.masks.boundaries import HausdorffDTLoss as HausdorffDTLoss
    from lossary.losses.masks.boundaries import SigmoidBoundaryLoss as SigmoidBoundaryLoss
    from lossary.losses.masks.boundaries import SigmoidHausdorffDTLoss as SigmoidHausdorffDTLoss
    from lossary.losses.masks.boundaries import boundary_loss as boundary_loss
    from lossary.losses.masks.boundaries import hausdorff_dt_loss as hausdorff_dt_loss
    from lossary.losses.masks.boundaries import sigmoid_boundary_loss as sigmoid_boundary_loss
    from lossary.losses.masks.boundaries import sigmoid_hausdorff_dt_loss as sigmoid_hausdorff_dt_loss
    from lossary.losses.masks.boundaries import signed_distances as signed_distances
    from lossary.losses.masks.dice_ce import DiceCrossEntropyLoss as DiceCrossEntropyLoss
    from lossary.losses.masks.dice_ce import SigmoidDiceCrossEntropyLoss as SigmoidDiceCrossEntropyLoss
    from lossary.losses.masks.dice_ce import dice_cross_entropy_loss as dice_cross_entropy_loss
    from lossary.losses.masks.dice_ce import sigmoid_dice_cross_entropy_loss as sigmoid_dice_cross_entropy_loss
    from lossary.losses.masks.dice_focal import DiceFocalLoss as DiceFocalLoss
    from lossary.losses.masks.dice_focal import SigmoidDiceFocalLoss as SigmoidDiceFocalLoss
    from lossary.losses.masks.dice_focal import dice_focal_loss as dice_focal_loss
    from lossary.losses.masks.dice_focal import sigmoid_dice_focal_loss as sigmoid_dice_focal_loss
    from lossary.losses.masks.lines import ClDiceLoss as ClDiceLoss
    from lossary.losses.masks.lines import SigmoidClDiceLoss as SigmoidClDiceLoss
    from lossary.losses.masks.lines import cl_dice_loss as cl_dice_loss
    from lossary.losses.masks.lines import sigmoid_cl_dice_loss as sigmoid_cl_dice_loss
    from lossary.losses.masks.lovasz import LovaszHingeLoss as LovaszHingeLoss
    from lossary.losses.masks.lovasz import LovaszSoftmaxLoss as LovaszSoftmaxLoss
    from lossary.losses.masks.lovasz import SigmoidLovaszLoss as SigmoidLovaszLoss
    from lossary.losses.masks.lovasz import lovasz_hinge_loss as lovasz_hinge_loss
    from lossary.losses.masks.lovasz import lovasz_softmax_loss as lovasz_softmax_loss
    from lossary.losses.masks.lovasz import sigmoid_lovasz_loss as sigmoid_lovasz_loss
    from lossary.losses.masks.overlap import DiceLoss as DiceLoss
    from lossary.losses.masks.overlap import JaccardLoss as JaccardLoss
    from lossary.losses.masks.overlap import SigmoidDiceLoss as SigmoidDiceLoss
    from lossary.losses.masks.overlap import SigmoidJaccardLoss as SigmoidJaccardLoss
    from lossary.losses.masks.overlap import dice_loss as dice_loss
    from lossary.losses.masks.overlap import jaccard_loss as jaccard_loss
    from lossary.losses.masks.overlap import sigmoid_dice_loss as sigmoid_dice_loss
    from lossary.losses.masks.overlap import sigmoid_jaccard_loss as sigmoid_jaccard_loss
    from lossary.losses.masks.tversky import FocalTverskyLoss as FocalTverskyLoss
    from lossary.losses.masks.tversky import SigmoidFocalTverskyLoss as SigmoidFocalTverskyLoss
    from lossary.losses.masks.tversky import SigmoidTverskyLoss as SigmoidTverskyLoss
    from lossary.losses.masks.tversky import TverskyLoss as TverskyLoss
    from lossary.losses.masks.tversky import focal_tversky_loss as focal_tversky_loss
    from lossary.losses.masks.tversky import sigmoid_focal_tversky_loss as sigmoid_focal_tversky_loss
    from lossary.losses.masks.tversky import sigmoid_tversky_loss as sigmoid_tversky_loss
    from lossary.losses.masks.tversky import tversky_loss as tversky_loss
    from lossary.losses.masks.weighted import GeneralizedDiceLoss as GeneralizedDiceLoss
    from lossary.losses.masks.weighted import SigmoidGeneralizedDiceLoss as SigmoidGeneralizedDiceLoss
    from lossary.losses.masks.weighted import generalized_dice_loss as generalized_dice_loss
    from lossary.losses.masks.weighted import sigmoid_generalized_dice_loss as sigmoid_generalized_dice_loss
    from lossary.losses.pairs.contrastive import ContrastiveLoss as ContrastiveLoss
    from lossary.losses.pairs.contrastive import CosineEmbeddingLoss as CosineEmbeddingLoss
    from lossary.losses.pairs.contrastive import HingeEmbeddingLoss as HingeEmbeddingLoss
    from lossary.losses.pairs.contrastive import contrastive_loss as contrastive_loss
    from lossary.losses.pairs.contrastive import cosine_embedding_loss as cosine_embedding_loss
    from lossary.losses.pairs.contrastive import hinge_embedding_loss as hinge_embedding_loss
    from lossary.losses.pairs.graded import AnglELoss as AnglELoss
    from lossary.losses.pairs.graded import CoSENTLoss as CoSENTLoss
    from lossary.losses.pairs.graded import angle_loss as angle_loss
    from lossary.losses.pairs.graded import cosent_loss as cosent_loss
    from lossary.losses.points.clouds import ChamferLoss as ChamferLoss
    from lossary.losses.points.clouds import chamfer_loss as chamfer_loss
    from lossary.losses.sequences.alignment import CTCLoss as CTCLoss
    from lossary.losses.sequences.alignment import ctc_loss as ctc_loss
    from lossary.losses.tokens.policy import GRPOLoss as GRPOLoss
    from lossary.losses.tokens.policy import PPOClipLoss as PPOClipLoss
    from lossary.losses.tokens.policy import PPOValueLoss as PPOValueLoss
    from lossary.losses.tokens.policy import grpo_loss as grpo_loss
    from lossary.losses.tokens.policy import ppo_clip_loss as ppo_clip_loss
    from lossary.losses.tokens.policy import ppo_value_loss as ppo_value_loss
    from lossary.losses.tokens.preferences import DPOLoss as DPOLoss
    from lossary.losses.tokens.preferences import IPOLoss as IPOLoss
    from lossary.losses.tokens.preferences import KTOLoss as KTOLoss
    from lossary.losses.tokens.preferences import dpo_loss as dpo_loss
    from lossary.losses.tokens.preferences import ipo_loss as ipo_loss
    from lossary.losses.tokens.preferences import kto_loss as kto_loss
    from lossary.losses.tokens.rewards import BradleyTerryLoss as BradleyTerryLoss
    from lossary.losses.tokens.rewards import CPOLoss as CPOLoss
    from lossary.losses.tokens.rewards import ORPOLoss as ORPOLoss
    from lossary.losses.tokens.rewards import SimPOLoss as SimPOLoss
    from lossary.losses.tokens.rewards import bradley_terry_loss as bradley_terry_loss
    from lossary.losses.tokens.rewards import cpo_loss as cpo_loss
    from lossary.losses.tokens.rewards import orpo_loss as orpo_loss
    from lossary.losses.tokens.rewards import simpo_loss as simpo_loss
    from lossary.losses.triplets.given import BPRLoss as BPRLoss
    from lossary.losses.triplets.given import TripletMarginLoss as TripletMarginLoss
    from lossary.losses.triplets.given import TripletMarginWithDistanceLoss as TripletMarginWithDistanceLoss
    from lossary.losses.triplets.given import bpr_loss as bpr_loss
    from lossary.losses.triplets.given import triplet_margin_loss as triplet_margin_loss
    from lossary.losses.triplets.given import triplet_margin_with_distance_loss as triplet_margin_with_distance_loss
    from lossary.losses.triplets.triplet import TripletLoss as TripletLoss
    from lossary.losses.triplets.triplet import triplet_loss as triplet_loss
    from lossary.losses.values.counts import NegativeBinomialNLLLoss as NegativeBinomialNLLLoss
    from lossary.losses.values.counts import TweedieLoss as TweedieLoss
    from lossary.losses.values.counts import negative_binomial_nll_loss as negative_binomial_nll_loss
    from lossary.losses.values.counts import tweedie_loss as tweedie_loss
    from lossary.losses.values.forecasts import EnsembleCRPSLoss as EnsembleCRPSLoss
    from lossary.losses.values.forecasts import GaussianCRPSLoss as GaussianCRPSLoss
    from lossary.losses.values.forecasts import ensemble_crps_loss as ensemble_crps_loss
    from lossary.losses.values.forecasts import gaussian_crps_loss as gaussian_crps_loss
    from lossary.losses.values.likelihood import GaussianNLLLoss as GaussianNLLLoss
    from lossary.losses.values.likelihood import KLGaussianLoss as KLGaussianLoss
    from lossary.losses.values.likelihood import PoissonNLLLoss as PoissonNLLLoss
    from lossary.losses.values.likelihood import gaussian_nll_loss as gaussian_nll_loss
    from lossary.losses.values.likelihood import kl_gaussian_loss as kl_gaussian_loss
    from lossary.losses.values.likelihood import poisson_nll_loss as poisson_nll_loss
    from lossary.losses.values.regression import L1Loss as L1Loss
    from lossary.losses.values.regression import MSELoss as MSELoss
    from lossary.losses.values.regression import MeanBiasError as MeanBiasError
    from lossary.losses.values.regression import QuantileLoss as QuantileLoss
    from lossary.losses.values.regression import RMSELoss as RMSELoss
    from lossary.losses.values.regression import l1_loss as l1_loss
    from lossary.losses.values.regression import mean_bias_error as mean_bias_error
    from lossary.losses.values.regression import mse_loss as mse_loss
    from lossary.losses.values.regression import quantile_loss as quantile_loss
    from lossary.losses.values.regression import rmse_loss as rmse_loss
    from lossary.losses.values.relative import MAPELoss as MAPELoss
    from lossary.losses.values.relative import MSLELoss as MSLELoss
    from lossary.losses.values.relative import SMAPELoss as SMAPELoss
    from lossary.losses.values.relative import mape_loss as mape_loss
    from lossary.losses.values.relative import msle_loss as msle_loss
    from lossary.losses.values.relative import smape_loss as smape_loss
    from lossary.losses.values.robust import CharbonnierLoss as CharbonnierLoss
    from lossary.losses.values.robust import HuberLoss as HuberLoss
    from lossary.losses.values.robust import LogCoshLoss as LogCoshLoss
    from lossary.losses.values.robust import SmoothL1Loss as SmoothL1Loss
    from lossary.losses.values.robust import charbonnier_loss as charbonnier_loss
    from lossary.losses.values.robust import huber_loss as huber_loss
    from lossary.losses.values.robust import log_cosh_loss as log_cosh_loss
    from lossary.losses.values.robust import smooth_l1_loss as smooth_l1_loss
    from lossary.losses.views.decorrelation import BarlowTwinsLoss as BarlowTwinsLoss
    from lossary.losses.views.decorrelation import KoLeoLoss as KoLeoLoss
    from lossary.losses.views.decorrelation import VICRegLoss as VICRegLoss
    from lossary.losses.views.decorrelation import barlow_twins_loss as barlow_twins_loss
    from lossary.losses.views.decorrelation import koleo_loss as koleo_loss
    from lossary.losses.views.decorrelation import vicreg_loss as vicreg_loss
    from lossary.losses.views.decoupled import DCLLoss as DCLLoss
    from lossary.losses.views.decoupled import HardNegativeContrastiveLoss as HardNegativeContrastiveLoss
    from lossary.losses.views.decoupled import dcl_loss as dcl_loss
    from lossary.losses.views.decoupled import hard_negative_contrastive_loss as hard_negative_contrastive_loss
    from lossary.losses.views.distribution import FLOPSLoss as FLOPSLoss
    from lossary.losses.views.distribution import MMDLoss as MMDLoss
    from lossary.losses.views.distribution import SIGRegLoss as SIGRegLoss
    from lossary.losses.views.distribution import flops_loss as flops_loss
    from lossary.losses.views.distribution import mmd_loss as mmd_loss
    from lossary.losses.views.distribution import sigreg_loss as sigreg_loss
    from lossary.losses.views.guided import GISTEmbedLoss as GISTEmbedLoss
    from lossary.losses.views.guided import SampledSoftmaxLoss as SampledSoftmaxLoss
    from lossary.losses.views.guided import gist_embed_loss as gist_embed_loss
    from lossary.losses.views.guided import sampled_softmax_loss as sampled_softmax_loss
    from lossary.losses.views.multivector import ColBERTLoss as ColBERTLoss
    from lossary.losses.views.multivector import colbert_loss as colbert_loss
    from lossary.losses.views.mutual import CLIPLoss as CLIPLoss
    from lossary.losses.views.mutual import NTXentLoss as NTXentLoss
    from lossary.losses.views.mutual import SigLIPLoss as SigLIPLoss
    from lossary.losses.views.mutual import clip_loss as clip_loss
    from lossary.losses.views.mutual import nt_xent_loss as nt_xent_loss
    from lossary.losses.views.mutual import siglip_loss as siglip_loss
    from lossary.losses.views.relational import RKDAngleLoss as RKDAngleLoss
    from lossary.losses.views.relational import RKDDistanceLoss as RKDDistanceLoss
    from lossary.losses.views.relational import rkd_angle_loss as rkd_angle_loss
    from lossary.losses.views.relational import rkd_distance_loss as rkd_distance_loss
    from lossary.losses.views.retrieval import InfoNCELoss as InfoNCELoss
    from lossary.losses.views.retrieval import MultipleNegativesRankingLoss as MultipleNegativesRankingLoss
    from lossary.losses.views.retrieval import NPairLoss as NPairLoss
    from lossary.losses.views.retrieval import info_nce_loss as info_nce_loss
    from lossary.losses.views.retrieval import multiple_negatives_ranking_loss as multiple_negatives_ranking_loss
    from lossary.losses.views.retrieval import n_pair_loss as n_pair_loss
    from lossary.losses.views.selfdistillation import DINOLoss as DINOLoss
    from lossary.losses.views.selfdistillation import NegativeCosineLoss as NegativeCosineLoss
    from lossary.losses.views.selfdistillation import SwAVLoss as SwAVLoss
    from lossary.losses.views.selfdistillation import dino_loss as dino_loss
    from lossary.losses.views.selfdistillation import negative_cosine_loss as negative_cosine_loss
    from lossary.losses.views.selfdistillation import swav_loss as swav_loss
    from lossary.losses.waves.signals import MultiResolutionSTFTLoss as MultiResolutionSTFTLoss
    from lossary.losses.waves.signals import SISDRLoss as SISDRLoss
    from lossary.losses.waves.signals import multi_resolution_stft_loss as multi_resolution_stft_loss
    from lossary.losses.waves.signals import si_sdr_loss as si_sdr_loss
    from lossary.models import LinearClassifier as LinearClassifier
    from lossary.models import MLP as MLP
    from lossary.models import Siamese as Siamese
    from lossary.models import SmallCNN as SmallCNN
    from lossary.models import UNet as UNet
    from lossary.watching.hooks import Watch as Watch
    from lossary.watching.hooks import watch as watch

    AAMSoftmaxLoss = ArcFaceLoss
    AMSoftmaxLoss = CosFaceLoss
    ASoftmaxLoss = SphereFaceLoss
    BalancedSoftmaxLoss = LogitAdjustedLoss
    CIoULoss = CompleteIoULoss
    DIoULoss = DistanceIoULoss
    DKDLoss = DecoupledDistillationLoss
    DecoupledContrastiveLoss = DCLLoss
    GIoULoss = GeneralizedIoULoss
    HCLLoss = HardNegativeContrastiveLoss
    MAELoss = L1Loss
    MNRLoss = MultipleNegativesRankingLoss
    MRSTFTLoss = MultiResolutionSTFTLoss
    NormFaceLoss = NormalizedSoftmaxLoss
    PPOLoss = PPOClipLoss
    RewardModelLoss = BradleyTerryLoss
    SoftNearestNeighborLoss = NCALoss
    TVLoss = TotalVariation
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

__version__ = "0.3.0"


def _public() -> dict[str, Any]:
    catalogue, hooks = (importlib.import_module(f"lossary.{name}") for name in ("catalogue", "watching.hooks"))
    modules = (*catalogue.FAMILIES, *catalogue.HELPERS, catalogue, hooks)
    names: dict[str, Any] = {name: getattr(module, name) for module in modules for name in module.__all__}
    for card in catalogue.CATALOGUE:
        names |= {alias: card.fn if alias.islower() else card.module for alias in card.aliases}
    return names


if not TYPE_CHECKING:  # to a type checker it would mean that every name exists

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):  # asked for by import machinery and tools; never ours
            raise AttributeError(name)
        if name in ("functional", "presets"):
            return importlib.import_module(f"lossary.{name}")
        public = _public()
        if name not in public:
            raise AttributeError(f"module 'lossary' has no attribute {name!r}")
        globals()[name] = public[name]
        return public[name]


def __dir__() -> list[str]:
    return sorted([*_public(), "__version__", "functional", "presets"])
