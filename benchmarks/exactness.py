"""Lossary against the same formula in plain torch, in float64, from the same rounded inputs.

A loss is taken by blocks of every size, and by the plain route that small batches take; each has its error, and so has
plain torch in the same precision.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.case import DENSE, OURS, Case, Inputs
from benchmarks.measure import prepared
from lossary.kernels import tuples
from lossary.kernels.rows import blocks, symmetric
from lossary.kernels.rows import formula as rows

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}
BLOCKS = (1, 5, 16, 1000)
PARTS = ("value", "gradients", "second gradients")


@contextlib.contextmanager
def in_blocks(size: int) -> Iterator[None]:
    """Every problem is a large one here, in blocks of so many rows."""
    with (
        mock.patch.multiple(rows, CPU_PLAIN=-1, ACCELERATOR_PLAIN=-1),
        mock.patch.object(blocks, "block_rows", return_value=size),
        mock.patch.object(symmetric, "TILE", size),
        mock.patch.object(tuples, "CACHED_TRIPLES", size),
    ):
        yield


def derivatives(case: Case, name: str, inputs: Inputs, *, order: int = 2) -> list[list[Tensor]]:
    """The loss, its gradients, and the gradients of the sum of their squares, in float64."""
    contender = case.contenders(*inputs.learns, *inputs.given)[name]()
    loss = contender.run()
    assert loss is not None
    first = torch.autograd.grad(loss, contender.learns, create_graph=order > 1)
    found = [[loss], list(first)]
    if order > 1:
        # A loss may be linear in one of what learns.
        squares = torch.stack(
            [g.float().square().sum() if g.dtype == torch.bfloat16 else g.square().sum() for g in first]
        )
        second = torch.autograd.grad(squares.sum(), contender.learns, allow_unused=True)
        found.append([torch.zeros_like(t) if g is None else g for g, t in zip(second, contender.learns, strict=True)])
    return [[t.detach().double() for t in part] for part in found]


def deviation(got: list[Tensor], right: list[Tensor]) -> float:
    """The largest difference of any entry, as a share of the largest entry."""
    shares = ((g - r).abs().max() / r.abs().max().clamp_min(1e-30) for g, r in zip(got, right, strict=True))
    return max(float(share) for share in shares)


def errors(case: Case, dtype: torch.dtype) -> Mapping[str, Any]:
    """Of one case in one precision: each part's error by blocks and in plain torch, and how blocks differ."""
    torch.manual_seed(0)
    inputs = prepared(case.inputs(), dtype)
    exact = prepared(inputs, torch.float64)
    right = derivatives(case, DENSE, exact)
    plain = derivatives(case, DENSE, inputs)
    blocked: list[list[list[Tensor]]] = []
    for size in BLOCKS:
        with in_blocks(size):
            blocked.append(derivatives(case, OURS, inputs))
    return {
        part: {
            "blocked": max(deviation(found[i], right[i]) for found in blocked),
            "plain": deviation(plain[i], right[i]),
            "between_blocks": max(deviation(found[i], blocked[0][i]) for found in blocked[1:]),
        }
        for i, part in enumerate(PARTS)
    }


def table(cases: list[Case]) -> list[dict[str, Any]]:
    """One row a case, precision and part."""
    return [
        {"case": case.name, "dtype": name, "part": part, **found}
        for case in cases
        for name, dtype in DTYPES.items()
        for part, found in errors(case, dtype).items()
    ]
