"""Faults that are explained: where Lossary differs from its twin by design, or float32 cannot do better.

Each entry must occur in a long run, or it is out of date: the run says so. What occurs a time or two in a million cases
names one of them, which the tests judge.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fuzz.calls import largest
from fuzz.generate import Case
from fuzz.near import OF_ANGLES, VAST, angle_errors, embeddings, grown, hyper, lengths, norms
from fuzz.subjects import CARDS


@dataclass(frozen=True)
class Known:
    """``reason`` explains the ``fault`` (a pattern) of cards whose name matches ``cards``, where ``when`` holds.

    ``example`` is a case of what is too rare for a long run to have for certain.
    """

    cards: str
    fault: str
    reason: str
    when: Callable[[Case], bool] = lambda _: True
    example: str = ""

    def explains(self, case: Case, fault: str) -> bool:
        fits = re.fullmatch(self.cards, case.name) and re.search(self.fault, fault)
        return bool(fits) and self.when(case)


def explained(case: Case, faults: list[str]) -> tuple[list[str], list[str]]:
    """The reasons of the faults that are known, and the faults that are not."""
    reasons, left = [], []
    for fault in faults:
        reason = next((k.reason for k in KNOWN if k.explains(case, fault)), None)
        if reason is None:
            left.append(fault)
        else:
            reasons.append(reason)
    return reasons, left


# ---------------------------------------------------------------- when


def probabilities(case: Case) -> tuple[Tensor, Tensor]:
    """Of a loss of masks, in the dtype that sums are made in and in float64."""
    z, y = case.twin.args
    low = z.float() if case.dtype != torch.float64 else z
    if y.shape == z.shape:
        return low.sigmoid(), z.sigmoid()
    return low.softmax(1), z.softmax(1)


def probability_rounds_to_truth(case: Case) -> bool:
    low, exact = probabilities(case)
    y = case.twin.args[1]
    return y.shape == low.shape and bool(((low == y) & (exact != y)).any())


def probability_rounds_to_one(case: Case) -> bool:
    low, exact = probabilities(case)
    return bool(((low == 1) & (exact < 1)).any())


def distances_are_alike(case: Case) -> bool:
    """Whether the classes' distances at a position differ by little, beside what they are."""
    far = case.twin.args[1]
    return bool((far.amax(1) - far.amin(1) < 1e-2 * far.abs().amax(1)).any())


def probability_is_a_half(case: Case) -> bool:
    """Whether a probability is so near a half that float32 does not tell on which side."""
    return bool(((probabilities(case)[1] - 0.5).abs() < 1e-6).any())


def probability_underflows(case: Case) -> bool:
    low, exact = probabilities(case)
    least = 1e-19 if hyper(case, "squared") else 1e-37
    return hyper(case, "smooth") == 0 and bool(((low < least) & (exact > 0)).any())


def errors_tie(case: Case) -> bool:
    """Whether two errors are nearer than a lower precision can tell, so that they are sorted by place instead."""
    scores = case.twin.args[0] if case.name == "lovasz_hinge_loss" else probabilities(case)[1]
    errors = torch.cat([scores.flatten(), 1 - scores.flatten()]).sort().values
    return bool((errors.diff() <= 1e-6 * errors[1:].abs().clamp_min(1e-3)).any())


def distances_vanish(case: Case) -> bool:
    """Whether two rows differ by so little that the square of it is 0 in float32."""
    rows = torch.cat([x.reshape(-1, x.shape[-1]) for x in embeddings(case)])
    gaps = (rows[:, None] - rows).norm(dim=2)
    return bool(((gaps > 0) & (gaps < 1e-18)).any())


def speakers(case: Case) -> list[Tensor]:
    """The utterances of each speaker that count, (U, D), as their centroid is taken of them."""
    x, mask = case.twin.args[0], case.twin.kwargs.get("mask")
    if hyper(case, "normalize"):
        x = (x / norms(x)).nan_to_num(0, 0, 0)
    counts = torch.ones(x.shape[:-1], dtype=torch.bool)
    if mask is not None:
        counts &= mask.reshape(mask.shape + (1,) * (counts.dim() - mask.dim()))
    labels = case.twin.args[1] if x.dim() == 2 else torch.arange(len(x))[:, None].expand_as(counts)
    return [x[counts & (labels == label)] for label in labels[counts].unique()]


