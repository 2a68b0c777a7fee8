"""The calls that presets and originals are compared on: each preset with many arguments on many small batches.

Arguments are the original's own, so one dictionary makes both. Batches come from a formula, not from a random
generator, so that stored answers stay right whatever torch draws.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import lossary
from lossary.presets._shared import one_hot

#: Not compared, by preset, with the reason. What is left out of a preset's arguments is in its docstring.
EXEMPT = {
    "monai.dice": "jaccard beside squared_pred, soft labels beside a softmax, probabilities",
    "monai.tversky": "soft labels beside a softmax, probabilities",
    "monai.generalized_dice": "soft labels beside a softmax",
    "monai.dice_ce": "soft labels beside a softmax",
    "monai.dice_focal": "soft labels",
    "monai.focal": "alpha as a sequence, with sigmoids of positives only; soft labels",
    "segmentation_models_pytorch.focal": "normalized, reduced_threshold, soft masks; ignore_index of multilabel, which "
    "fails there",
    "segmentation_models_pytorch.lovasz": "float64, and images of ignored pixels only, which fail there",
    "segmentation_models_pytorch.tversky": "a loss of 0 at gamma below 1: the original's gradient is NaN",
    "mmsegmentation.dice": "ignored pixels: the original keeps their probabilities in the denominator",
    "pytorch_metric_learning.sphereface": "scale other than 1, beside the embeddings' own length",
    "pytorch_metric_learning.nt_xent": "more than two views a label: the original leaves positives out",
    "pytorch_metric_learning.supcon": "a batch of one class: 0 there",
    "pytorch_metric_learning.triplet_margin": "swap and smooth_loss",
    "sentence_transformers.batch_hard_triplet": "anchors without a positive: counted there as their own",
    "sentence_transformers.contrastive": "labels other than 0 and 1",
    "pytorch_metric_learning.smooth_ap": "other than k classes of k items that stand together",
    "pytorch_metric_learning.nca": "a batch without any positive: the original is NaN",
    "timm.asymmetric_multi_label": "probabilities below 1e-8, smoothing, weights",
    "timm.jsd_cross_entropy": "mixtures below 1e-7",
    "lightly.swav": "a queue; scores whose exponentials overflow",
    "lightly.koleo": "other norms; an eps that is not small, which is in each difference too there",
    "torchvision.complete_box_iou": "boxes of no height: the original's gradient is NaN",
    "torchvision.sigmoid_focal": "soft targets",
    "pytorch_metric_learning.arcface": "cosines of exactly -1 and 1: the original's gradient is NaN",
}


@dataclass(frozen=True)
class Call:
    """One preset with arguments, on one batch."""

    peer: str
    preset: str
    arguments: Mapping[str, Any]
    batch: str
    inputs: tuple[Tensor, ...]
    #: Of the values; MONAI's focal loss is computed in float32 there.
    tolerance: float = 1e-9

    @property
    def key(self) -> str:
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments.items())
        return f"{self.peer}.{self.preset}({shown}) on {self.batch}"

    def ours(self) -> nn.Module:
        return getattr(getattr(lossary.presets, self.peer), self.preset)(**self.arguments)


def _shown(value: Any) -> str:
    return repr(value.tolist() if isinstance(value, Tensor) else value)


def wave(*shape: int, phase: float, scale: float = 2.0) -> Tensor:
    """Numbers without a pattern, the same everywhere."""
    k = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (scale * torch.sin(12.9898 * (k + 1) ** 1.1 + phase)).reshape(shape)


def labels(*shape: int, classes: int, phase: float) -> Tensor:
    return (wave(*shape, phase=phase, scale=0.4999) + 0.5).mul(classes).long()


def options(**choices: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Every combination; a value that is the first of its choices is left to the default."""
    for values in itertools.product(*choices.values()):
        pairs = zip(choices.items(), values, strict=True)
        yield {name: value for (name, known), value in pairs if value is not known[0]}


def calls() -> Iterator[Call]:
    for family in (
        monai,
        smp,
        kornia,
        mmsegmentation,
        heads,
        batches,
        whole_batches,
        sentences,
        torchvision,
        timm,
        timm_poly,
        lightly,
    ):
        yield from family()


_SHAPE = (2, 3, 4, 2)


def _logits(channels: int, phase: float = 0.0) -> Tensor:
    return wave(_SHAPE[0], channels, *_SHAPE[2:], phase=phase, scale=4.0)


