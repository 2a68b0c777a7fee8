# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportMissingImports=false
"""Kernels around the products: norms of vectors, the last step of their gradients, and formulas of (N,) numbers.

Arguments that are not needed are None, and leave nothing in the compiled kernel.
"""

import triton
import triton.language as tl

from lossary.kernels.fused.memory_kernels import gap_focal
from lossary.kernels.fused.row_kernels import LOG2_E, sigmoid, softplus


@triton.jit
def _inverse_norms(program, W, FACTOR, OUT, C, D, radius, BC: tl.constexpr, BD: tl.constexpr):
    """radius / |w_j|, times each vector's factor; 0 for a zero vector.

    Entries are divided by the largest before they are squared, so that no square is out of range.
    """
    c = program * BC + tl.arange(0, BC)
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
    # At least what has a reciprocal in float32.
    found = tl.where(squares > 0, radius / tl.maximum(scale * root, 1e-37), 0.0)
    if FACTOR is not None:
        found *= tl.load(FACTOR + c, mask=c < C, other=0.0).to(tl.float32)
    tl.store(OUT + c, found, mask=c < C)


@triton.jit
def inverse_norms(W, FACTOR, OUT, C, D, radius, BC: tl.constexpr, BD: tl.constexpr):
    """For some vectors."""
    _inverse_norms(tl.program_id(0), W, FACTOR, OUT, C, D, radius, BC, BD)


@triton.jit
def inverse_norms_of_both(
    X, X_FACTOR, X_OUT, N, x_radius, W, W_FACTOR, W_OUT, C, w_radius, D, BC: tl.constexpr, BD: tl.constexpr
):
    """For both sides of a product."""
    program = tl.program_id(0)
    of_x = tl.cdiv(N, BC)
    if program < of_x:
        _inverse_norms(program, X, X_FACTOR, X_OUT, N, D, x_radius, BC, BD)
    else:
        _inverse_norms(program - of_x, W, W_FACTOR, W_OUT, C, D, w_radius, BC, BD)


@triton.jit
def _entries(G, EACH, OTHER, OTHER_EACH, BY_PAIR, unscale, c, d, C, D, number, pairs, SETS: tl.constexpr):
    """Some entries of the gradient by what was multiplied, including what pairs contribute."""
    ok = (c[:, None] < C) & (d[None, :] < D)
    g = tl.load(G + c.to(tl.int64)[:, None] * D + d[None, :], mask=ok, other=0.0).to(tl.float32) * unscale
    if BY_PAIR is not None:
        other = number + c
        if SETS:  # pairs are in one list, and each of the two has a derivative
            other = tl.where(c < number, c + number, c - number)
        paired = (c < C) & (other < pairs)
        by = tl.load(BY_PAIR + other, mask=paired, other=0.0)
        if SETS:
            by += tl.load(BY_PAIR + c, mask=paired, other=0.0)
        if EACH is not None:
            by *= tl.load(EACH + c, mask=paired, other=0.0)
        if OTHER_EACH is not None:
            by *= tl.load(OTHER_EACH + other, mask=paired, other=0.0)
        at = OTHER + other.to(tl.int64)[:, None] * D + d[None, :]
        g += by[:, None] * tl.load(at, mask=paired[:, None] & (d[None, :] < D), other=0.0).to(tl.float32)
    return g


