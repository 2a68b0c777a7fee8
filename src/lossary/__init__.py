"""Every PyTorch loss done right, and one command that tells you which one your data wants.

The public names are the families' ``__all__`` and the cards' aliases; they are imported at first use, so that the
command line answers without importing torch. Type checkers read them below.
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
    from lossary.compose.distillation import linear_distillation as linear_distillation
    from lossary.compose.linear import LinearCrossEntropyLoss as LinearCrossEntropyLoss
    from lossary.compose.linear import LinearHead as LinearHead
    from lossary.compose.linear import linear_cross_entropy as linear_cross_entropy
    from lossary.compose.linear import linear_loss as linear_loss
    from lossary.compose.regularizers import Regularized as Regularized
    from lossary.compose.regularizers import elastic_net_penalty as elastic_net_penalty
    from lossary.compose.regularizers import l1_penalty as l1_penalty
    from lossary.compose.regularizers import l2_penalty as l2_penalty
    from lossary.compose.regularizers import weights_of as weights_of
    from lossary.compose.sums import DeepSupervision as DeepSupervision
    from lossary.compose.sums import Sum as Sum
    from lossary.compose.weighting import class_weights as class_weights
    from lossary.core.card import Card as Card
    from lossary.core.loss import HeadLoss as HeadLoss
    from lossary.core.loss import Loss as Loss
    from lossary.losses.answers.binary import BCELoss as BCELoss
    from lossary.losses.answers.binary import BCEWithLogitsLoss as BCEWithLogitsLoss
    from lossary.losses.answers.binary import BalancedBCELoss as BalancedBCELoss
    from lossary.losses.answers.binary import SigmoidFocalLoss as SigmoidFocalLoss
    from lossary.losses.answers.binary import SigmoidPolyFocalLoss as SigmoidPolyFocalLoss
    from lossary.losses.answers.binary import balanced_bce_loss as balanced_bce_loss
    from lossary.losses.answers.binary import binary_cross_entropy as binary_cross_entropy
    from lossary.losses.answers.binary import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
    from lossary.losses.answers.binary import sigmoid_focal_loss as sigmoid_focal_loss
    from lossary.losses.answers.binary import sigmoid_poly_focal_loss as sigmoid_poly_focal_loss
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
    from lossary.losses.classes.powers import GeneralizedCrossEntropyLoss as GeneralizedCrossEntropyLoss
    from lossary.losses.classes.powers import PolyFocalLoss as PolyFocalLoss
    from lossary.losses.classes.powers import PolyLoss as PolyLoss
    from lossary.losses.classes.powers import generalized_cross_entropy_loss as generalized_cross_entropy_loss
    from lossary.losses.classes.powers import poly_focal_loss as poly_focal_loss
    from lossary.losses.classes.powers import poly_loss as poly_loss
    from lossary.losses.classes.softmax import CrossEntropyLoss as CrossEntropyLoss
    from lossary.losses.classes.softmax import FocalLoss as FocalLoss
    from lossary.losses.classes.softmax import NLLLoss as NLLLoss
    from lossary.losses.classes.softmax import cross_entropy as cross_entropy
    from lossary.losses.classes.softmax import focal_loss as focal_loss
    from lossary.losses.classes.softmax import nll_loss as nll_loss
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
    from lossary.losses.identities.prototypes import GE2ELoss as GE2ELoss
    from lossary.losses.identities.prototypes import ProxyAnchorLoss as ProxyAnchorLoss
    from lossary.losses.identities.prototypes import ge2e_loss as ge2e_loss
    from lossary.losses.identities.prototypes import proxy_anchor_loss as proxy_anchor_loss
    from lossary.losses.identities.similarity import CircleLoss as CircleLoss
    from lossary.losses.identities.similarity import MultiSimilarityLoss as MultiSimilarityLoss
    from lossary.losses.identities.similarity import SupConLoss as SupConLoss
    from lossary.losses.identities.similarity import circle_loss as circle_loss
    from lossary.losses.identities.similarity import multi_similarity_loss as multi_similarity_loss
    from lossary.losses.identities.similarity import supcon_loss as supcon_loss
    from lossary.losses.identities.sphereface import Annealing as Annealing
    from lossary.losses.identities.sphereface import CombinedMarginLoss as CombinedMarginLoss
    from lossary.losses.identities.sphereface import SphereFaceLoss as SphereFaceLoss
    from lossary.losses.identities.sphereface import combined_margin_loss as combined_margin_loss
    from lossary.losses.identities.sphereface import sphereface_loss as sphereface_loss
    from lossary.losses.lists.listwise import ApproxNDCGLoss as ApproxNDCGLoss
    from lossary.losses.lists.listwise import ListMLELoss as ListMLELoss
    from lossary.losses.lists.listwise import ListNetLoss as ListNetLoss
    from lossary.losses.lists.listwise import approx_ndcg_loss as approx_ndcg_loss
    from lossary.losses.lists.listwise import listmle_loss as listmle_loss
    from lossary.losses.lists.listwise import listnet_loss as listnet_loss
    from lossary.losses.lists.pairwise import LambdaLoss as LambdaLoss
    from lossary.losses.lists.pairwise import MarginRankingLoss as MarginRankingLoss
    from lossary.losses.lists.pairwise import RankNetLoss as RankNetLoss
    from lossary.losses.lists.pairwise import lambda_loss as lambda_loss
    from lossary.losses.lists.pairwise import margin_ranking_loss as margin_ranking_loss
    from lossary.losses.lists.pairwise import ranknet_loss as ranknet_loss
    from lossary.losses.masks.compound import DiceCrossEntropyLoss as DiceCrossEntropyLoss
    from lossary.losses.masks.compound import DiceFocalLoss as DiceFocalLoss
    from lossary.losses.masks.compound import SigmoidDiceCrossEntropyLoss as SigmoidDiceCrossEntropyLoss
    from lossary.losses.masks.compound import SigmoidDiceFocalLoss as SigmoidDiceFocalLoss
    from lossary.losses.masks.compound import dice_cross_entropy_loss as dice_cross_entropy_loss
    from lossary.losses.masks.compound import dice_focal_loss as dice_focal_loss
    from lossary.losses.masks.compound import sigmoid_dice_cross_entropy_loss as sigmoid_dice_cross_entropy_loss
    from lossary.losses.masks.compound import sigmoid_dice_focal_loss as sigmoid_dice_focal_loss
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
    from lossary.losses.masks.overlap import SigmoidTverskyLoss as SigmoidTverskyLoss
    from lossary.losses.masks.overlap import TverskyLoss as TverskyLoss
    from lossary.losses.masks.overlap import dice_loss as dice_loss
    from lossary.losses.masks.overlap import jaccard_loss as jaccard_loss
    from lossary.losses.masks.overlap import sigmoid_dice_loss as sigmoid_dice_loss
    from lossary.losses.masks.overlap import sigmoid_jaccard_loss as sigmoid_jaccard_loss
    from lossary.losses.masks.overlap import sigmoid_tversky_loss as sigmoid_tversky_loss
    from lossary.losses.masks.overlap import tversky_loss as tversky_loss
    from lossary.losses.pairs.contrastive import ContrastiveLoss as ContrastiveLoss
    from lossary.losses.pairs.contrastive import CosineEmbeddingLoss as CosineEmbeddingLoss
    from lossary.losses.pairs.contrastive import HingeEmbeddingLoss as HingeEmbeddingLoss
    from lossary.losses.pairs.contrastive import contrastive_loss as contrastive_loss
    from lossary.losses.pairs.contrastive import cosine_embedding_loss as cosine_embedding_loss
    from lossary.losses.pairs.contrastive import hinge_embedding_loss as hinge_embedding_loss
    from lossary.losses.sequences.alignment import CTCLoss as CTCLoss
    from lossary.losses.sequences.alignment import ctc_loss as ctc_loss
    from lossary.losses.triplets.triplet import TripletLoss as TripletLoss
    from lossary.losses.triplets.triplet import TripletMarginLoss as TripletMarginLoss
    from lossary.losses.triplets.triplet import TripletMarginWithDistanceLoss as TripletMarginWithDistanceLoss
    from lossary.losses.triplets.triplet import triplet_loss as triplet_loss
    from lossary.losses.triplets.triplet import triplet_margin_loss as triplet_margin_loss
    from lossary.losses.triplets.triplet import triplet_margin_with_distance_loss as triplet_margin_with_distance_loss
    from lossary.losses.values.likelihood import GaussianNLLLoss as GaussianNLLLoss
    from lossary.losses.values.likelihood import PoissonNLLLoss as PoissonNLLLoss
    from lossary.losses.values.likelihood import gaussian_nll_loss as gaussian_nll_loss
    from lossary.losses.values.likelihood import poisson_nll_loss as poisson_nll_loss
    from lossary.losses.values.regression import L1Loss as L1Loss
    from lossary.losses.values.regression import MSELoss as MSELoss
    from lossary.losses.values.regression import MeanBiasError as MeanBiasError
    from lossary.losses.values.regression import QuantileLoss as QuantileLoss
    from lossary.losses.values.regression import l1_loss as l1_loss
    from lossary.losses.values.regression import mean_bias_error as mean_bias_error
    from lossary.losses.values.regression import mse_loss as mse_loss
    from lossary.losses.values.regression import quantile_loss as quantile_loss
    from lossary.losses.values.robust import HuberLoss as HuberLoss
    from lossary.losses.values.robust import LogCoshLoss as LogCoshLoss
    from lossary.losses.values.robust import SmoothL1Loss as SmoothL1Loss
    from lossary.losses.values.robust import huber_loss as huber_loss
    from lossary.losses.values.robust import log_cosh_loss as log_cosh_loss
    from lossary.losses.values.robust import smooth_l1_loss as smooth_l1_loss
    from lossary.losses.views.mutual import CLIPLoss as CLIPLoss
    from lossary.losses.views.mutual import NTXentLoss as NTXentLoss
    from lossary.losses.views.mutual import SigLIPLoss as SigLIPLoss
    from lossary.losses.views.mutual import clip_loss as clip_loss
    from lossary.losses.views.mutual import nt_xent_loss as nt_xent_loss
    from lossary.losses.views.mutual import siglip_loss as siglip_loss
    from lossary.losses.views.retrieval import InfoNCELoss as InfoNCELoss
    from lossary.losses.views.retrieval import MultipleNegativesRankingLoss as MultipleNegativesRankingLoss
    from lossary.losses.views.retrieval import NPairLoss as NPairLoss
    from lossary.losses.views.retrieval import info_nce_loss as info_nce_loss
    from lossary.losses.views.retrieval import multiple_negatives_ranking_loss as multiple_negatives_ranking_loss
    from lossary.losses.views.retrieval import n_pair_loss as n_pair_loss
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
    MAELoss = L1Loss
    MNRLoss = MultipleNegativesRankingLoss
    NormFaceLoss = NormalizedSoftmaxLoss
    a_softmax_loss = sphereface_loss
    aam_softmax_loss = arcface_loss
    am_softmax_loss = cosface_loss
    generalized_end_to_end_loss = ge2e_loss
    mae_loss = l1_loss
    mnr_loss = multiple_negatives_ranking_loss
    normface_loss = normalized_softmax_loss
    # end
    # isort: on

__version__ = "0.3.0.dev0"


def _public() -> dict[str, Any]:
    catalogue, hooks = (importlib.import_module(f"lossary.{name}") for name in ("catalogue", "watching.hooks"))
    modules = (*catalogue.FAMILIES, *catalogue.HELPERS, catalogue, hooks)
    names: dict[str, Any] = {name: getattr(module, name) for module in modules for name in module.__all__}
    for card in catalogue.CATALOGUE:
        names |= {alias: card.fn if alias.islower() else card.module for alias in card.aliases}
    return names


if not TYPE_CHECKING:  # to a type checker it would mean that there is every name

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):  # asked by import machinery and tools; never ours
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