def squared_distances_overflow(case: Case) -> bool:
    longest = max(norms(x).max().item() for x in embeddings(case))
    return bool(hyper(case, "squared")) and (2 * longest) ** 2 > torch.finfo(torch.float32).max


def centroid_vanishes(case: Case) -> bool:
    """Whether a speaker's utterances nearly cancel, all of them or all but one."""
    groups = [group for group in speakers(case) if len(group) > 1]
    sums = [(group.sum(0) - group) / (len(group) - 1) for group in groups]
    sums += [group.mean(0, keepdim=True) for group in groups]
    return bool(groups) and bool((norms(torch.cat(sums)) < 1e-2 * norms(torch.cat(groups)).max()).any())


def nearest_centroids_tie(case: Case) -> bool:
    """Whether two of the other speakers' centroids are as near to an utterance, by cosines in float32."""
    groups = speakers(case)
    if hyper(case, "kind") != "contrast" or len(groups) < 3:
        return False
    centroids = torch.stack([group.sum(0) for group in groups])
    own = torch.arange(len(groups)).repeat_interleave(torch.tensor(list(map(len, groups))))
    x = torch.cat(groups)
    cosines = (x / norms(x)) @ (centroids / norms(centroids)).T
    nearest = cosines.scatter(1, own[:, None], -torch.inf).topk(2, dim=1).values
    return bool((nearest.diff(dim=1).abs() < 8 * torch.finfo(torch.float32).eps).any())


def cosines_are_one(case: Case) -> bool:
    x, w, labels = case.twin.args
    return bool((angle_errors(x, w, labels, 1e-16) > 1e-14).any())


def waves_cancel(case: Case) -> bool:
    """Whether an item lies so far out in a direction that the waves of its gradient nearly cancel."""
    x, directions = case.twin.args
    return bool(((x @ (directions / norms(directions)).nan_to_num(0, 0, 0).T).abs() > 4).any())


def best_matches_tie(case: Case) -> bool:
    """Whether two tokens match one of a query as well as float32 can tell."""
    q, d = case.twin.args[:2]
    if hyper(case, "normalize"):
        q, d = ((x / norms(x)).nan_to_num(0, 0, 0) for x in (q, d))
    alike = torch.einsum("iqd,jpd->iqjp", q, d)
    best = alike.topk(min(2, alike.shape[-1])).values
    return bool((best.diff().abs() <= 4e-7 * (norms(q)[:, :, None] * norms(d).amax())).any())


def nearest_points_tie(case: Case) -> bool:
    """Whether a point has two of the other cloud as near as float32 can tell."""
    apart = (case.twin.args[0][:, :, None] - case.twin.args[1][:, None]).square().sum(-1)
    for each in (apart, apart.mT):
        nearest = each.topk(min(2, each.shape[-1]), largest=False).values
        if bool((nearest.diff() <= 1e-6 * nearest[..., 1:]).any()):
            return True
    return False


def lies_on_a_line(case: Case) -> bool:
    """Whether all of the student's embeddings do, or all of the teacher's."""
    spreads = [torch.linalg.svdvals(x - x.mean(0)) for x in case.twin.args]
    return any(bool((s[1:] <= 1e-6 * s[:1]).all()) for s in spreads)


def has_one_distance(case: Case) -> bool:
    """Whether all of the student's embeddings, or all of the teacher's, lie in two places."""
    counts = torch.ones(len(case.twin.args[0]), dtype=torch.bool)
    for given in ("mask", "sample_weight"):
        if given in case.twin.kwargs:
            counts &= case.twin.kwargs[given] != 0
    apart = [torch.pdist(x[counts]) for x in case.twin.args]
    return any(bool(((d == 0) | (d > (1 - 1e-6) * d.amax())).all()) for d in apart if d.numel())


def shortest(case: Case) -> float:
    sizes = torch.cat([norms(x).flatten() for x in embeddings(case)])
    return float(sizes[sizes > 0].min()) if bool((sizes > 0).any()) else 1.0


def lengths_differ(case: Case) -> bool:
    """Whether a row is so long that the others are lost beside it."""
    sizes = torch.cat([norms(x).flatten() for x in embeddings(case)])
    return bool(sizes.max() > 1e4 * sizes[sizes > 0].min())


def largest_gains(case: Case) -> Tensor:
    """Of each list."""
    gains, mask = case.twin.args[1], case.twin.kwargs.get("mask")
    if mask is not None:
        gains = gains * mask.reshape(mask.shape + (1,) * (gains.dim() - mask.dim()))
    return gains.amax(1)