def _maps(ignored: int | None = None) -> dict[str, Tensor]:
    """(N, H, W) labels: all classes; one class absent from one sample and another from the batch."""
    everything = labels(_SHAPE[0], *_SHAPE[2:], classes=3, phase=0.3)
    absent = everything.clone().clamp(max=1)
    absent[1] = 0
    maps = {"all classes": everything, "absent classes": absent}
    if ignored is not None:
        marked = {f"{name}, some ignored": m.clone() for name, m in maps.items()}
        for m in marked.values():
            m[:, 1] = ignored
        return marked
    return maps


def _regions(channels: int) -> dict[str, Tensor]:
    overlapping = labels(_SHAPE[0], channels, *_SHAPE[2:], classes=2, phase=0.7)
    empty = overlapping.clone()
    empty[0] = 0
    return {"regions": overlapping, "an empty sample": empty}


def _soft(channels: int) -> Tensor:
    return wave(_SHAPE[0], channels, *_SHAPE[2:], phase=0.2, scale=0.5) + 0.5


def monai() -> Iterator[Call]:
    yield from _monai_overlap()
    yield from _monai_compounds()
    shared = {"include_background": (True, False), "reduction": ("mean", "sum")}
    for given in options(**shared, gamma=(2.0, 0.5), alpha=(None, 0.25), use_softmax=(False, True)):
        for arguments in _weighted(given):
            yield from _monai_calls("focal", arguments, tolerance=1e-5)
    for given in options(include_background=(True, False), use_softmax=(False, True)):
        for name, m in _maps(255).items():
            made = {**given, "to_onehot_y": True, "ignore_index": 255}
            yield Call("monai", "focal", made, name, (_logits(3), m[:, None]), tolerance=1e-5)
    for batch, regions in _regions(1).items():
        inputs = (_logits(1), regions.double())
        for given in options(batch=(False, True), reduction=("mean", "sum")):
            yield Call("monai", "dice", {"sigmoid": True, **given}, f"{batch}, one channel", inputs)
        for given in options(weight=(None, torch.tensor([3.0], dtype=torch.float64))):
            yield Call("monai", "dice_ce", {"sigmoid": True, **given}, f"{batch}, one channel", inputs)
    yield from _monai_soft()
    yield from _monai_unreduced()


def _monai_unreduced() -> Iterator[Call]:
    """One number per class or position; their sum is compared, and by hand their shapes."""
    none = {"reduction": "none"}
    for act, batch in itertools.product(({"softmax": True}, {"sigmoid": True}), (False, True)):
        for given in options(include_background=(True, False), batch=(batch,)):
            made = {**act, **given, **none, "batch": batch}
            for arguments in _weighted(made):
                yield from _monai_calls("dice", {**arguments, "squared_pred": True}, tolerance=1e-6)
                yield from _monai_calls("dice_focal", arguments, tolerance=1e-5)
            yield from _monai_calls("dice", {**made, "jaccard": True})
            yield from _monai_calls("tversky", {**made, "alpha": 0.3, "beta": 0.9})
            yield from _monai_calls("tversky", {**made, "reduction": "mean", "smooth_nr": 0.0, "smooth_dr": 0.5})
            yield from _monai_calls("generalized_dice", made, tolerance=1e-6)
    for given in options(use_softmax=(False, True), alpha=(None, 0.25), include_background=(True, False)):
        for arguments in _weighted({**given, **none}):
            yield from _monai_calls("focal", arguments, tolerance=1e-5)
        for name, m in _maps(255).items():
            m[0] = 255  # nothing of the first sample counts
            for reduction in ("none", "sum"):
                made = {**given, "to_onehot_y": True, "ignore_index": 255, "reduction": reduction}
                yield Call("monai", "focal", made, f"{name}, a sample of ignored only", (_logits(3), m[:, None]), 1e-5)


