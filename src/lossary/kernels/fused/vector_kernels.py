# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportMissingImports=false
"""Kernels beside the products: norms of vectors, the last step of their gradients, and formulas of (N,) numbers.

What an argument may lack is None, of which a kernel is compiled without a trace.
"""

import triton
import triton.language as tl

from lossary.kernels.fused.row_kernels import LOG2_E, log1p_exp, sigmoid


@triton.jit
def inverse_norms(W, FACTOR, OUT, C, D, radius, BC: tl.constexpr, BD: tl.constexpr):
    """radius / |w_j|, times a factor of each; 0 of a zero vector.

    Squares are taken beside the largest entry, so that none is out of range.
    """
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    at = W + c.to(tl.int64)[:, None] * D
    largest = tl.zeros((BC,), dtype=tl.float32)
    for first in range(0, D, BD):
        d = first + tl.arange(0, BD)
        w = tl.load(at + d[None, :], mask=(c[:, None] < C) & (d[None, :] < D), other=0.0).to(tl.float32)
        largest = tl.maximum(largest, tl.max(tl.abs(w), 1))
    scale = tl.where(largest > 0, largest, 1.0)
    squares = tl.zeros((BC,), dtype=tl.float32)
    for first in range(0, D, BD):
        d = first + tl.arange(0, BD)
        w = tl.load(at + d[None, :], mask=(c[:, None] < C) & (d[None, :] < D), other=0.0).to(tl.float32)
        w = w / scale[:, None]
        squares += tl.sum(w * w, 1)
    root = tl.sqrt(tl.where(squares > 0, squares, 1.0))
    # No shorter than what has a reciprocal in float32.
    found = tl.where(squares > 0, radius / tl.maximum(scale * root, 1e-37), 0.0)
    if FACTOR is not None:
        found *= tl.load(FACTOR + c, mask=c < C, other=0.0).to(tl.float32)
    tl.store(OUT + c, found, mask=c < C)


@triton.jit
def _entries(G, W, BY_PAIR, EACH, unscale, offset, c, d, ok, C, D, cut):
    """Some entries of the gradient by what was multiplied, with what the pairs' own scores give; and of the vectors."""
    g = tl.load(G + offset + d[None, :], mask=ok, other=0.0).to(tl.float32) * unscale
    if BY_PAIR is not None:
        other = tl.where(c < cut, c + cut, c - cut)
        both = tl.load(BY_PAIR + c, mask=c < C, other=0.0) + tl.load(BY_PAIR + other, mask=c < C, other=0.0)
        if EACH is not None:
            both *= tl.load(EACH + c, mask=c < C, other=0.0) * tl.load(EACH + other, mask=c < C, other=0.0)
        at = W + other.to(tl.int64)[:, None] * D + d[None, :]
        g += both[:, None] * tl.load(at, mask=ok, other=0.0).to(tl.float32)
    return g


@triton.jit
def finish_vectors(G, GIVEN, MULTIPLIED, EACH, FACTOR, BY_PAIR, UNSCALE, OUT, ALONG, C, D, radius, cut,
                   UNIT: tl.constexpr, BC: tl.constexpr, BD: tl.constexpr):  # fmt: skip
    """A gradient as it leaves the product becomes that by the vectors, in their dtype, and by a factor of each.

    Pairs give their share first: vector j and vector j +- cut, whose scores have the derivatives BY_PAIR. Where vectors
    count by their direction (UNIT), what is left has no part along them. EACH is radius / |w_j| there, and the factor.
    """
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    offset = c.to(tl.int64)[:, None] * D
    unscale = 1.0
    if UNSCALE is not None:
        unscale = tl.load(UNSCALE)
    along = tl.zeros((BC,), tl.float32)
    if UNIT or ALONG is not None:
        for first in range(0, D, BD):
            d = first + tl.arange(0, BD)
            ok = (c[:, None] < C) & (d[None, :] < D)
            g = _entries(G, MULTIPLIED, BY_PAIR, EACH, unscale, offset, c, d, ok, C, D, cut)
            along += tl.sum(g * tl.load(GIVEN + offset + d[None, :], mask=ok, other=0.0).to(tl.float32), 1)
    factor = tl.full((BC,), 1.0, tl.float32)
    if FACTOR is not None:
        factor = tl.load(FACTOR + c, mask=c < C, other=1.0).to(tl.float32)
        factor = tl.where(factor == 0, float("inf"), factor)  # no share of anything
    if ALONG is not None:
        tl.store(ALONG + c, along / factor, mask=c < C)
    if UNIT:
        inverse = tl.load(EACH + c, mask=c < C, other=0.0) / (factor * radius)
        along = along * inverse * inverse
    for first in range(0, D, BD):
        d = first + tl.arange(0, BD)
        ok = (c[:, None] < C) & (d[None, :] < D)
        g = _entries(G, MULTIPLIED, BY_PAIR, EACH, unscale, offset, c, d, ok, C, D, cut)
        if UNIT:
            g -= along[:, None] * tl.load(GIVEN + offset + d[None, :], mask=ok, other=0.0).to(tl.float32)
        tl.store(OUT + offset + d[None, :], g.to(OUT.dtype.element_ty), mask=ok)


