"""The page of precisions: errors of losses and gradients, as a device that multiplies half precision would make them.

Such a device is emulated on the CPU: products of half-precision matrices are exact, and so is float32.
"""

import platform
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

import lossary
import lossary.functional as LF
from benchmarks.meter import naive
from benchmarks.page import markdown
from lossary.core import device as _device
from lossary.kernels import products
from lossary.kernels.rows import blocks, symmetric, tiles

Loss = Callable[..., Tensor]
PAGE = Path(__file__).parents[1] / "docs" / "precision.md"
ROWS, CLASSES, WIDTH = 256, 2048, 128

HEADS: dict[str, tuple[Loss, Loss]] = {
    "cross-entropy of a head": (
        lambda x, w, y: lossary.linear_loss(LF.cross_entropy, x, w, y),
        lambda x, w, y: F.cross_entropy((x @ w.T).to(wide(x)), y),
    ),
    "focal loss of a head": (
        lambda x, w, y: lossary.linear_loss(LF.focal_loss, x, w, y),
        lambda x, w, y: naive.NAIVE["focal_loss"]((x @ w.T).to(wide(x)), y),
    ),
    "smoothed cross-entropy of a head": (
        lambda x, w, y: lossary.linear_loss(LF.cross_entropy, x, w, y, label_smoothing=0.1),
        lambda x, w, y: F.cross_entropy((x @ w.T).to(wide(x)), y, label_smoothing=0.1),
    ),
    "ArcFace": (LF.arcface_loss, naive.arcface_in_float32),
}


def of_views(name: str, plain: Callable[..., Tensor]) -> tuple[Loss, Loss]:
    """A loss of two views, which needs no labels."""
    ours = getattr(LF, name)
    return lambda x, z, _: ours(x, z), lambda x, z, _: plain(x, z)


IN_BATCH: dict[str, tuple[Loss, Loss]] = {
    "InfoNCE": of_views("info_nce_loss", naive.NAIVE["info_nce_loss"]),
    "CLIP": of_views("clip_loss", naive.NAIVE["clip_loss"]),
    "SigLIP": of_views("siglip_loss", naive.siglip),
}
INTRO = """\
# Precision

Which type each computation uses, and what that costs in accuracy. `python -m benchmarks.precision` writes this page.

| given | products | scores, sums, losses | gradients |
| --- | --- | --- | --- |
| float64 | float64 | float64 | float64 |
| float32 | torch's own choice: float32, or TF32 where you allow it | float32 | float32 |
| bfloat16 or float16 | of the operands unchanged, **into float32** | float32 | summed in float32, rounded once |
| float32 under autocast | of the operands rounded to autocast's type, into float32 | float32 | float32 |
| half precision with float32 | float32 | float32 | each in its own type |

On devices that multiply half-precision matrices (CUDA, XPU; torch 2.8 or newer), this table applies as it stands. A CPU
multiplies float32 copies and rounds only the gradient; there, autocast changes nothing. Norms, temperatures and scales
enter as float32 factors of the product's rows and columns, so half-precision embeddings are never normalised and
rounded again. The gradient with respect to the scores is rounded to half precision before its two products; in float16,
a power of two scales it into range. Where scores are computed by blocks, the gradient at a row's only target, usually
its largest entry, is kept separate and not rounded. A scalar loss is float32, unless torch's function of the same name
returns another type.

## Errors

All errors are against float64 computed from the same rounded inputs: the relative error of the loss, and for the
gradient with respect to each input the norm of the error divided by the norm of the gradient. There are {rows} rows,
{classes} classes or {rows} partners, and {width} dimensions. *Random* embeddings carry no information; *trained-like*
ones lie near their class. Half-precision units are emulated, and so is TF32, by rounding operands to 10 bits. Stored in
bfloat16, even a gradient that is right to the last bit has an error of {bfloat16:.1e}, and in float16 of {float16:.1e}:
compare with these values, and with the float32 gradients under autocast. Plain torch in half precision rounds the
scores.

"""


def wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def rounded_to_tf32(x: Tensor) -> Tensor:
    """To the 10 bits of TF32, half to even."""
    bits = x.view(torch.int32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)


@contextmanager
def units(tf32: bool) -> Generator[None]:
    """Half precision is multiplied at once, and large blocks are cut as on an accelerator; TF32 if it is allowed."""

    def multiply_(out: Tensor, a: Tensor, b: Tensor, **rest: Any) -> Tensor:
        if tf32 and a.dtype == torch.float32:
            a, b = rounded_to_tf32(a.contiguous()), rounded_to_tf32(b.contiguous())
        return products.multiply_(out, a, b, **rest)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(_device, "multiplies_half", return_value=True))
        for module in (blocks, symmetric, tiles):
            stack.enter_context(mock.patch.object(module, "multiply_", multiply_))
        stack.enter_context(mock.patch.multiple("lossary.kernels.rows.formula", CPU_PLAIN=-1))
        yield


def found(loss: Loss, inputs: tuple[Tensor, ...], autocast: bool) -> list[Tensor]:
    *given, labels = inputs
    leaves = [t.clone().requires_grad_() for t in given]
    with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
        value = loss(*leaves, labels)
    return [t.detach().double() for t in (value, *torch.autograd.grad(value, leaves))]


def shares(got: list[Tensor], right: list[Tensor]) -> list[float]:
    return [float((a - b).norm() / b.norm()) for a, b in zip(got, right, strict=True)]


def drawn(trained: bool, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, directions and labels; everything is exact in bfloat16."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(classes, WIDTH, generator=generator).bfloat16()
    y = torch.randperm(classes, generator=generator)[:ROWS] if classes > ROWS else torch.arange(ROWS)
    noise = torch.randn(ROWS, WIDTH, generator=generator)
    x = 0.25 * (noise + 0.25 * w[y].float()) if trained else 0.05 * noise
    return x.bfloat16().float(), w.float(), y


TYPES: dict[str, tuple[torch.dtype, bool, bool]] = {
    "bfloat16": (torch.bfloat16, False, False),
    "float16": (torch.float16, False, False),
    "autocast": (torch.float32, True, False),
    "TF32": (torch.float32, False, True),
}


def rows() -> Iterator[tuple[str, ...]]:
    for classes, losses in ((CLASSES, HEADS), (ROWS, IN_BATCH)):
        for name, (ours, plain) in losses.items():
            for trained in (False, True):
                for kind, (dtype, autocast, tf32) in TYPES.items():
                    x, w, y = drawn(trained, classes)
                    inputs = (x.to(dtype), w.to(dtype), y)
                    right = found(plain, (inputs[0].double(), inputs[1].double(), y), False)
                    with units(tf32):
                        here = shares(found(ours, inputs, autocast), right)
                    there = [] if tf32 else shares(found(plain, inputs, autocast), right)
                    draw = "trained-like" if trained else "random"
                    yield (name, draw, kind, *(f"{e:.0e}" if e < 1e-5 else f"{e:.1e}" for e in (*here, *there)))


def page() -> str:
    g = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    least = {str(t)[6:]: float((g.to(t).float() - g).norm() / g.norm()) for t in (torch.bfloat16, torch.float16)}
    intro = INTRO.format(rows=ROWS, classes=f"{CLASSES:,}", width=WIDTH, **least)
    header = ("loss", "embeddings", "type", "loss's error", "dx", "dw", "plain torch: loss's", "dx ", "dw ")
    full = ((*row, *[""] * (len(header) - len(row))) for row in rows())
    where = f"torch {torch.__version__.partition('+')[0]}, {platform.machine()}; no accelerator was available.\n"
    return intro + markdown(header, full) + "\n" + where


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE.read_text())
