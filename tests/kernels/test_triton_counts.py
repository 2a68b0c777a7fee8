"""What the losses start on an accelerator with Triton's kernels, counted on tensors without values."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from benchmarks.meter.counter import Meter, count
from torch import Tensor

import interpreter
import lossary
from lossary.core import device
from lossary.kernels.fused import switch

pytestmark = pytest.mark.skipif(interpreter.LACKING is not None, reason=str(interpreter.LACKING))
BF16 = torch.bfloat16


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels that an accelerator would start; tensors without values lie on one."""
    from lossary.kernels.fused import elements, gaps, means, overlap, rows, sides

    names: list[str] = []
    for module in (elements, gaps, means, overlap, rows, sides):
        monkeypatch.setattr(module, "launch", lambda kernel, *_, **__: names.append(kernel.__name__))
    monkeypatch.setattr(switch, "ON", True)
    monkeypatch.setattr(switch, "DEVICES", ("meta",))
    monkeypatch.setattr(switch, "interpreted", lambda: False)
    monkeypatch.setattr(device, "_into_float32", lambda *_: True)  # bf16 products
    return names


def numbers(*shape: int, dtype: torch.dtype = BF16) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def head(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, w, y: lossary.linear_loss(loss, x, w, y)


def launches(meter: Meter, started: list[str]) -> int:
    return sum(cost.kernels for cost in meter.costs) + len(started)


NUMBER = numbers(dtype=torch.float32)  # one that learns

#: A loss, its inputs, the most launches of Triton's kernels, and of all.
WORK: dict[str, tuple[Callable[..., Tensor], tuple[Any, ...], int, int]] = {
    "head of a million": (
        head(lossary.cross_entropy),
        (numbers(4_096, 512), numbers(1_000_000, 512), torch.arange(4_096)),
        8,
        17,
    ),
    "head of a language model": (
        head(lossary.cross_entropy),
        (numbers(16_384, 4_096), numbers(131_072, 4_096), torch.arange(16_384)),
        18,
        51,
    ),
    "CLIP": (lossary.clip_loss, (numbers(32_768, 512), numbers(32_768, 512)), 11, 15),
    "focal head": (
        head(lossary.focal_loss),
        (numbers(4_096, 512), numbers(1_000_000, 512), torch.arange(4_096)),
        8,
        17,
    ),
    "InfoNCE": (lossary.info_nce_loss, (numbers(32_768, 512), numbers(32_768, 512)), 10, 13),
    "NT-Xent": (lossary.nt_xent_loss, (numbers(32_768, 128), numbers(32_768, 128)), 11, 17),
    "ArcFace": (
        lossary.arcface_loss,
        (numbers(4_096, 512), numbers(1_000_000, 512), torch.arange(4_096)),
        14,
        20,
    ),
    "SigLIP": (lossary.siglip_loss, (numbers(32_768, 512), numbers(32_768, 512)), 10, 14),
    "SupCon": (lossary.supcon_loss, (numbers(65_536, 128), torch.arange(65_536) // 8), 11, 14),
    "CLIP, a temperature that learns": (
        lambda x, z, t: lossary.clip_loss(x, z, temperature=t),
        (numbers(32_768, 512), numbers(32_768, 512), NUMBER),
        11,
        24,
    ),
    "SigLIP, scale and bias learn": (
        lambda x, z, s, b: lossary.siglip_loss(x, z, scale=s, bias=b),
        (numbers(32_768, 512), numbers(32_768, 512), NUMBER, NUMBER),
        10,
        23,
    ),
    "SupCon, a temperature that learns": (
        lambda x, y, t: lossary.supcon_loss(x, y, temperature=t),
        (numbers(65_536, 128), torch.arange(65_536) // 8, NUMBER),
        11,
        27,
    ),
    "ready scores": (lossary.cross_entropy, (numbers(16_384, 131_072), torch.arange(16_384)), 2, 16),
    "focal": (lossary.focal_loss, (numbers(8_192, 10_000, dtype=torch.float32), torch.arange(8_192)), 3, 12),
    "Dice": (lossary.dice_loss, (numbers(16, 19, 512, 512), numbers(16, 512, 512, dtype=torch.long)), 2, 18),
}


@pytest.mark.parametrize("name", WORK)
def test_few_launches_and_nothing_read(started: list[str], name: str) -> None:
    loss, inputs, ours, every = WORK[name]
    meter = count(loss, *inputs)
    assert not meter.reads
    assert 0 < len(started) <= ours, started
    assert launches(meter, started) <= every, [cost.name for cost in meter.costs]


@pytest.mark.parametrize(
    "loss",
    [lossary.sigmoid_focal_loss, lossary.binary_cross_entropy_with_logits, lossary.mse_loss],
)
def test_elements_go_once_through_memory(started: list[str], loss: Callable[..., Tensor]) -> None:
    """Beside the kernels' own way: input and target read, the gradient written."""
    n = 100_000_000
    meter = count(loss, numbers(n), numbers(n), fixed=(1,))
    assert started.count("value_and_slope") == 3
    assert sum(cost.bytes for cost in meter.costs) < 0.01 * 6 * n


@pytest.mark.parametrize(
    ("name", "gib"), [("head of a million", 4), ("ArcFace", 4), ("head of a language model", 2), ("SupCon", 4)]
)
def test_the_peak_beside_gradients_and_their_accumulators(started: list[str], name: str, gib: int) -> None:
    """Strips of slopes, cut by the device's budget: no float32 copy of the columns, and never two strips at once."""
    loss, inputs, _, _ = WORK[name]
    learn = [x for x in inputs if x.is_floating_point()]
    beside = 2 * sum(x.numel() for x in learn) + 4 * learn[0].numel()
    assert count(loss, *inputs).memory.peak < beside + (gib << 30)
