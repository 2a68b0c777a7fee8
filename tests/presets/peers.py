"""The original losses, from the libraries themselves, called as the grid calls the presets."""

import importlib
import importlib.metadata
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presets.grid import Call

#: A peer's presets -> its classes.
CLASSES = {
    "monai": {
        "dice": "DiceLoss",
        "tversky": "TverskyLoss",
        "focal": "FocalLoss",
        "generalized_dice": "GeneralizedDiceLoss",
        "dice_ce": "DiceCELoss",
        "dice_focal": "DiceFocalLoss",
    },
    "segmentation_models_pytorch": {
        "dice": "DiceLoss",
        "jaccard": "JaccardLoss",
        "tversky": "TverskyLoss",
        "focal": "FocalLoss",
        "lovasz": "LovaszLoss",
    },
    "kornia": {"dice": "DiceLoss"},
    "mmsegmentation": {"dice": "DiceLoss"},
    "pytorch_metric_learning": {
        "arcface": "ArcFaceLoss",
        "cosface": "CosFaceLoss",
        "normalized_softmax": "NormalizedSoftmaxLoss",
        "sphereface": "SphereFaceLoss",
        "sub_center_arcface": "SubCenterArcFaceLoss",
        "supcon": "SupConLoss",
        "nt_xent": "NTXentLoss",
        "multi_similarity": "MultiSimilarityLoss",
        "triplet_margin": "TripletMarginLoss",
        "contrastive": "ContrastiveLoss",
        "circle": "CircleLoss",
        "proxy_anchor": "ProxyAnchorLoss",
        "proxy_nca": "ProxyNCALoss",
        "soft_triple": "SoftTripleLoss",
        "nca": "NCALoss",
        "n_pairs": "NPairsLoss",
        "signal_to_noise_ratio_contrastive": "SignalToNoiseRatioContrastiveLoss",
        "smooth_ap": "SmoothAPLoss",
        "vicreg": "VICRegLoss",
    },
    "insightface": {"arcface": "ArcFace", "cosface": "CosFace", "combined_margin": "CombinedMarginLoss"},
    "sentence_transformers": {
        "multiple_negatives_ranking": "MultipleNegativesRankingLoss",
        "multiple_negatives_symmetric_ranking": "MultipleNegativesSymmetricRankingLoss",
        "triplet": "TripletLoss",
        "contrastive": "ContrastiveLoss",
        "cosine_similarity": "CosineSimilarityLoss",
        "batch_all_triplet": "BatchAllTripletLoss",
        "batch_hard_triplet": "BatchHardTripletLoss",
        "batch_semi_hard_triplet": "BatchSemiHardTripletLoss",
        "batch_hard_soft_margin_triplet": "BatchHardSoftMarginTripletLoss",
        "cosent": "CoSENTLoss",
        "angle": "AnglELoss",
        "margin_mse": "MarginMSELoss",
        "mse": "MSELoss",
    },
    "torchvision": {
        "sigmoid_focal": "sigmoid_focal_loss",
        "generalized_box_iou": "generalized_box_iou_loss",
        "distance_box_iou": "distance_box_iou_loss",
        "complete_box_iou": "complete_box_iou_loss",
    },
    "timm": {
        "label_smoothing_cross_entropy": "LabelSmoothingCrossEntropy",
        "soft_target_cross_entropy": "SoftTargetCrossEntropy",
        "binary_cross_entropy": "BinaryCrossEntropy",
        "asymmetric_multi_label": "AsymmetricLossMultiLabel",
        "asymmetric_single_label": "AsymmetricLossSingleLabel",
        "jsd_cross_entropy": "JsdCrossEntropy",
        "poly_cross_entropy": "PolyCrossEntropy",
        "poly_binary_cross_entropy": "PolyBinaryCrossEntropy",
    },
    "lightly": {
        "nt_xent": "NTXentLoss",
        "dcl": "DCLLoss",
        "dclw": "DCLWLoss",
        "barlow_twins": "BarlowTwinsLoss",
        "vicreg": "VICRegLoss",
        "koleo": "KoLeoLoss",
        "negative_cosine_similarity": "NegativeCosineSimilarity",
        "dino": "DINOLoss",
        "swav": "SwaVLoss",
    },
}
#: Called with lists of views: in the grid these are one tensor, (N, views, D).
OF_LISTS = ("dino", "swav")
#: What a head's weights are called, and how they come from (num_classes, ..., embedding_size).
WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "W": lambda weight: weight.flatten(0, -2).T,
    "fc": lambda weight: weight.flatten(0, -2).T,
    "proxies": lambda weight: weight,
}
MODULES = {
    "monai": "monai.losses",
    "segmentation_models_pytorch": "segmentation_models_pytorch.losses",
    "kornia": "kornia.losses",
    "pytorch_metric_learning": "pytorch_metric_learning.losses",
    "sentence_transformers": "sentence_transformers.sentence_transformer.losses",
    "torchvision": "torchvision.ops",
    "timm": "timm.loss",
    "lightly": "lightly.loss",
}
#: These are no distributions: their file is named by an environment variable.
FILES = {"insightface": "LOSSARY_INSIGHTFACE_LOSSES", "mmsegmentation": "LOSSARY_MMSEG_DICE"}
VERSIONS = {"insightface": "commit 7fadd42", "mmsegmentation": "the file of 1.x"}


