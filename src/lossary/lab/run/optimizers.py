"""How weights are updated: by which optimizer, at which learning rates, on which schedule."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn, optim
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, MultiStepLR, OneCycleLR

from lossary.lab.data.backbones import Backboned
from lossary.lab.run.options import Optimizer, Schedule

#: Learning rates of the network and of a loss's own weights, without tuning.
LEARNING_RATES: Mapping[Optimizer, Mapping[str, float]] = {
    "adamw": {"lr": 2e-3, "head_lr": 2e-2},
    "adam": {"lr": 2e-3, "head_lr": 2e-2},
    "sgd": {"lr": 1e-2, "head_lr": 1e-1},
}
RATES = ("lr", "head_lr")
#: As a share of the network's rate, for pretrained weights, which would otherwise be forgotten.
BACKBONE_RATE = 0.05
MOMENTUM = 0.9  # for sgd
#: Devices on which an update is one kernel, instead of one per weight tensor.
FUSED = ("cpu", "cuda", "mps", "xpu")
#: The step schedule: at these shares of the steps, the learning rates fall to a tenth.
DROPS, DROP = (0.5, 0.75), 0.1


def optimizer_of(
    name: Optimizer,
    network: nn.Module,
    own: Iterable[nn.Parameter],
    rates: Mapping[str, float],
    weight_decay: float,
) -> optim.Optimizer:
    """For a network's weights and a loss's own, each with its learning rate."""
    groups: list[dict[str, Any]] = [
        *_paced(network, rates["lr"]),
        {"params": list(own), "lr": rates["head_lr"]},
    ]
    groups = [group for group in groups if group["params"]]
    fused = groups[0]["params"][0].device.type in FUSED
    match name:
        case "adamw":
            return optim.AdamW(groups, weight_decay=weight_decay, fused=fused)
        case "adam":
            return optim.Adam(groups, weight_decay=weight_decay, fused=fused)
        case "sgd":
            return optim.SGD(groups, momentum=MOMENTUM, weight_decay=weight_decay, fused=fused)


def _paced(network: nn.Module, rate: float) -> list[dict[str, Any]]:
    """A network's weights with their learning rates; a backbone's change more slowly."""
    slow = [*network.backbone.parameters()] if isinstance(network, Backboned) else []
    others = {id(weight) for weight in slow}
    fast = [weight for weight in network.parameters() if id(weight) not in others]
    return [{"params": slow, "lr": BACKBONE_RATE * rate}, {"params": fast, "lr": rate}]


def scheduler_of(name: Schedule, optimizer: optim.Optimizer, steps: int) -> LRScheduler:
    """How the learning rates change over this many steps."""
    match name:
        case "constant":
            return LambdaLR(optimizer, lambda _: 1.0)
        case "cosine":
            return CosineAnnealingLR(optimizer, steps)
        case "one-cycle":
            return OneCycleLR(optimizer, [group["lr"] for group in optimizer.param_groups], total_steps=steps)
        case "step":
            return MultiStepLR(optimizer, [round(share * steps) for share in DROPS], DROP)
