# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportMissingImports=false
"""Kernels without a product: each number is read once, and its gradient is written once.

Arguments that are not needed are None, and leave nothing in the compiled kernel.
"""

import triton
import triton.language as tl

from lossary.kernels.fused.row_kernels import LN_2, LOG2_E, bounded, floored, log1p_exp, sigmoid

LOWEST = tl.constexpr(-1e38)


@triton.jit
def _entropy(z, y, positive):
    """Cross-entropy of logits, its positive term times a number, and its derivative."""
    rest = log1p_exp(z * LOG2_E)
    value = positive * y * (tl.maximum(-z, 0.0) + rest) + (1.0 - y) * (tl.maximum(z, 0.0) + rest)
    return value, (1.0 - y) * sigmoid(z * LOG2_E) - positive * y * sigmoid(-z * LOG2_E)


@triton.jit
def _focal(z, y, gamma, of_yes, of_no):
    """Sigmoid focal loss with a weight for either answer, and its derivative."""
    entropy, by_z = _entropy(z, y, 1.0)
    yes, no = sigmoid(z * LOG2_E), sigmoid(-z * LOG2_E)
    # At least 2^-100, like the sigmoid itself, so that no power of it is infinite.
    wrong = tl.maximum(y * no + (1.0 - y) * yes, 8e-31)
    fade = tl.exp2(gamma * tl.log2(wrong))
    weight = y * of_yes + (1.0 - y) * of_no
    # The derivative of 1 - p_t over 1 - p_t itself, from factors below 1.
    steepness = gamma * ((1.0 - 2.0 * y) * yes * no / wrong)
    return weight * entropy * fade, weight * fade * (by_z + entropy * steepness)


@triton.jit
def gap_focal(gap, gamma):
    """Softmax focal loss of the gap, log-sum-exp of the others less the label's score, and its derivative."""
    rest = log1p_exp(gap * LOG2_E)
    fade = tl.exp2(floored(-gamma * (tl.maximum(-gap, 0.0) + rest) * LOG2_E))
    value = fade * (tl.maximum(gap, 0.0) + rest)
    return value, fade * sigmoid(gap * LOG2_E) + gamma * value * sigmoid(-gap * LOG2_E)


