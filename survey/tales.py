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
        "The focal loss is a product, and both its factors depend on the scores. Here the first one is taken from "
        "`logpt.data.exp()`, which autograd does not follow: the loss that is shown is the focal loss, the gradient is "
        "another one's. The file was copied into many repositories; some copies mended it.",
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
        "Cross-entropy is averaged over the batch first, and the focusing factor is taken of that one mean: no item is "
        "weighed by how hard it is, which is what the loss is for. A batch of one hides it. No law forbids it, for it "
        "is a loss; it is not the one that is named.",
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
        "The focusing factor is written with `log(1 + exp(-logits))`. In float32 `exp` overflows at 89, the factor "
        "becomes exp(-inf) = 0: an answer that is surely wrong has no loss, and its gradient is NaN.",
        "logits [[-100]], label 1, gamma 2, alpha 1/4",
        ([[-100.0]], [[1]]),
        "the focal loss",
        binary_focal,
        ("vandit15-Class-balanced-loss-pytorch-class-balanced-loss-focal-loss",),
    ),
    Tale(
        "An empty mask is better than a perfect one",
        "Twice the overlap is written as a factor of two before the whole fraction, its constant included. Where a "
        "class is nowhere and the network knows it, the fraction is 1 and the loss -1, below a perfect prediction's.",
        "probabilities [[[[0, 0]]]], masks [[[[0, 0]]]]",
        ([[[[0.0, 0.0]]]], [[[[0, 0]]]]),
        "1 - (2 I + eps) / (P + G + eps)",
        dice,
        ("frgfm-Holocron-functional-dice-loss",),
        others=("frgfm-Holocron-functional-dice-loss",),
    ),
    Tale(
        "Nobody to compare with",
        "An item that has no other of its class has nothing to be pulled to. In a batch of one (the last one of an "
        "epoch, or a rank's) the sum over the others is 0, its logarithm minus infinity, and 0 times that is NaN.",
        "embeddings [[1, 0]], label 0",
        ([[1.0, 0.0]], [0]),
        "nothing to average is 0",
        lambda embeddings, labels: mpf(0) * embeddings[0][0] * len(labels),
        ("HobbitLong-SupContrast-losses-SupConLoss", "pytorch-metric-learning-SupConLoss"),
    ),
    Tale(
        "Neighbours in the batch",
        "The differences between student and teacher are multiplied item by item with those of the next item: the loss "
        "depends on the order in which a sampler happened to give them.",
        "student [[1], [1], [0]], teacher [[0], [0], [0]]",
        ([[1.0], [1.0], [0.0]], [[0.0], [0.0], [0.0]]),
        "the same items, the last two in the other order",
        neighbours,
        ("HobbitLong-RepDistiller-CC-Correlation",),
    ),
    Tale(
        "A teacher that counts a third",
        "`KLDivLoss()` averages over classes too, so the teacher's term is a C-th of the divergence that the recipe "
        "multiplies by T^2: with three classes a third, with a hundred a hundredth. torch warns; the weight of the "
        "teacher then means something else for every data set.",
        "student [[1, 0, 0]], teacher [[0, 2, 0]], T = 4, alpha = 1",
        ([[1.0, 0.0, 0.0]], [[0.0, 2.0, 0.0]]),
        "T^2 KL, a mean over items",
        distilled,
        ("haitongli-knowledge-distillation-pytorch-net-loss-fn-kd", "HobbitLong-RepDistiller-KD-DistillKL"),
    ),
    Tale(
        "The margin that does nothing",
        "A lecture's formula has the margin in the numerator alone. There it only adds s m to the loss: at scores that "
        "are not decided the gradient is the one without any margin.",
        "embeddings [[1, 0.9]], weights [[1, 0], [0, 1]], label 0",
        ([[1.0, 0.9]], [[1.0, 0.0], [0.0, 1.0]], [0]),
        "CosFace",
        margin_inside,
        ("lecture-listing-additive-margin-softmax",),
        others=("lecture-listing-additive-margin-softmax",),
    ),
    Tale(
        "A pair that is two rows",
        "A book's listing takes the first two rows of its predictions for the pair, and averages that one distance "
        "under the labels of all. (The other one below has the paper's factor 1/2, a convention.)",
        "x1 [[0], [0]], x2 [[0.5], [3]], target [1, 0]",
        ([[0.0], [0.0]], [[0.5], [3.0]], [1, 0]),
        "contrastive, a mean over pairs",
        contrastive,
        ("lecture-listing-contrastive", "adambielski-siamese-triplet-losses-ContrastiveLoss"),
        (1,),
    ),
    Tale(
        "Meant, and worth knowing",
        "ArcFace as its authors train it takes the angle without gradients: the factor sin(theta + m) / sin(theta) is "
        "left out. The loss is ArcFace's; the gradient is another one, on purpose, and counted here as a convention.",
        "embeddings [[1, 0.9]], weights [[1, 0], [0, 1]], label 0",
        ([[1.0, 0.9]], [[1.0, 0.0], [0.0, 1.0]], [0]),
        "ArcFace",
        arcface,
        ("deepinsight-insightface-losses-ArcFace",),
    ),
)