@triton.jit
def finish_vectors(G, GIVEN, EACH, FACTOR, OTHER, OTHER_EACH, BY_PAIR, UNSCALE, OUT, ALONG, C, D, radius,
                   number, pairs, SETS: tl.constexpr, UNIT: tl.constexpr,
                   BC: tl.constexpr, BD: tl.constexpr):  # fmt: skip
    """From a product's gradient, those by the vectors, in their dtype, and by each vector's factor.

    Pairs are added first: vector j and OTHER's vector ``number + j``, of the first ``pairs``, whose scores have the
    derivatives BY_PAIR. If vectors count by their direction (UNIT), the part along them is removed; EACH is then
    radius / |w_j| times the factor.
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
            g = _entries(G, EACH, OTHER, OTHER_EACH, BY_PAIR, unscale, c, d, C, D, number, pairs, SETS)
            along += tl.sum(g * tl.load(GIVEN + offset + d[None, :], mask=ok, other=0.0).to(tl.float32), 1)
    factor = tl.full((BC,), 1.0, tl.float32)
    if FACTOR is not None:
        factor = tl.load(FACTOR + c, mask=c < C, other=1.0).to(tl.float32)
        factor = tl.where(factor == 0, float("inf"), factor)  # contributes nothing
    if ALONG is not None:
        tl.store(ALONG + c, along / factor, mask=c < C)
    if UNIT:
        inverse = tl.load(EACH + c, mask=c < C, other=0.0) / (factor * radius)
        along = along * inverse * inverse
    for first in range(0, D, BD):
        d = first + tl.arange(0, BD)
        ok = (c[:, None] < C) & (d[None, :] < D)
        g = _entries(G, EACH, OTHER, OTHER_EACH, BY_PAIR, unscale, c, d, C, D, number, pairs, SETS)
        if UNIT:
            g -= along[:, None] * tl.load(GIVEN + offset + d[None, :], mask=ok, other=0.0).to(tl.float32)
        tl.store(OUT + offset + d[None, :], g.to(OUT.dtype.element_ty), mask=ok)


@triton.jit
def _turned(score, scale, cos_m, sin_m, step, BEYOND: tl.constexpr):
    """scale cos(angle + m) for score = scale cos(angle), and its derivative by the score."""
    cos = score / scale
    sin = tl.sqrt(tl.maximum((1.0 - cos) * (1.0 + cos), 0.0, propagate_nan=tl.PropagateNan.ALL))
    turned = cos * cos_m - sin * sin_m
    # At +-1, and where rounding may have put the cosine there, the angle has no derivative.
    at_end = tl.abs(cos) >= 1.0 - 2.384185791015625e-7
    slope = tl.where(at_end, 0.0, cos_m + cos * sin_m / tl.where(at_end, 1.0, sin))
    if BEYOND == "linear":
        turned, slope = tl.where(cos <= -cos_m, cos - step, turned), tl.where(cos <= -cos_m, 1.0, slope)
    elif BEYOND == "easy":
        turned, slope = tl.where(cos <= 0.0, cos, turned), tl.where(cos <= 0.0, 1.0, slope)
    return scale * turned, slope


@triton.jit
def _formula(REST, AMONG, TARGET, n, ok, p, q, r, t, KIND: tl.constexpr):
    """A loss of a row's statistics, and its derivatives by those of the rest, the targets and the target."""
    rest, target = tl.load(REST + n, mask=ok, other=0.0), tl.load(TARGET + n, mask=ok, other=0.0)
    zero = tl.zeros_like(rest)
    if KIND == "pair":  # here the rest is a sum of softplus
        value = softplus(-target * LOG2_E) + rest
        return value, zero + 1.0, zero, -sigmoid(-target * LOG2_E)
    if AMONG is not None:  # does not cancel in rows that are nearly right
        among = tl.load(AMONG + n, mask=ok, other=0.0)
        gap = rest - among
        value = softplus(gap * LOG2_E) + (among - target)
        return value, sigmoid(gap * LOG2_E), sigmoid(-gap * LOG2_E), zero - 1.0
    if KIND == "gap focal":
        value, slope = gap_focal(rest - target, p)
        return value, slope, zero, -slope
    score, slope = target - p, zero + 1.0
    if KIND == "angle linear":
        score, slope = _turned(target, p, q, r, t, "linear")
    elif KIND == "angle easy":
        score, slope = _turned(target, p, q, r, t, "easy")
    elif KIND == "angle plain":
        score, slope = _turned(target, p, q, r, t, "plain")
    gap = rest - score
    wrong = sigmoid(gap * LOG2_E)
    return softplus(gap * LOG2_E), wrong, zero, -wrong * slope


@triton.jit
def _shares(COUNT, WEIGHT, n, ok):
    """The rows' weights in the mean; 0 for rows without a target."""
    share = tl.where(ok, 1.0, 0.0)
    if WEIGHT is not None:
        share = tl.load(WEIGHT + n, mask=ok, other=0).to(tl.float32)
    if COUNT is not None:
        share = tl.where(tl.load(COUNT + n, mask=ok, other=0.0) > 0, share, 0.0)
    return share


@triton.jit
def row_mean(REST, AMONG, TARGET, COUNT, WEIGHT, MEAN, DIVISOR, N, p, q, r, t,
             KIND: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """The mean of a formula over rows, and its divisor; both are 0 if nothing counts. A single program."""
    total, divisor = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for first in range(0, N, BLOCK):
        n = first + tl.arange(0, BLOCK)
        ok = n < N
        loss, _, _, _ = _formula(REST, AMONG, TARGET, n, ok, p, q, r, t, KIND)
        share = _shares(COUNT, WEIGHT, n, ok)
        if COUNT is not None:
            ok = ok & (tl.load(COUNT + n, mask=ok, other=0.0) > 0)
        total += tl.where(ok, loss * share, 0.0)
        divisor += share
    by = tl.sum(divisor, 0)
    tl.store(MEAN, tl.sum(total, 0) / tl.where(by == 0, 1.0, by))
    tl.store(DIVISOR, by)


@triton.jit
def row_slopes(REST, AMONG, TARGET, COUNT, WEIGHT, DIVISOR, BY_MEAN, BY_REST, BY_AMONG, BY_TARGET, N, p, q, r, t,
               KIND: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """The derivatives of that mean by the statistics, times the derivative by the mean."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = n < N
    _, by_rest, by_among, by_target = _formula(REST, AMONG, TARGET, n, ok, p, q, r, t, KIND)
    by = tl.load(DIVISOR)
    each = _shares(COUNT, WEIGHT, n, ok) * (tl.load(BY_MEAN).to(tl.float32) / tl.where(by == 0, 1.0, by))
    tl.store(BY_REST + n, each * by_rest, mask=ok)
    tl.store(BY_TARGET + n, each * by_target, mask=ok)
    if AMONG is not None:
        tl.store(BY_AMONG + n, each * by_among, mask=ok)