def gains_are_tiny(case: Case) -> bool:
    largest_gain = largest_gains(case)
    tiny = torch.finfo(torch.float32).tiny ** (5 / 6)
    return case.dtype != torch.float64 and bool(((largest_gain > 0) & (largest_gain < tiny)).any())


def slopes_of_gains_overflow(case: Case) -> bool:
    gains = largest_gains(case)
    return bool((case.twin.args[0].abs().amax(1)[gains > 0] / gains[gains > 0] > 1e38).any())


def smoothed_scores_differ_infinitely(case: Case) -> bool:
    scores = case.twin.args[0]
    spread = scores.amax(1) - scores.amin(1)
    return bool(hyper(case, "label_smoothing")) and bool((spread > torch.finfo(torch.float32).max).any())


def softmax_is_off_beside_no_distribution(case: Case) -> bool:
    """Whether a target's shares in float32 do not add up to 1, while ``input``'s are next to nothing."""
    x, target = case.twin.args
    if hyper(case, "target_kind") != "logits" or hyper(case, "input_kind") != "probabilities":
        return False
    dim = hyper(case, "dim") if x.dim() > 1 else 0
    off = (target.float().log_softmax(dim).exp().double().sum(dim) - 1).abs()
    return bool(((off > 3e-7) & (x.sum(dim) < 1e-6)).any())


def products_with_classes_overflow(case: Case) -> bool:
    """Whether they do before they are divided by the classes' lengths, which are 4e12 by then at most."""
    x, w = case.twin.args[:2]
    most = torch.finfo(torch.float32).tiny ** (-1 / 3) * w.shape[-1] ** 0.5
    return float(norms(x).max()) * min(float(norms(w).max()), most) > 1e37


def two_items(case: Case) -> bool:
    return len(case.twin.args[0]) == 2


def scores_are_long(case: Case) -> bool:
    return lengths(case) * grown(case) > 100


def neighbours_tie(case: Case) -> bool:
    """Whether two probabilities that differ are one in float32."""
    low, exact = probabilities(case)
    return low.unique().numel() < exact.unique().numel()


def nearly_right(case: Case) -> bool:
    """Whether a class's Tversky loss, before its power, is so small that float32's sums hardly show it."""
    given = {**case.twin.kwargs, "gamma": 1.0, "reduction": "none"}
    shares = CARDS[case.name].fn(*case.twin.args, **given)
    return case.dtype != torch.float64 and bool(((shares > 0) & (shares < 1e-3)).any())


def amounts_differ(case: Case) -> bool:
    """Whether one of two amounts is so much larger that the slope by it is a difference of two that nearly cancel."""
    ratio = (case.twin.args[0].double() / case.twin.args[1].double()).abs()
    return bool(((ratio > 30) | (ratio < 1 / 30)).any())


#: Losses of softmaxes over plain products.
PRODUCTS = (
    "sphereface_loss|normalized_softmax_loss|n_pair_loss|info_nce_loss|multiple_negatives_ranking_loss|clip_loss"
    "|colbert_loss"
)

#: Losses of squares.
SQUARES = (
    "triplet_.*|contrastive_loss|center_loss|gaussian_nll_loss|multi_margin_loss|multiclass_hinge_loss|n_pair_loss"
)

