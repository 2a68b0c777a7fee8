"""The map of losses (P22): their kinds, and where one becomes another; each arc is checked on drawn inputs."""

import torch
import torch.nn.functional as F
from torch import Tensor

import lossary
from lossary.gallery.exhibit import Results, Source, exhibit


def _errors() -> dict[str, tuple[Tensor, Tensor]]:
    r, t = torch.randn(2, 50)
    mse, mae, unit = lossary.mse_loss(r, t), lossary.l1_loss(r, t), torch.ones(50)
    return {
        "huber_loss, δ beyond every error: ½ mse_loss": (lossary.huber_loss(r, t, delta=99.0), mse / 2),
        "smooth_l1_loss, β = 0: l1_loss": (lossary.smooth_l1_loss(r, t, beta=0.0), mae),
        "quantile_loss, q = ½: ½ l1_loss": (lossary.quantile_loss(r, t), mae / 2),
        "gaussian_nll_loss, variance 1: ½ mse_loss": (lossary.gaussian_nll_loss(r, t, unit), mse / 2),
    }


def _classes() -> dict[str, tuple[Tensor, Tensor]]:
    z, y = torch.randn(50, 2), torch.arange(50) % 2
    s, ce = z[:, 1] - z[:, 0], lossary.cross_entropy(z, y)
    b, hinge = y.double(), lossary.hinge_loss(s, y)
    bce = lossary.binary_cross_entropy_with_logits(s, b)
    focal, asymmetric = lossary.sigmoid_focal_loss, lossary.asymmetric_loss(s, b, gamma_negative=0.0, margin=0.0)
    return {
        "focal_loss, γ = 0: cross_entropy": (lossary.focal_loss(z, y, gamma=0.0), ce),
        "poly_loss, ε = 0: cross_entropy": (lossary.poly_loss(z, y, epsilon=0.0), ce),
        "generalized_cross_entropy_loss, q → 0: cross_entropy": (
            lossary.generalized_cross_entropy_loss(z, y, q=1e-9),
            ce,
        ),
        "kl_divergence_loss, one-hot targets: cross_entropy": (lossary.kl_divergence_loss(z, torch.eye(2)[y]), ce),
        "cross_entropy, two classes: binary_cross_entropy_with_logits": (ce, bce),
        "sigmoid_focal_loss, γ = 0: binary_cross_entropy_with_logits": (focal(s, b, gamma=0.0), bce),
        "balanced_bce_loss, weights 1: binary_cross_entropy_with_logits": (lossary.balanced_bce_loss(s, b), bce),
        "asymmetric_loss, γ₊ = γ₋ = m = 0: binary_cross_entropy_with_logits": (asymmetric, bce),
        "multiclass_hinge_loss, two classes: hinge_loss": (lossary.multiclass_hinge_loss(z, y), hinge),
    }


def _angles() -> dict[str, tuple[Tensor, Tensor]]:
    e, w, k = F.normalize(torch.randn(6, 3), dim=1), torch.randn(2, 3), torch.arange(6) % 2
    plain = {scale: lossary.normface_loss(e, w, k, scale=scale) for scale in (9.0, 20.0, 64.0)}
    of_cosines = lossary.cross_entropy(20 * e @ F.normalize(w).T, k)
    sphereface = lossary.sphereface_loss(e, w, k, margin=1, scale=9.0)
    return {
        "normalized_softmax_loss, scores are cosines: cross_entropy": (plain[20.0], of_cosines),
        "cosface_loss, m = 0: normalized_softmax_loss": (lossary.cosface_loss(e, w, k, margin=0.0), plain[64.0]),
        "arcface_loss, m = 0: normalized_softmax_loss": (lossary.arcface_loss(e, w, k, margin=0.0), plain[64.0]),
        "sphereface_loss, m = 1: normalized_softmax_loss": (sphereface, plain[9.0]),
    }


def _pairs() -> dict[str, tuple[Tensor, Tensor]]:
    e, f = F.normalize(torch.randn(2, 6, 3), dim=-1)
    info_nce, nt_xent = lossary.info_nce_loss(e, f, temperature=0.05), lossary.nt_xent_loss(e, f, temperature=0.5)
    supcon = lossary.supcon_loss(torch.cat([e, f]), torch.arange(6).repeat(2), temperature=0.5)
    ranking = lossary.multiple_negatives_ranking_loss(e, f)
    return {
        "supcon_loss, one positive each: nt_xent_loss": (supcon, nt_xent),
        "multiple_negatives_ranking_loss, unit vectors: info_nce_loss": (ranking, info_nce),
        "info_nce_loss, other items as classes: cross_entropy": (
            info_nce,
            lossary.cross_entropy(20 * e @ f.T, torch.arange(6)),
        ),
    }


def _masks() -> dict[str, tuple[Tensor, Tensor]]:
    m, g = torch.randn(4, 1, 9), torch.rand(4, 1, 9).round()
    halves = lossary.sigmoid_tversky_loss(m, g, smooth=0.0, alpha=0.5, beta=0.5)
    ones = lossary.sigmoid_tversky_loss(m, g, alpha=1.0, beta=1.0)
    return {
        "tversky_loss, α = β = ½: dice_loss": (halves, lossary.sigmoid_dice_loss(m, g, smooth=0.0)),
        "tversky_loss, α = β = 1: jaccard_loss": (ones, lossary.sigmoid_jaccard_loss(m, g)),
    }


@exhibit(
    "P22",
    "A map of losses",
    Source.RECITATION,
    says="Losses are of three kinds, by error, by probability and by margin; and either basic or for classes never "
    "seen.",
    answer="An arc joins two losses if one becomes the other at some value of its hyperparameter, or in the case "
    "named; each was checked on random inputs when this page was made. The kinds overlap: margin losses on angles "
    "become a softmax at margin 0, and the hinge of two classes is the multiclass one. Mask overlap losses belong "
    "to none of the three.",
    look_for="cross-entropy and how many lead to it. A ring marks what is made for classes that were never seen.",
    hand="map",
    helpers=(_errors, _classes, _angles, _pairs, _masks),
    losses=("cross_entropy", "focal_loss", "arcface_loss", "tversky_loss"),
)
def p22() -> Results:
    angular = ["cosface_loss", "arcface_loss", "sphereface_loss"]
    of_batches = ["normalized_softmax_loss", "info_nce_loss", "multiple_negatives_ranking_loss"]
    of_batches += ["nt_xent_loss", "supcon_loss"]
    basic = ["cross_entropy", "binary_cross_entropy_with_logits", "focal_loss", "poly_loss", "kl_divergence_loss"]
    basic += ["generalized_cross_entropy_loss", "sigmoid_focal_loss", "asymmetric_loss", "balanced_bce_loss"]
    errors = ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "quantile_loss", "gaussian_nll_loss"]
    arcs = _errors() | _classes() | _angles() | _pairs() | _masks()
    return {
        "kinds": {
            "by error": errors,
            "by probability": basic + of_batches,
            "by margin": ["hinge_loss", "multiclass_hinge_loss", *angular],
            "by overlap": ["dice_loss", "tversky_loss", "jaccard_loss"],
        },
        "unseen": of_batches + angular,
        "arcs": {name: torch.allclose(*both, atol=1e-7) for name, both in arcs.items()},
    }


EXHIBITS = (p22,)
