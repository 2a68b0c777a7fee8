"""Where a run computes, and at what precision its network multiplies. Scores and records are float32 on the CPU."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from lossary.lab.data.types import Data, Inputs, Pixels
from lossary.lab.run.options import Precision

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def chosen(asked: str) -> str:
    """An available device, by its name; ``auto`` is the accelerator, if there is one.

    Raises:
        LookupError: naming the available ones.
    """
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if asked == "auto":
        return found.type if found else "cpu"
    here = ["cpu", *([found.type] if found else [])]
    name, _, index = asked.partition(":")
    numbered = name != "cpu" and index.isdecimal() and int(index) < torch.accelerator.device_count()
    if name not in here or (index and not numbered):
        raise LookupError(f"device: wanted auto or one that is here ({', '.join(here)}); got {asked!r}")
    return asked


@dataclass(frozen=True)
class Moved:
    """Inputs that are read on the CPU one batch at a time, and then moved."""

    inputs: Inputs
    device: torch.device

    def __getitem__(self, batch: Tensor) -> Tensor:
        return self.inputs[batch].to(self.device)


def placed(data: Data, device: torch.device) -> Data:
    """The data for training: the training part on the device, and the inputs of the validation part.

    They are moved once, except inputs that user code reads anew for each batch.
    """
    if device.type == "cpu":
        return data
    inputs = data.train.inputs
    inputs = inputs.to(device) if isinstance(inputs, Tensor | Pixels) else Moved(inputs, device)
    weights = None if data.train.weights is None else data.train.weights.to(device)
    train = replace(data.train, inputs=inputs, targets=data.train.targets.to(device), weights=weights)
    return replace(data, train=train, valid=replace(data.valid, inputs=data.valid.inputs.to(device)))


def multiplying(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Forward passes in half precision if requested; weights stay float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, HALVES[precision])


def scaler(precision: Precision, device: torch.device) -> GradScaler:
    """Keeps float16 gradients from vanishing; does nothing for other types, which have float32's range."""
    return GradScaler(device.type, enabled=precision == "fp16")
