"""What the stories are: the batch, the formula that the source names, and who computes what instead."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mpmath import acos, cos, exp, log, mpf, sqrt


class Tale(NamedTuple):
    """A finding, on one batch."""

    title: str
    text: str
    shown: str  # the batch in words
    given: Sequence[Any]  # the tensors of the call
    formula: str  # its name
    right: Callable[..., Any]
    keys: Sequence[str]  # of the implementations
    learning: Sequence[int] = (0,)
    others: Sequence[str] = ()  # implementations that compute another loss than the one they name, which no law forbids


def _mean(numbers: Sequence[Any]) -> Any:
    return sum(numbers) / len(numbers)


def _softmax(row: Sequence[Any]) -> list[Any]:
    total = sum(exp(z) for z in row)
    return [exp(z) / total for z in row]


def focal(logits: Any, labels: Any) -> Any:
    """(1 - p)^2 (-log p) at the label, Lin et al., equation 4."""
    return _mean([-((1 - p) ** 2) * log(p) for p in (_softmax(z)[y] for z, y in zip(logits, labels, strict=True))])


def binary_focal(logits: Any, labels: Any) -> Any:
    """The same of one score, weighed by 1/4, for label 1."""
    assert labels == [[1]]
    p = 1 / (1 + exp(-logits[0][0]))
    return -((1 - p) ** 2) * log(p) / 4


def dice(probabilities: Any, masks: Any) -> Any:
    """1 - (2 I + eps) / (P + G + eps), of one class."""
    p, y, eps = probabilities[0][0][0], masks[0][0][0], mpf("1e-8")
    return 1 - (2 * sum(a * b for a, b in zip(p, y, strict=True)) + eps) / (sum(p) + sum(y) + eps)


def distilled(student: Any, teacher: Any) -> Any:
    """T^2 KL(teacher || student) at T = 4, a mean over items: Hinton et al."""
    pairs = [
        (_softmax([z / 4 for z in s]), _softmax([z / 4 for z in t])) for s, t in zip(student, teacher, strict=True)
    ]
    return 16 * _mean([sum(p * log(p / q) for q, p in zip(qs, ps, strict=True)) for qs, ps in pairs])


def contrastive(x1: Any, x2: Any, target: Any) -> Any:
    """y d^2 + (1 - y) max(1 - d, 0)^2, a mean over pairs."""
    ds = [sqrt(sum((a - b) ** 2 for a, b in zip(u, v, strict=True))) for u, v in zip(x1, x2, strict=True)]
    return _mean([d**2 if y else max(1 - d, mpf(0)) ** 2 for d, y in zip(ds, target, strict=True)])


def neighbours(student: Any, teacher: Any) -> Any:
    """The mean product of the differences of neighbours, with the last two items in the other order."""
    first, second, third = (abs(s[0] - t[0]) for s, t in zip(student, teacher, strict=True))
    return (first * third + third * second) / 2


def arcface(embeddings: Any, weight: Any, labels: Any) -> Any:
    """Cross-entropy of 64 cos(theta), and of 64 cos(theta + 1/2) at the label: Deng et al., equation 3."""

    def angle(x: Any, w: Any) -> Any:
        length = sqrt(sum(a * a for a in x)) * sqrt(sum(a * a for a in w))
        return acos(sum(a * b for a, b in zip(x, w, strict=True)) / length)

    each: list[Any] = []
    for x, y in zip(embeddings, labels, strict=True):
        scores = [64 * cos(angle(x, w) + (mpf("0.5") if at == y else 0)) for at, w in enumerate(weight)]
        each.append(-log(_softmax(scores)[y]))
    return _mean(each)


def margin_inside(embeddings: Any, weight: Any, labels: Any) -> Any:
    """Cross-entropy of 30 cos(theta), less 30 x 0.35 at the label: Wang et al., equation 6."""
    each: list[Any] = []
    for x, y in zip(embeddings, labels, strict=True):
        norm = sqrt(sum(a * a for a in x))
        cosines = [sum(a * b for a, b in zip(x, w, strict=True)) / norm / sqrt(sum(b * b for b in w)) for w in weight]
        scores = [30 * (c - (mpf("0.35") if at == y else 0)) for at, c in enumerate(cosines)]
        each.append(-log(_softmax(scores)[y]))
    return _mean(each)


TALES = (
    Tale(
        "A factor that is not differentiated",
        "The focal loss is a product, and both factors depend on the scores. Here the first factor comes from "
        "`logpt.data.exp()`, which autograd does not track: the value is the focal loss, but the gradient is not "
        "its gradient. The file was copied into many repositories; some copies fixed it.",
        "logits [[1, 0]], label 0, gamma 2",
        ([[1.0, 0.0]], [0]),
        "the focal loss",
        focal,
        (
            "clcarwin-focal-loss-pytorch-focalloss-FocalLoss",
            "HiLab-git-SSL4MIS-losses-FocalLoss",
            "mbsariyildiz-focal-loss-pytorch-focalloss-FocalLoss",
        ),
    ),
    Tale(
        "A focal loss of the mean",
        "Cross-entropy is averaged over the batch first, and the focusing factor is computed from that mean. No item "
        "is weighted by how hard it is, which is the purpose of the loss. A batch of one hides this. No law forbids "
        "it: it is a loss, just not the one in its name.",
        "logits [[4, 0], [0, 1]], labels [0, 0], gamma 2",
        ([[4.0, 0.0], [0.0, 1.0]], [0, 0]),
        "the focal loss, a mean over items",
        focal,
        (
            "HuangYG123-CurricularFace-focal-FocalLoss",
            "ZhaoJ9014-face-evoLVe-focal-FocalLoss",
            "ronghuaiyang-arcface-pytorch-focal-loss-FocalLoss",
            "foamliu-InsightFace-PyTorch-focal-loss-FocalLoss",
        ),
        others=(
            "HuangYG123-CurricularFace-focal-FocalLoss",
            "ZhaoJ9014-face-evoLVe-focal-FocalLoss",
            "ronghuaiyang-arcface-pytorch-focal-loss-FocalLoss",
            "foamliu-InsightFace-PyTorch-focal-loss-FocalLoss",
        ),
    ),
    Tale(
        "The worst mistake costs nothing",
        "The focusing factor is written with `log(1 + exp(-logits))`. In float32 `exp` overflows at 89 and the factor "
        "becomes exp(-inf) = 0: a confident wrong answer has zero loss, and its gradient is NaN.",
        "logits [[-100]], label 1, gamma 2, alpha 1/4",
        ([[-100.0]], [[1]]),
        "the focal loss",
        binary_focal,
        ("vandit15-Class-balanced-loss-pytorch-class-balanced-loss-focal-loss",),
    ),
    Tale(
        "An empty mask is better than a perfect one",
        "The factor of two belongs to the overlap, but here it multiplies the whole fraction, including its constant. "
        "If a class is absent and the network knows it, the fraction is 1 and the loss -1, lower than for a perfect "
        "prediction.",
        "probabilities [[[[0, 0]]]], masks [[[[0, 0]]]]",
        ([[[[0.0, 0.0]]]], [[[[0, 0]]]]),
        "1 - (2 I + eps) / (P + G + eps)",
        dice,
        ("frgfm-Holocron-functional-dice-loss",),
        others=("frgfm-Holocron-functional-dice-loss",),
    ),
    Tale(
        "Nobody to compare with",
        "An item that is alone in its class has nothing to be pulled towards. In a batch of one (the last of an epoch, "
        "or on one rank) the sum over the others is 0, its logarithm is minus infinity, and 0 times that is NaN.",
        "embeddings [[1, 0]], label 0",
        ([[1.0, 0.0]], [0]),
        "nothing to average is 0",
        lambda embeddings, labels: mpf(0) * embeddings[0][0] * len(labels),
        ("HobbitLong-SupContrast-losses-SupConLoss", "pytorch-metric-learning-SupConLoss"),
    ),
    Tale(
        "Neighbours in the batch",
        "Each item's difference between student and teacher is multiplied by that of the next item in the batch, so "
        "the loss depends on the order in which the sampler drew them.",
        "student [[1], [1], [0]], teacher [[0], [0], [0]]",
        ([[1.0], [1.0], [0.0]], [[0.0], [0.0], [0.0]]),
        "the same items, the last two in the other order",
        neighbours,
        ("HobbitLong-RepDistiller-CC-Correlation",),
    ),
    Tale(
        "A teacher that counts a third",
        "`KLDivLoss()` also averages over classes, so the teacher's term is the divergence divided by the number of "
        "classes: a third with three classes, a hundredth with a hundred. torch warns. The teacher's weight then has "
        "a different meaning on every data set.",
        "student [[1, 0, 0]], teacher [[0, 2, 0]], T = 4, alpha = 1",
        ([[1.0, 0.0, 0.0]], [[0.0, 2.0, 0.0]]),
        "T^2 KL, a mean over items",
        distilled,
        ("haitongli-knowledge-distillation-pytorch-net-loss-fn-kd", "HobbitLong-RepDistiller-KD-DistillKL"),
    ),
    Tale(
        "The margin that does nothing",
        "A lecture's formula has the margin only in the numerator, where it just adds s m to the loss. For undecided "
        "scores, the gradient is the one without a margin.",
        "embeddings [[1, 0.9]], weights [[1, 0], [0, 1]], label 0",
        ([[1.0, 0.9]], [[1.0, 0.0], [0.0, 1.0]], [0]),
        "CosFace",
        margin_inside,
        ("lecture-listing-additive-margin-softmax",),
        others=("lecture-listing-additive-margin-softmax",),
    ),
    Tale(
        "A pair that is two rows",
        "A book's listing takes the first two rows of its predictions as the pair, and combines that one distance with "
        "the labels of all pairs. (The other implementation below has the paper's factor 1/2, a convention.)",
        "x1 [[0], [0]], x2 [[0.5], [3]], target [1, 0]",
        ([[0.0], [0.0]], [[0.5], [3.0]], [1, 0]),
        "contrastive, a mean over pairs",
        contrastive,
        ("lecture-listing-contrastive", "adambielski-siamese-triplet-losses-ContrastiveLoss"),
        (1,),
    ),
    Tale(
        "Meant, and worth knowing",
        "The ArcFace authors' own code computes the angle without gradients, which drops the factor "
        "sin(theta + m) / sin(theta). The loss is ArcFace's; the gradient differs on purpose, and counts here as a "
        "convention.",
        "embeddings [[1, 0.9]], weights [[1, 0], [0, 1]], label 0",
        ([[1.0, 0.9]], [[1.0, 0.0], [0.0, 1.0]], [0]),
        "ArcFace",
        arcface,
        ("deepinsight-insightface-losses-ArcFace",),
    ),
)