def _monai_soft() -> Iterator[Call]:
    """Masks that are neither 0 nor 1, of which the originals' default makes another loss than of hard ones."""
    area = {"include_background": (True, False), "reduction": ("mean", "sum"), "batch": (False, True)}
    for channels in (3, 1):
        inputs = (_logits(channels), _soft(channels))
        for given in options(**area):
            made, soft = {"sigmoid": True, **given}, {"soft_label": True}
            for arguments in (made, {**made, **soft}):
                yield Call("monai", "dice", arguments, "soft regions", inputs)
                yield Call("monai", "dice", {**arguments, "squared_pred": True}, "soft regions", inputs)
                yield Call("monai", "dice", {**arguments, "jaccard": True}, "soft regions", inputs)
                yield Call("monai", "dice", {**arguments, "smooth_nr": 0.0}, "soft regions", inputs)
                yield Call("monai", "tversky", {**arguments, "alpha": 0.3, "beta": 0.9}, "soft regions", inputs)
                yield Call("monai", "generalized_dice", arguments, "soft regions", inputs, tolerance=1e-6)
            yield Call("monai", "dice_ce", made, "soft regions", inputs)
    # of one channel MONAI's target may be a soft mask beside ignore_index too
    partly = _soft(1).index_fill(2, torch.tensor(1), 255)
    for given in options(soft_label=(False, True)):
        for preset in ("dice", "tversky"):
            made = {"sigmoid": True, "ignore_index": 255, **given}
            yield Call("monai", preset, made, "a soft region, some ignored", (_logits(1), partly))


def _monai_overlap() -> Iterator[Call]:
    area = {"include_background": (True, False), "reduction": ("mean", "sum"), "batch": (False, True)}
    for act in ({"softmax": True}, {"sigmoid": True}):
        for given in options(**area, squared_pred=(False, True)):
            for arguments in _weighted({**act, **given}):
                yield from _monai_calls("dice", arguments, tolerance=1e-6)
        for given in options(**area, squared_pred=(False, True)):
            for arguments in _weighted({**act, **given, "smooth_nr": 0.0}):
                yield from _monai_calls("dice", arguments, tolerance=1e-6)
        for given in options(**area, smooth_dr=(1e-5, 0.5)):
            yield from _monai_calls("dice", {**act, **given, "jaccard": True, "smooth_nr": 0.1})
        for given in options(**area, smooth_nr=(1e-5, 0.5)):
            smoothed = {"smooth_dr": 0.5} if "smooth_nr" in given else {}
            yield from _monai_calls("dice", {**act, **given, **smoothed, "jaccard": True})
            for more in options(alpha=(0.5, 0.3), beta=(0.5, 0.9)):
                yield from _monai_calls("tversky", {**act, **given, **smoothed, **more})
        for given in options(**area, w_type=("square", "simple", "uniform")):
            yield from _monai_calls("generalized_dice", {**act, **given}, tolerance=1e-6)
        yield from _monai_ignored(act, area)


def _monai_ignored(act: dict[str, Any], area: dict[str, Sequence[Any]]) -> Iterator[Call]:
    for ignored, given in itertools.product((255, 1), options(**area)):
        made = {**act, **given, "to_onehot_y": True, "ignore_index": ignored}
        for name, m in _maps(ignored).items():
            yield Call("monai", "dice", made, name, (_logits(3), m[:, None]))
            yield Call("monai", "tversky", made, name, (_logits(3), m[:, None]))


def _monai_compounds() -> Iterator[Call]:
    shared = {"include_background": (True, False), "reduction": ("mean", "sum"), "lambda_dice": (1.0, 0.3)}
    for act in ({"softmax": True}, {"sigmoid": True}):
        weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
        for given in options(**shared, lambda_ce=(1.0, 2.0), label_smoothing=(0.0, 0.1), weight=(None, weight)):
            yield from _monai_calls("dice_ce", {**act, **given})
        for given in options(**shared, lambda_focal=(1.0, 2.0), gamma=(2.0, 0.5)):
            for arguments in _weighted({**act, **given}):
                yield from _monai_calls("dice_focal", arguments, tolerance=1e-5)


def _monai_calls(preset: str, arguments: dict[str, Any], tolerance: float = 1e-9) -> Iterator[Call]:
    for k, (name, m) in enumerate(_maps().items()):
        if k == 0:
            labelled = {**arguments, "to_onehot_y": True}
            yield Call("monai", preset, labelled, name, (_logits(3), m[:, None]), tolerance)
        else:
            regions = one_hot(m, 3).double()
            yield Call("monai", preset, arguments, f"{name}, one-hot", (_logits(3, 0.5), regions), tolerance)