KNOWN: tuple[Known, ...] = (
    Known(
        "(sigmoid_)?(dice|tversky|jaccard).*",
        "gradient by 1:",
        "the slope by a soft target has a kink where it meets the probability, which float32 rounds onto it",
        probability_rounds_to_truth,
    ),
    Known(
        "(sigmoid_)?(dice|tversky|jaccard).*",
        "(value|gradient by .):",
        "smooth=0: a region of probabilities, or squares, that float32 has as 0 is empty, which is a perfect score",
        probability_underflows,
    ),
    Known(
        "s?mape_loss",
        "gradient by .:",
        "the slope by an amount 30 times the other one: a quotient's two terms, of which little is left",
        amounts_differ,
    ),
    Known(
        "(sigmoid_)?focal_tversky_loss",
        "(value|gradient by .*):",
        "a class all but found: what is wrong is a difference of float32's sums, and its power has fewer digits yet",
        nearly_right,
    ),
    Known(
        "(sigmoid_)?cl_dice_loss",
        "(value|gradient by .*):",
        "probabilities that float32 cannot tell apart are equal: the least of them is the first, another subgradient",
        neighbours_tie,
    ),
    Known(
        ".*lovasz.*",
        "gradient by .:",
        "errors that float32 cannot tell apart are sorted by place: another subgradient of the same kink",
        errors_tie,
    ),
    Known(
        "sigreg_loss",
        "gradient by .:",
        "far from 0 the gradient is a sum of waves that cancel but for less than float32's digits of each",
        waves_cancel,
        "sigreg_loss:989",
    ),
    Known(
        "colbert_loss",
        "gradient by .:",
        "two tokens match as well, but for less than float32's digits: the gradient goes to the other",
        best_matches_tie,
        "colbert_loss:2565",
    ),
    Known(
        "boundary_loss",
        "gradient by 0:",
        "all classes about as far off: their slopes cancel but for the difference of the distances",
        distances_are_alike,
        "boundary_loss:601",
    ),
    Known(
        "(sigmoid_)?hausdorff_dt_loss",
        "gradient by 0:",
        "a probability near 1: of its error, and of its slope, is left what rounding leaves",
        lambda case: bool((1 - probabilities(case)[1] < 1e-4).any()),
        "hausdorff_dt_loss:729",
    ),
    Known(
        "(sigmoid_)?boundary_loss",
        "gradient by 0:",
        "a probability that rounds to 1: its slope rounds to 0, whatever the distance",
        probability_rounds_to_one,
        "sigmoid_boundary_loss:119",
    ),
    Known(
        "(sigmoid_)?hausdorff_dt_loss",
        "(value|gradient by 0):",
        "a probability so near a half that the predicted region has the position, or has it not",
        probability_is_a_half,
    ),
    Known(
        "chamfer_loss",
        "gradient by .:",
        "two points as near, but for less than float32's digits: the gradient goes to the other",
        nearest_points_tie,
    ),
    Known(
        "rkd_angle_loss",
        "gradient by .:",
        "angles of 0 and 180 degrees, which nothing on a line changes: of their gradient, 0, the rounding is left",
        lies_on_a_line,
    ),
    Known(
        "rkd_angle_loss",
        "it took more than 20 seconds",
        "its time grows with the cube of the batch",
        lambda case: len(case.twin.args[0]) > 500,
    ),
    Known(
        "rkd_distance_loss",
        "gradient by .:",
        "the only distance, over itself: of its gradient, 0, the rounding is left",
        has_one_distance,
        "rkd_distance_loss:1559",
    ),
    Known(
        "triplet_.*|contrastive_loss|center_loss",
        "(value|gradient by .*):",
        "rows nearer than 1e-19: the square of their distance is 0 in float32, so they count as one point",
        distances_vanish,
    ),
    Known(
        PRODUCTS,
        "gradient by .*:",
        "a softmax of plain products beyond 100: its shares are off by a digit of the products",
        scores_are_long,
    ),
    Known(
        "ge2e_loss",
        "(value|gradient by .*):",
        "normalize=False: a centroid without the utterance itself is a difference, gone where that is 1e4 times longer",
        lambda case: hyper(case, "normalize") is False and lengths_differ(case),
        "ge2e_loss:32117",
    ),
    Known(
        "binary_cross_entropy_with_logits|multilabel_soft_margin_loss",
        "value:",
        "torch's own sum, (1 - y) z - log sigmoid(z): right to a digit of the logit, not of the loss",
    ),
    Known(
        "sigmoid_(poly_)?focal_loss|sigmoid_dice_focal_loss",
        "(value|gradient by 1):",
        "gamma below 2: a fade below 1e-15 counts as that, for its power's slope has no end",
        lambda case: 0 < hyper(case, "gamma") < 2,
    ),
    Known(
        "kl_div.*",
        "(value|gradient by 1):",
        "torch's vectorised logarithm of subnormal numbers is off by 1 in float32",
        lambda case: bool(((t := case.twin.args[1]) > 0).logical_and(t < 1.2e-38).any()),
    ),
    Known(
        "triplet_margin_with_distance_loss",
        "(value|gradient by .*):",
        "distances come from torch's own function in half precision, and their difference has fewer digits yet",
        lambda case: case.dtype in (torch.float16, torch.bfloat16),
    ),
    Known(
        "binary_cross_entropy",
        "gradient by 0:",
        "probabilities below 1e-35: the slope 1 / p ends there, so that it stays finite",
        lambda case: bool(
            ((p := case.twin.args[0]) > 0).logical_and(p < 2.0**10 * torch.finfo(torch.float32).tiny).any()
        ),
    ),
    Known(
        "weibull_nll_loss",
        "gradient by 1:",
        "times beyond 1e15 or its inverse: their powers, and the slope of their logarithm, leave float32's range",
        lambda case: bool(((t := case.twin.args[1]) < 1e-15).logical_or(t > 1e15).any()),
    ),
    Known(
        ".*",
        "gradient by .*:",
        "rows shorter than some 1e-32: their gradient, 1 / length, is that of this length, so that it stays finite",
        lambda case: bool(embeddings(case)) and shortest(case) < 1e-30,
    ),
    Known(
        f"{PRODUCTS}|siglip_loss",
        "(value|gradient by .*): -?(nan|inf)",
        "plain products beyond float32: infinity less infinity",
        lambda case: lengths(case) * grown(case) > 1e37,
    ),
    Known(
        ".*",
        "(value|gradient by .*): (-?(nan|inf)|NaN from finite)",
        "numbers above 1e34: a hyperparameter times them, or a sum of them, leaves float32's range",
        lambda case: largest(case.twin) > VAST,
    ),
    Known(
        SQUARES,
        "(value|gradient by .*): -?(nan|inf)",
        "numbers above 1e18: squares beyond float32, and infinity less infinity, or times 0, is NaN",
        lambda case: largest(case.twin) > 1e18,
    ),
    Known(
        "normalized_softmax_loss|sphereface_loss",
        "(value|gradient by .*): -?(nan|inf)",
        "products of embeddings of 1e26 with classes of 1e12 leave float32 before they are divided by these lengths",
        products_with_classes_overflow,
        "normalized_softmax_loss:3000005699",
    ),
    Known(
        "triplet_loss",
        "gradient by .*:",
        "squared distances beyond float32 are all alike: none, or another one, is the farthest or the nearest",
        squared_distances_overflow,
        "triplet_loss:3000001238",
    ),
    Known(
        "approx_ndcg_loss|lambda_loss",
        "gradient by 1:",
        "lists whose largest gain is below 2e-32: their gradient, 1 / gain, is that of this gain, to stay finite",
        gains_are_tiny,
    ),
    Known(
        "lambda_loss",
        "gradient by 1: nan",
        "scores of 1e32 beside gains of 1e-8: the slope, score / gain, leaves float32, and inf - inf is NaN",
        slopes_of_gains_overflow,
        "lambda_loss:3000013779",
    ),
    Known(
        "dpo_loss",
        "gradient by [01]:",
        "apo_down: the slopes of its two sigmoids cancel where both answers lead alike",
        lambda case: case.twin.kwargs.get("kind") == "apo_down",
    ),
    Known(
        "dice_cross_entropy_loss",
        "gradient by 0:",
        "label smoothing: scores further apart than float32 reaches are so infinitely, which has no gradient",
        smoothed_scores_differ_infinitely,
        "dice_cross_entropy_loss:3000000311",
    ),
    Known(
        "kl_divergence_loss",
        "gradient by 1:",
        "input is no distribution, adding up to 1e-16: the divergence is large for any target, and float32 has the sum "
        "of a thousand shares of a softmax to six digits",
        softmax_is_off_beside_no_distribution,
        "kl_divergence_loss:3000000557",
    ),
    Known(
        "barlow_twins_loss",
        "gradient by",
        "two items, standardised, are 1 and -1 whatever they are: the gradient is 0 and its rounding",
        two_items,
    ),
    Known(
        "ge2e_loss",
        "gradient by 0:",
        "kind=contrast: of centroids whose cosines float32 cannot tell apart another one is the nearest",
        nearest_centroids_tie,
    ),
    Known(
        "ge2e_loss",
        "(value|gradient by .*):",
        "a centroid of utterances that cancel: what is left of it in float32 are roundings",
        centroid_vanishes,
    ),
    Known(
        "triplet_.*|contrastive_loss",
        "(value|gradient by .*):",
        "a row 1e4 times longer than others: its distances to them differ by less than a digit",
        lengths_differ,
    ),
    Known(
        "|".join(OF_ANGLES),
        "(value|gradient by .*):",
        "a cosine within 1e-4 of 1 or -1 has the angle to half of its digits",
        cosines_are_one,
    ),
    Known(
        "poisson_nll_loss",
        "value:",
        "full=True: Stirling's t log t - t beside x - t log x, large numbers that nearly cancel",
        lambda case: hyper(case, "full") and largest(case.twin) > 100,
        "poisson_nll_loss:1000005575",
    ),
)