def find(peer: str) -> types.ModuleType | None:
    """The module of a peer's losses, or None where it is not installed."""
    if peer in MODULES:
        try:
            return importlib.import_module(MODULES[peer])
        except (ImportError, RuntimeError):  # torchvision's where it is of another build than torch
            return None
    path = os.environ.get(FILES[peer])
    return _from_file(peer, Path(path)) if path else None


def version(peer: str) -> str:
    return importlib.metadata.version(peer) if peer in MODULES else VERSIONS[peer]


def _from_file(peer: str, path: Path) -> types.ModuleType:
    if peer == "mmsegmentation":
        _fake_mmseg()
    spec = importlib.util.spec_from_file_location(f"fake_{peer}.losses", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _fake_mmseg() -> None:
    """What the file of mmseg's Dice imports: a registry, and how losses of samples become one."""

    def reduce(loss: Tensor, weight: None, reduction: str, avg_factor: None) -> Tensor:
        return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]

    registry: Any = types.ModuleType("mmseg.registry")
    registry.MODELS = types.SimpleNamespace(register_module=lambda: lambda cls: cls)
    utils: Any = types.ModuleType("fake_mmsegmentation.utils")
    utils.weight_reduce_loss, utils.get_class_weight = reduce, None
    names = {"mmseg": types.ModuleType("mmseg"), "fake_mmsegmentation": types.ModuleType("fake_mmsegmentation")}
    sys.modules |= {**names, "mmseg.registry": registry, "fake_mmsegmentation.utils": utils}


def original(call: Call) -> Callable[..., Tensor]:
    """The peer's loss for a call: takes the call's inputs."""
    module: Any = find(call.peer)
    cls = getattr(module, CLASSES[call.peer][call.preset])
    if call.peer == "sentence_transformers":
        return _of_embeddings(cls, module, call.arguments)
    if call.peer == "insightface":
        return _of_cosines(cls, call.arguments)
    if not isinstance(cls, type):
        return partial(cls, **call.arguments)  # torchvision's are functions
    loss = cls(**call.arguments)
    if call.peer == "pytorch_metric_learning" and call.preset == "vicreg":
        return lambda embeddings, ref_emb: loss(embeddings, ref_emb=ref_emb)
    if call.preset in OF_LISTS:
        return _of_lists(loss.double())
    name = next((name for name in WEIGHTS if hasattr(loss, name)), None)
    return loss if name is None else _of_head(loss, name)


def _of_head(loss: nn.Module, name: str) -> Callable[..., Tensor]:
    def run(embeddings: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(loss.double(), {name: WEIGHTS[name](weight)}, (embeddings, labels))

    return run


def _of_lists(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *inputs: loss(*(list(views.unbind(1)) for views in inputs))


def _of_cosines(cls: Any, arguments: Any) -> Callable[..., Tensor]:
    margin = cls(**{n: v for n, v in arguments.items() if n not in ("num_classes", "embedding_size")})

    def run(embeddings: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        # What PartialFC_V2 does on one rank, at sample_rate=1.
        cosines = (F.normalize(embeddings) @ F.normalize(weight).T).clamp(-1, 1)
        return F.cross_entropy(margin(cosines, labels[:, None]), labels)

    return run


def _of_embeddings(cls: Any, module: Any, arguments: Any) -> Callable[..., Tensor]:
    given = dict(arguments)
    pairs = cls.__name__ == "ContrastiveLoss"
    if "distance_metric" in given:
        enum: Any = importlib.import_module(cls.__module__)
        metrics = enum.SiameseDistanceMetric if pairs else enum.TripletDistanceMetric
        name = given["distance_metric"].upper()
        given["distance_metric"] = getattr(metrics, "COSINE_DISTANCE" if pairs and name == "COSINE" else name)
    loss = cls(model=None, **given)

    if cls.__name__ == "MSELoss":
        return lambda embeddings, teachers: loss.compute_loss_from_embeddings([embeddings], [teachers])

    def run(*inputs: Tensor) -> Tensor:
        embeddings, last = list(inputs[:-1]), inputs[-1]
        labelled = not last.dtype.is_floating_point or last.dim() == 1
        if labelled:
            return loss.compute_loss_from_embeddings(embeddings, last)
        return loss.compute_loss_from_embeddings([*embeddings, last], None)

    return run


def answer(loss: Callable[..., Tensor], call: Call) -> tuple[float, list[float]]:
    """The value, and the gradients by all floating-point inputs that are no targets, one after the other."""
    inputs = tuple(t.clone() for t in call.inputs)
    learned = [t.requires_grad_() for t in inputs if t.dtype.is_floating_point and not is_target(call, t, inputs)]
    value = loss(*inputs).sum()  # torchvision's default is a number a box
    gradients = torch.autograd.grad(value, learned)
    return value.item(), torch.cat([g.flatten() for g in gradients]).tolist()


def ours(call: Call) -> Callable[..., Tensor]:
    loss = call.ours().double()
    if call.peer != "insightface" and "num_classes" not in call.arguments:
        return called(loss, call)

    def run(embeddings: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(loss, {"weight": weight}, (embeddings, labels))

    return run


def called(loss: Callable[..., Tensor], call: Call) -> Callable[..., Tensor]:
    """The loss as the call's inputs go in."""
    return _of_lists(loss) if call.preset in OF_LISTS else loss


def is_target(call: Call, tensor: Tensor, inputs: tuple[Tensor, ...]) -> bool:
    masks = call.peer in ("monai", "segmentation_models_pytorch", "kornia", "mmsegmentation", "timm")
    return ((masks or call.preset == "sigmoid_focal") and tensor is not inputs[0]) or (tensor.dim() == 1)