def _weighted(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield arguments
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    yield {**arguments, "weight": weight if arguments.get("include_background", True) else weight[1:]}


def smp() -> Iterator[Call]:
    peer = "segmentation_models_pytorch"
    for mode, batch, inputs in _smp_modes():
        several = mode["mode"] != "binary"
        weights = {"class_weights": (None, [0.5, 2.0, 1.5])} if several else {}
        chosen = {"classes": (None, [0, 2]), **weights} if several else {}
        for given in options(smooth=(0.0, 1.0), log_loss=(False, True), **chosen):
            yield Call(peer, "dice", {**mode, **given}, batch, inputs)
            yield Call(peer, "jaccard", {**mode, **given}, batch, inputs)
        for given in options(alpha=(0.5, 0.3), beta=(0.5, 0.8), gamma=(1.0, 0.75), smooth=(0.0, 1.0)):
            yield Call(peer, "tversky", {**mode, **given}, batch, inputs)
        for given in options(gamma=(2.0, 0.5), alpha=(None, 0.25), reduction=("mean", "sum"), **weights):
            yield Call(peer, "focal", {**mode, **given}, batch, inputs)
        single = (inputs[0].float(), inputs[1])  # the original fails in float64
        nothing_left = mode.get("ignore_index") == 0 and batch.startswith("absent")  # in one image
        for given in options(per_image=(False,) if nothing_left else (False, True)):
            yield Call(peer, "lovasz", {**mode, **given}, batch, single, tolerance=1e-5)
    for mode, channels in (("multilabel", 3), ("binary", 1)):
        for preset in ("dice", "jaccard", "tversky"):
            yield Call(peer, preset, {"mode": mode}, "soft masks", (_logits(channels), _soft(channels)))


def _smp_modes() -> Iterator[tuple[dict[str, Any], str, tuple[Tensor, ...]]]:
    for name, m in _maps().items():
        yield {"mode": "multiclass"}, name, (_logits(3), m)
    for ignored in (255, 0):
        for name, m in _maps(ignored).items():
            yield {"mode": "multiclass", "ignore_index": ignored}, name, (_logits(3), m)
    for name, r in _regions(3).items():
        yield {"mode": "multilabel"}, name, (_logits(3), r)
    for name, r in _regions(1).items():
        yield {"mode": "binary"}, name, (_logits(1), r)
        yield {"mode": "binary", "ignore_index": 255}, name, (_logits(1), r[:, 0].index_fill(1, torch.tensor(1), 255))


def kornia() -> Iterator[Call]:
    weight = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    for given in options(average=("micro", "macro"), eps=(1e-8, 0.1), weight=(None, weight)):
        nothing = _maps()["all classes"].index_fill(0, torch.tensor(1), -100)
        for name, m in {**_maps(), **_maps(-100), "a sample of ignored pixels only": nothing}.items():
            yield Call("kornia", "dice", given, name, (_logits(3), m))


def mmsegmentation() -> Iterator[Call]:
    settings = {
        "naive_dice": (False, True),
        "reduction": ("mean", "sum"),
        "loss_weight": (1.0, 3.0),
        "eps": (1e-3, 1.0),
    }
    for given in options(use_sigmoid=(True, False), **settings):
        for name, m in _maps().items():
            yield Call("mmsegmentation", "dice", given, name, (_logits(3), m), tolerance=1e-6)
    for given in options(naive_dice=(False, True)):
        yield Call("mmsegmentation", "dice", given, "soft regions", (_logits(3), _soft(3)), tolerance=1e-6)


def heads() -> Iterator[Call]:
    for batch, (x, y, w) in _head_inputs():
        for peer, preset, arguments in _head_arguments():
            if batch == _EXACT and peer == "pytorch_metric_learning" and "arcface" in preset:
                continue  # NaN there
            if several := SEVERAL.get(preset):
                name, default = several
                centers = [w.roll(k, 0) + 0.3 * k for k in range(arguments.get(name, default))]
                weight = torch.stack(centers, 1)
            else:
                weight = w
            sizes = {"num_classes": 5, "embedding_size": 4}
            yield Call(peer, preset, {**sizes, **arguments}, batch, (x, y, weight), 1e-8)


#: Heads of several centers a class: the argument that says how many, and its default.
SEVERAL = {"sub_center_arcface": ("sub_centers", 3), "soft_triple": ("centers_per_class", 10)}
_EXACT = "cosines of exactly -1, 0 and 1"


def _head_inputs() -> Iterator[tuple[str, tuple[Tensor, ...]]]:
    for phase in (0.0, 1.0):
        x, w = wave(6, 4, phase=phase), wave(5, 4, phase=phase + 0.5)
        yield f"embeddings {phase:g}", (x, labels(6, classes=5, phase=phase), w)
        # theta + m beyond pi
        yield f"embeddings opposite to their classes {phase:g}", (0.05 * x[:5] - 1.5 * w, torch.arange(5), w)
    axes = torch.eye(4, dtype=torch.float64)
    x, w = torch.stack([2 * axes[0], -axes[1], axes[2] + axes[3], axes[3]]), torch.cat([axes, -axes[:1]])
    yield _EXACT, (x, torch.arange(4), w)


def _head_arguments() -> Iterator[tuple[str, str, dict[str, Any]]]:
    pml = {
        "arcface": options(margin=(28.6, 10.0, 60.0), scale=(64, 8)),
        "cosface": options(margin=(0.35, 0.1), scale=(64, 8)),
        "normalized_softmax": options(temperature=(0.05, 1.0)),
        "sphereface": options(margin=(4, 1, 2, 3)),
        "sub_center_arcface": options(margin=(28.6, 60.0), scale=(64, 8), sub_centers=(2,)),
        "proxy_anchor": options(margin=(0.1, 0.5), alpha=(32, 4)),
        "proxy_nca": options(softmax_scale=(1, 8)),
        "soft_triple": options(centers_per_class=(10, 3), la=(20, 5), gamma=(0.1, 1.0), margin=(0.01, 0.3)),
    }
    margins = ((1.0, 0.5, 0.0), (1.0, 0.0, 0.4), (0.9, 0.4, 0.15))
    insightface = {
        "arcface": options(s=(64.0, 8.0), margin=(0.5, 0.2, 1.2)),
        "cosface": options(s=(64.0, 8.0), m=(0.4, 0.1)),
        "combined_margin": ({"s": s, "m1": a, "m2": b, "m3": c} for s in (30.0, 8.0) for a, b, c in margins),
    }
    for peer, presets in (("pytorch_metric_learning", pml), ("insightface", insightface)):
        for preset, given in presets.items():
            yield from ((peer, preset, arguments) for arguments in given)


def batches() -> Iterator[Call]:
    peer = "pytorch_metric_learning"
    for phase in (0.0, 1.0, 2.0):
        x = wave(8, 4, phase=phase)
        views = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
        mixed = torch.tensor([0, 1, 0, 2, 1, 3, 0, 1])
        for batch, y in (("two views", views), ("classes of many sizes", mixed)):
            for given in options(temperature=(0.1, 0.5)):
                yield Call(peer, "supcon", given, f"{batch} {phase:g}", (x, y))
            for given in options(alpha=(2.0, 10.0), beta=(50.0, 5.0), base=(0.5, 0.1)):
                yield Call(peer, "multi_similarity", given, f"{batch} {phase:g}", (x, y))
            for given in options(margin=(0.05, 0.5, 2.0)):
                yield Call(peer, "triplet_margin", given, f"{batch} {phase:g}", (x, y))
            for given in options(pos_margin=(0, 0.3), neg_margin=(1, 1.8, 0.1)):
                yield Call(peer, "contrastive", given, f"{batch} {phase:g}", (x, y))
        for given in options(temperature=(0.07, 0.5)):
            yield Call(peer, "nt_xent", given, f"two views {phase:g}", (x, views))


def whole_batches() -> Iterator[Call]:
    peer = "pytorch_metric_learning"
    for phase in (0.0, 1.0, 2.0):
        x = wave(9, 4, phase=phase)
        of_three, mixed = torch.arange(9) // 3, torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 2])
        for batch, y in (("classes of three", of_three), ("classes of many sizes", mixed)):
            for given in options(m=(0.4, 0.2), gamma=(80, 8)):
                yield Call(peer, "circle", given, f"{batch} {phase:g}", (x, y))
            for given in options(softmax_scale=(1, 8)):
                yield Call(peer, "nca", given, f"{batch} {phase:g}", (x, y))
            yield Call(peer, "n_pairs", {}, f"{batch} {phase:g}", (x, y))
            for given in options(pos_margin=(0, 0.3), neg_margin=(1, 0.1)):
                yield Call(peer, "signal_to_noise_ratio_contrastive", given, f"{batch} {phase:g}", (x, y))
        for given in options(temperature=(0.01, 0.2)):
            yield Call(peer, "smooth_ap", given, f"classes of three {phase:g}", (x, of_three), tolerance=1e-6)
        for given in options(invariance_lambda=(25, 1), variance_mu=(25, 2), covariance_v=(1, 5), eps=(1e-4, 0.1)):
            yield Call(peer, "vicreg", given, f"two views {phase:g}", (x, wave(9, 4, phase=phase + 0.4)), 1e-6)


def sentences() -> Iterator[Call]:
    peer = "sentence_transformers"
    for phase in (0.0, 1.0, 2.0):
        a, p, n = (wave(6, 4, phase=phase + shift) for shift in (0.0, 0.3, 0.6))
        batch = f"sentences {phase:g}"
        for given in options(scale=(20.0, 1.0)):
            yield Call(peer, "multiple_negatives_ranking", given, f"{batch}, pairs", (a, p))
            yield Call(peer, "multiple_negatives_ranking", given, f"{batch}, triplets", (a, p, n))
            yield Call(peer, "multiple_negatives_symmetric_ranking", given, f"{batch}, pairs", (a, p))
        for given in options(distance_metric=("euclidean", "cosine", "manhattan"), triplet_margin=(5.0, 0.2)):
            yield Call(peer, "triplet", given, batch, (a, p, n))
        metrics = ("cosine", "euclidean", "manhattan")
        for given in options(distance_metric=metrics, margin=(0.5, 3.0), size_average=(True, False)):
            yield Call(peer, "contrastive", given, batch, (a, p, labels(6, classes=2, phase=phase)))
        yield Call(peer, "cosine_similarity", {}, batch, (a, p, wave(6, phase=phase, scale=1.0)), tolerance=1e-6)
        x, y = wave(8, 4, phase=phase), torch.tensor([0, 1, 0, 2, 1, 2, 0, 1])
        for given in options(margin=(5.0, 0.3)):
            for preset in ("batch_all_triplet", "batch_hard_triplet", "batch_semi_hard_triplet"):
                yield Call(peer, preset, given, f"labelled {phase:g}", (x, y), tolerance=1e-6)
        yield Call(peer, "batch_hard_soft_margin_triplet", {}, f"labelled {phase:g}", (x, y), tolerance=1e-6)
        graded = wave(6, phase=phase, scale=1.0)
        for given in options(scale=(20.0, 1.0)):
            for preset in ("cosent", "angle"):
                yield Call(peer, preset, given, batch, (a, p, graded), tolerance=1e-6)
        yield Call(peer, "margin_mse", {}, batch, (a, p, n, graded), tolerance=1e-6)
        yield Call(peer, "mse", {}, batch, (a, p))


def torchvision() -> Iterator[Call]:
    reductions = ("none", "mean", "sum")
    for phase in (0.0, 1.0, 2.0):
        x, y = wave(5, 3, phase=phase, scale=4.0), labels(5, 3, classes=2, phase=phase).double()
        for given in options(alpha=(0.25, 0.9, -1.0), gamma=(2.0, 0.5, 0.0), reduction=reductions):
            yield Call("torchvision", "sigmoid_focal", given, f"scores {phase:g}", (x, y))
        predicted, true = (_boxes(phase + shift) for shift in (0.0, 0.7))
        for given in options(reduction=reductions):
            for preset in ("generalized_box_iou", "distance_box_iou", "complete_box_iou"):
                yield Call("torchvision", preset, given, f"boxes {phase:g}", (predicted, true), tolerance=1e-5)


def _boxes(phase: float) -> Tensor:
    """Some that overlap and some that do not, of sizes from 1 to 5."""
    corner, size = wave(12, 2, phase=phase), wave(12, 2, phase=phase + 0.2).abs() * 2 + 1
    return torch.cat([corner, corner + size], 1)


def timm() -> Iterator[Call]:
    weights = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    for phase in (0.0, 1.0, 2.0):
        batch, x, y = f"scores {phase:g}", wave(6, 3, phase=phase, scale=4.0), labels(6, classes=3, phase=phase)
        yes, shares = labels(6, 3, classes=2, phase=phase).double(), wave(6, 3, phase=phase + 0.5).softmax(1)
        for given in options(smoothing=(0.1, 0.0, 0.4)):
            yield Call("timm", "label_smoothing_cross_entropy", given, batch, (x, y))
            for more in options(alpha=(12, 1), num_splits=(3, 2)):
                yield Call("timm", "jsd_cross_entropy", {**given, **more}, batch, (x, y))
        yield Call("timm", "soft_target_cross_entropy", {}, batch, (x, shares))
        shared = {"smoothing": (0.1, 0.3), "target_threshold": (None, 0.2), "reduction": ("mean", "sum")}
        for given in options(**shared, sum_classes=(False, True), pos_weight=(None, weights)):
            yield Call("timm", "binary_cross_entropy", given, batch, (x, y))
            for more in options(smooth_dense=(False, True)):
                yield Call("timm", "binary_cross_entropy", {**given, **more}, f"{batch}, soft", (x, shares))
        reductions = ("batchmean", "sum", "mean")
        for given in options(gamma_neg=(4, 2), gamma_pos=(1, 0), clip=(0.05, None, 0.2), reduction=reductions):
            for more in options(disable_torch_grad_focal_loss=(False, True)):
                arguments = {**given, **more}
                yield Call("timm", "asymmetric_multi_label", arguments, batch, (x, yes), tolerance=1e-5)
        for given in options(gamma_pos=(1, 0, 3), gamma_neg=(4, 2), eps=(0.1, 0.0, 0.3)):
            yield Call("timm", "asymmetric_single_label", given, batch, (x, y))


def timm_poly() -> Iterator[Call]:
    for phase in (0.0, 1.0, 2.0):
        batch, x, y = f"scores {phase:g}", wave(6, 3, phase=phase, scale=4.0), labels(6, classes=3, phase=phase)
        yes, shares = labels(6, 3, classes=2, phase=phase).double(), wave(6, 3, phase=phase + 0.5).softmax(1)
        for given in options(epsilon=(2.0, -1.0), smoothing=(0.0, 0.3), reduction=("mean", "sum")):
            yield Call("timm", "poly_cross_entropy", given, batch, (x, y), tolerance=1e-5)
            yield Call("timm", "poly_cross_entropy", given, f"{batch}, soft", (x, shares), tolerance=1e-5)
            for more in options(gamma=(0.0, 2.0), alpha=(None, 0.25)):
                arguments = {**given, **more}
                yield Call("timm", "poly_binary_cross_entropy", arguments, batch, (x, yes), tolerance=1e-5)
        yield Call("timm", "poly_binary_cross_entropy", {"reduction": "batchmean"}, batch, (x, yes), tolerance=1e-5)


def lightly() -> Iterator[Call]:
    for phase in (0.0, 1.0, 2.0):
        views, x = f"two views {phase:g}", wave(7, 4, phase=phase)
        pair = (x, wave(7, 4, phase=phase + 0.4))
        for given in options(temperature=(0.5, 0.1, 2.0)):
            yield Call("lightly", "nt_xent", given, views, pair)
        for given in options(temperature=(0.1, 0.5)):
            yield Call("lightly", "dcl", given, views, pair)
            for more in options(sigma=(0.5, 2.0)):
                yield Call("lightly", "dclw", {**given, **more}, views, pair)
        for given in options(lambda_param=(5e-3, 0.5)):
            yield Call("lightly", "barlow_twins", given, views, pair)
        for given in options(lambda_param=(25.0, 1.0), mu_param=(25.0, 2.0), nu_param=(1.0, 5.0), eps=(1e-4, 0.1)):
            yield Call("lightly", "vicreg", given, views, pair)
        yield Call("lightly", "koleo", {}, f"embeddings {phase:g}", (x,), tolerance=1e-6)
        yield Call("lightly", "negative_cosine_similarity", {}, views, pair)
        teacher, student = wave(4, 2, 5, phase=phase, scale=0.5), wave(4, 4, 5, phase=phase + 0.3, scale=0.5)
        for given in options(teacher_temp=(0.04, 0.5), student_temp=(0.1, 1.0)):
            yield Call("lightly", "dino", {"output_dim": 5, **given}, f"crops {phase:g}", (teacher, student), 1e-6)
        for given in options(temperature=(0.1, 1.0), sinkhorn_iterations=(3, 5), sinkhorn_epsilon=(0.05, 0.5)):
            yield Call("lightly", "swav", given, f"crops {phase:g}", (teacher, student), tolerance=1e-6)