@triton.jit
def value_and_slope(X, Y, SHARE, OUT, SUMS, count, p, q, r, KIND: tl.constexpr, BLOCK: tl.constexpr):
    """Each program's sum of losses times a share into SUMS, and the derivatives into OUT; p, q, r: KIND's numbers."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    ok = i < count
    x = tl.load(X + i, mask=ok, other=0.0).to(tl.float32)
    y = 1.0
    if Y is not None:
        y = tl.load(Y + i, mask=ok, other=0).to(tl.float32)
    if KIND == "gap focal":  # here y is the weight
        value, slope = gap_focal(x, p)
        value, slope = y * value, y * slope
    elif KIND == "entropy":
        value, slope = _entropy(x, y, p)
    elif KIND == "focal":
        value, slope = _focal(x, y, p, q, r)
    else:  # squares
        value, slope = p * (x - y) * (x - y), 2.0 * p * (x - y)
    share = 1.0
    if SHARE is not None:
        share = tl.load(SHARE)
    tl.store(SUMS + tl.program_id(0), tl.sum(tl.where(ok, value, 0.0), 0) * share)
    tl.store(OUT + i, (slope * share).to(OUT.dtype.element_ty), mask=ok)


@triton.jit
def scale_unless_one(G, BY, count, BLOCK: tl.constexpr):
    """G times a number on the device; if that is 1, as for a loss that is not scaled, G is not touched."""
    by = tl.load(BY).to(tl.float32)
    if by != 1.0:
        i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        g = tl.load(G + i, mask=i < count, other=0.0).to(tl.float32)
        tl.store(G + i, (g * by).to(G.dtype.element_ty), mask=i < count)


@triton.jit
def gaps(S, LABELS, GAP, TOP, LOG_SUM, C, stride, BLOCK: tl.constexpr):
    """The log-sum-exp of a row's scores except its label's, less the label's; and its two parts.

    Scores are subtracted first, so that the last digits of large ones are not rounded away.
    """
    n = tl.program_id(0)
    at = S + n.to(tl.int64) * stride
    label = tl.load(LABELS + n)
    top, total = tl.full((BLOCK,), LOWEST, tl.float32), tl.zeros((BLOCK,), tl.float32)
    for first in range(0, C, BLOCK):
        c = first + tl.arange(0, BLOCK)
        rest = (c < C) & (c != label)
        s = tl.where(rest, tl.load(at + c, mask=rest, other=0.0).to(tl.float32), LOWEST)
        s = tl.where(s < LOWEST, LOWEST, s)  # an impossible class, with a score of -inf
        new = tl.maximum(top, s)
        share = tl.where(s == LOWEST, 0.0, tl.exp2(floored((s - new) * LOG2_E)))
        total = total * tl.exp2(floored((top - new) * LOG2_E)) + share
        top = new
    largest = tl.max(top, 0)
    total = tl.sum(total * tl.exp2(floored((top - largest) * LOG2_E)), 0)
    log_sum = tl.log2(tl.where(total == 0, 1.0, total))
    tl.store(GAP + n, (largest - tl.load(at + label).to(tl.float32)) + log_sum * LN_2)
    tl.store(TOP + n, largest)
    tl.store(LOG_SUM + n, log_sum)


@triton.jit
def gap_slopes(S, LABELS, TOP, LOG_SUM, BY_GAP, OUT, C, stride, BLOCK: tl.constexpr):
    """The gradient by the scores, from that by the gaps."""
    blocks = tl.cdiv(C, BLOCK)
    n = tl.program_id(0) // blocks
    c = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    s = tl.load(S + n.to(tl.int64) * stride + c, mask=c < C, other=0.0).to(tl.float32)
    by = tl.load(BY_GAP + n).to(tl.float32)
    share = tl.exp2(bounded((s - tl.load(TOP + n)) * LOG2_E - tl.load(LOG_SUM + n)))
    g = tl.where(c == tl.load(LABELS + n), -by, by * share)
    tl.store(OUT + n.to(tl.int64) * C + c, g.to(OUT.dtype.element_ty), mask=c < C)


@triton.jit
def _probabilities(X, KEEP, n, place, C, L, CLASSES: tl.constexpr):
    """Softmax over the classes at some places, (CLASSES, places), in float32; 0 at places that do not count."""
    k = tl.arange(0, CLASSES)
    at = X + (n.to(tl.int64) * C + k)[:, None] * L + place[None, :]
    ok = (k[:, None] < C) & (place[None, :] < L)
    z = tl.where(k[:, None] < C, tl.load(at, mask=ok, other=0.0).to(tl.float32), LOWEST)
    e = tl.exp2(floored((z - tl.max(z, 0)[None, :]) * LOG2_E))
    e = tl.where(ok, e, 0.0)
    total = tl.sum(e, 0)
    p = e / tl.where(total == 0, 1.0, total)[None, :]
    if KEEP is not None:
        keep = tl.load(KEEP + n.to(tl.int64) * L + place, mask=place < L, other=0)
        p = tl.where(keep[None, :] != 0, p, 0.0)
    return p, ok


@triton.jit
def overlap_sums(X, TARGET, KEEP, OUT, C, L, chunks, SQUARED: tl.constexpr, CLASSES: tl.constexpr,
                 PLACES: tl.constexpr, STEPS: tl.constexpr):  # fmt: skip
    """Sums over some places of p at the true class, of p or its square, and of true places: OUT (N, chunks, 3, C)."""
    n, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    k = tl.arange(0, CLASSES)
    overlap, predicted = tl.zeros((CLASSES,), tl.float32), tl.zeros((CLASSES,), tl.float32)
    truth = tl.zeros((CLASSES,), tl.float32)
    for step in range(STEPS):
        place = (chunk * STEPS + step) * PLACES + tl.arange(0, PLACES)
        p, ok = _probabilities(X, KEEP, n, place, C, L, CLASSES)
        true = ok & (tl.load(TARGET + n.to(tl.int64) * L + place, mask=place < L, other=-1)[None, :] == k[:, None])
        if KEEP is not None:
            keep = tl.load(KEEP + n.to(tl.int64) * L + place, mask=place < L, other=0)
            true = true & (keep[None, :] != 0)
        overlap += tl.sum(tl.where(true, p, 0.0), 1)
        predicted += tl.sum(p * p if SQUARED else p, 1)
        truth += tl.sum(true.to(tl.float32), 1)
    at = OUT + tl.program_id(0).to(tl.int64) * 3 * C + k
    tl.store(at, overlap, mask=k < C)
    tl.store(at + C, predicted, mask=k < C)
    tl.store(at + 2 * C, truth, mask=k < C)


@triton.jit
def overlap_slopes(X, TARGET, KEEP, BY_OVERLAP, BY_PREDICTED, OUT, C, L, chunks, SQUARED: tl.constexpr,
                   CLASSES: tl.constexpr, PLACES: tl.constexpr):  # fmt: skip
    """The gradient by the logits, from those by the sums, (N, C) each: p_k (a_k - sum_j p_j a_j)."""
    n = tl.program_id(0) // chunks
    place = tl.program_id(0) % chunks * PLACES + tl.arange(0, PLACES)
    k = tl.arange(0, CLASSES)
    p, ok = _probabilities(X, KEEP, n, place, C, L, CLASSES)
    true = tl.load(TARGET + n.to(tl.int64) * L + place, mask=place < L, other=-1)[None, :] == k[:, None]
    by_overlap = tl.load(BY_OVERLAP + n * C + k, mask=k < C, other=0.0).to(tl.float32)
    by_predicted = tl.load(BY_PREDICTED + n * C + k, mask=k < C, other=0.0).to(tl.float32)
    asked = by_predicted[:, None] * (2.0 * p if SQUARED else 1.0) + tl.where(true, by_overlap[:, None], 0.0)
    g = p * (asked - tl.sum(p * asked, 0)[None, :])
    at = OUT + (n.to(tl.int64) * C + k)[:, None] * L + place[None, :]
    tl.store(at, g.to(OUT.dtype.element_ty), mask=ok)