@triton.jit
def _nll(REST, AMONG, TARGET, n, ok):
    """log(e^among + e^rest) - target without the cancellation of rows that are nearly right, and the rest's share."""
    rest, target = tl.load(REST + n, mask=ok, other=0.0), tl.load(TARGET + n, mask=ok, other=0.0)
    among = target
    if AMONG is not None:
        among = tl.load(AMONG + n, mask=ok, other=0.0)
    gap = rest - among
    return tl.maximum(gap, 0.0) + log1p_exp(gap * LOG2_E) + (among - target), sigmoid(gap * LOG2_E)


@triton.jit
def _shares(COUNT, WEIGHT, n, ok):
    """What rows weigh in the mean; nothing without a target."""
    share = tl.where(ok, 1.0, 0.0)
    if WEIGHT is not None:
        share = tl.load(WEIGHT + n, mask=ok, other=0).to(tl.float32)
    if COUNT is not None:
        share = tl.where(tl.load(COUNT + n, mask=ok, other=0.0) > 0, share, 0.0)
    return share


@triton.jit
def nll_mean(REST, AMONG, TARGET, COUNT, WEIGHT, MEAN, DIVISOR, N, BLOCK: tl.constexpr):
    """The mean negative log-likelihood of rows, and what it was divided by; both are 0 of nothing. One program."""
    total, divisor = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for first in range(0, N, BLOCK):
        n = first + tl.arange(0, BLOCK)
        ok = n < N
        loss, _ = _nll(REST, AMONG, TARGET, n, ok)
        share = _shares(COUNT, WEIGHT, n, ok)
        # Chosen, not multiplied, as far as a row has no target or is none.
        counts = ok if COUNT is None else ok & (tl.load(COUNT + n, mask=ok, other=0.0) > 0)
        total += tl.where(counts, loss * share, 0.0)
        divisor += share
    by = tl.sum(divisor, 0)
    tl.store(MEAN, tl.sum(total, 0) / tl.where(by == 0, 1.0, by))
    tl.store(DIVISOR, by)


@triton.jit
def nll_slopes(REST, AMONG, TARGET, COUNT, WEIGHT, DIVISOR, BY_MEAN, BY_REST, BY_AMONG, BY_TARGET, N,
               BLOCK: tl.constexpr):  # fmt: skip
    """The derivatives of the mean by the statistics, times that by the mean."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = n < N
    _, wrong = _nll(REST, AMONG, TARGET, n, ok)
    by = tl.load(DIVISOR)
    each = _shares(COUNT, WEIGHT, n, ok) * (tl.load(BY_MEAN).to(tl.float32) / tl.where(by == 0, 1.0, by))
    tl.store(BY_REST + n, each * wrong, mask=ok)
    if AMONG is None:
        tl.store(BY_TARGET + n, -each * wrong, mask=ok)
    else:
        rest, among = tl.load(REST + n, mask=ok, other=0.0), tl.load(AMONG + n, mask=ok, other=0.0)
        tl.store(BY_AMONG + n, each * sigmoid((among - rest) * LOG2_E), mask=ok)
        tl.store(BY_TARGET + n, -each, mask=ok)
