# pyright: basic, reportArgumentType=false, reportMissingImports=false
"""Rows of scores in Triton; no score is ever stored. Started by :mod:`lossary.kernels.fused.rows`.

Scores are in units of log 2. Arguments that are not needed are None, and leave nothing in the compiled kernel. Offsets
into a matrix have 64 bits: 4 million rows of 512 numbers exceed 2^31.
"""

import triton
import triton.language as tl

ABSENT_2 = tl.constexpr(-1.4426950408889634e30)  # ABSENT of kernels.stable in units of log 2: finite, exp2 of it is 0
LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
#: Smaller shares of a row than 2^-100 count as that: an error of 1e-30 of the row, and no subnormal in a block.
FLOOR = tl.constexpr(-100.0)

# What a program of `row_statistics` stores of its rows, in this order: of mean target and mean score the sums, of a
# log-sum-exp its maximum and its sum. Rows with one target each do not need the last four.
TARGET, TOTAL, REST_TOP, REST_SUM = (tl.constexpr(i) for i in range(4))
AMONG_TOP, AMONG_SUM, COUNT, EXISTING = (tl.constexpr(i) for i in range(4, 8))
# For sums of softplus, TOTAL is the rest's; again, only rows with several targets need these two.
SOFT_AMONG, SOFT_COUNT = tl.constexpr(2), tl.constexpr(3)
# What `row_factors` computes for a row, and `slopes` multiplies a tile by.
BY_TARGET, BY_AMONG, BY_REST, BY_MEAN, OF_AMONG, OF_REST = (tl.constexpr(i) for i in range(6))


@triton.jit
def floored(x):
    """An exponent of at least FLOOR; NaN stays NaN."""
    return tl.maximum(x, FLOOR, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def bounded(x):
    """The same, and at most -FLOOR: its power is neither 0 nor infinite."""
    return tl.minimum(floored(x), -FLOOR, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def log1p_exp(s):
    """log(1 + e^-|z|) for s = z / log 2, with all its digits even if it is tiny."""
    e = tl.exp2(floored(-tl.abs(s)))
    u = 1.0 + e
    step = u - 1.0
    return tl.where(step > 0, tl.log(u) * (e / tl.where(step > 0, step, 1.0)), e)


@triton.jit
def softplus(s):
    """log(1 + e^z) for s = z / log 2."""
    return tl.maximum(s * LN_2, 0.0) + log1p_exp(s)


@triton.jit
def sigmoid(s):
    """1 / (1 + e^-z) for s = z / log 2."""
    return 1.0 / (1.0 + tl.exp2(bounded(-s)))


@triton.jit
def _products(X, W, n, c, N, C, D, DOT: tl.constexpr, WIDE: tl.constexpr,
              BN: tl.constexpr, BC: tl.constexpr, BD: tl.constexpr):  # fmt: skip
    """<x_n, w_c>, (BN, BC), in float32."""
    s = tl.zeros((BN, BC), dtype=tl.float32)
    x_at, w_at = X + n.to(tl.int64)[:, None] * D, W + c.to(tl.int64)[:, None] * D
    for first in range(0, D, BD):
        d = first + tl.arange(0, BD)
        x = tl.load(x_at + d[None, :], mask=(n[:, None] < N) & (d[None, :] < D), other=0.0)
        w = tl.load(w_at + d[None, :], mask=(c[:, None] < C) & (d[None, :] < D), other=0.0)
        if WIDE:  # Triton's interpreter multiplies the bits of bfloat16 as if they were integers
            x, w = x.to(tl.float32), w.to(tl.float32)
        s = tl.dot(x, tl.trans(w), s, input_precision=DOT)
    return s


@triton.jit
def _scores(X, W, B, BY_ROW, BY_COLUMN, READY, n, c, first, N, end, D, DOT: tl.constexpr, WIDE: tl.constexpr,
            BN: tl.constexpr, BC: tl.constexpr, BD: tl.constexpr):  # fmt: skip
    """Scores of rows n with columns c in units of log 2, (BN, BC).

    READY are the products with the columns from ``first`` to ``end``, if they exist already.
    """
    if READY is None:
        s = _products(X, W, n, c, N, end, D, DOT, WIDE, BN, BC, BD)
    else:
        at = READY + n.to(tl.int64)[:, None] * (end - first) + (c - first)[None, :]
        s = tl.load(at, mask=(n[:, None] < N) & (c[None, :] < end), other=0.0)
    if BY_COLUMN is not None:
        s *= tl.load(BY_COLUMN + c, mask=c < end, other=0.0)[None, :]
    if BY_ROW is not None:
        s *= tl.load(BY_ROW + n, mask=n < N, other=0.0)[:, None]
    if B is not None:
        s += tl.load(B + c, mask=c < end, other=0.0).to(tl.float32)[None, :]
    return s * LOG2_E


@triton.jit
def _kinds(ROW_LABELS, COLUMN_LABELS, ROW_GROUPS, COLUMN_GROUPS, n, c, N, C, number, OWN: tl.constexpr):
    """Which of a tile's entries are targets, and which the rest; others do not exist. ``number`` is column 0's."""
    exists = (n[:, None] < N) & (c[None, :] < C)
    if OWN:
        exists = exists & (n[:, None] != number + c[None, :])
    of_rows, of_columns = n.to(tl.int64), c.to(tl.int64)
    if ROW_LABELS is not None:
        of_rows = tl.load(ROW_LABELS + n, mask=n < N, other=-1).to(tl.int64)
    if COLUMN_LABELS is not None:
        of_columns = tl.load(COLUMN_LABELS + c, mask=c < C, other=-1).to(tl.int64)
    same = of_rows[:, None] == of_columns[None, :]
    rest = exists & (same == 0)
    if ROW_GROUPS is not None:
        by_row = tl.load(ROW_GROUPS + n, mask=n < N, other=-1).to(tl.int64)
        by_column = tl.load(COLUMN_GROUPS + c, mask=c < C, other=-1).to(tl.int64)
        rest = rest & (by_row[:, None] != by_column[None, :])
    return exists & same, rest


@triton.jit
def _merged(top, total, s, kept):
    """A log-sum-exp to which the kept entries of one more tile are added."""
    s = tl.where(kept, s, ABSENT_2)
    new = tl.maximum(top, tl.max(s, 1))
    share = tl.where(kept, tl.exp2(floored(s - new[:, None])), 0.0)
    return new, total * tl.exp2(floored(top - new)) + tl.sum(share, 1)


@triton.jit
def row_statistics(X, W, B, BY_ROW, BY_COLUMN, ROW_LABELS, COLUMN_LABELS, ROW_GROUPS, COLUMN_GROUPS, READY, OUT,
                   N, D, start, end, span, scale, number,
                   OWN: tl.constexpr, SINGLE: tl.constexpr, SOFT: tl.constexpr, FIELDS: tl.constexpr,
                   DOT: tl.constexpr, WIDE: tl.constexpr,
                   BN: tl.constexpr, BC: tl.constexpr, BD: tl.constexpr):  # fmt: skip
    """Some rows' sums over parts of the columns ``start`` to ``end``, ``span`` each, into OUT (parts, FIELDS, N).

    With SOFT, softplus is summed; then the mean score is not needed.
    """
    tiles = tl.cdiv(N, BN)
    part = tl.program_id(0) // tiles  # neighbours work on the same columns, which are then in cache
    n = tl.program_id(0) % tiles * BN + tl.arange(0, BN)
    target, total = tl.zeros((BN,), tl.float32), tl.zeros((BN,), tl.float32)
    rest, rest_sum = tl.full((BN,), ABSENT_2, tl.float32), tl.zeros((BN,), tl.float32)
    among, among_sum = tl.full((BN,), ABSENT_2, tl.float32), tl.zeros((BN,), tl.float32)
    count, existing = tl.zeros((BN,), tl.float32), tl.zeros((BN,), tl.float32)
    for first in range(start + part * span, tl.minimum(start + part * span + span, end), BC):
        c = first + tl.arange(0, BC)
        s = _scores(X, W, B, BY_ROW, BY_COLUMN, READY, n, c, start, N, end, D, DOT, WIDE, BN, BC, BD)
        is_target, is_rest = _kinds(ROW_LABELS, COLUMN_LABELS, ROW_GROUPS, COLUMN_GROUPS, n, c, N, end, number, OWN)
        target += tl.sum(tl.where(is_target, s * scale, 0.0), 1)
        if SOFT:
            total += tl.sum(tl.where(is_rest, softplus(s), 0.0), 1)
            if not SINGLE:
                among_sum += tl.sum(tl.where(is_target, softplus(s * scale), 0.0), 1)
                count += tl.sum(is_target.to(tl.float32), 1)
        else:
            total += tl.sum(tl.where(is_target | is_rest, s, 0.0), 1)
            rest, rest_sum = _merged(rest, rest_sum, s, is_rest)
            if not SINGLE:
                among, among_sum = _merged(among, among_sum, s * scale, is_target)
                count += tl.sum(is_target.to(tl.float32), 1)
                existing += tl.sum((is_target | is_rest).to(tl.float32), 1)
    at, ok = OUT + part.to(tl.int64) * FIELDS * N + n, n < N
    tl.store(at + TARGET * N, target, mask=ok)
    tl.store(at + TOTAL * N, total, mask=ok)
    if SOFT and not SINGLE:
        tl.store(at + SOFT_AMONG * N, among_sum, mask=ok)
        tl.store(at + SOFT_COUNT * N, count, mask=ok)
    elif not SOFT:
        tl.store(at + REST_TOP * N, rest, mask=ok)
        tl.store(at + REST_SUM * N, rest_sum, mask=ok)
        if not SINGLE:
            tl.store(at + AMONG_TOP * N, among, mask=ok)
            tl.store(at + AMONG_SUM * N, among_sum, mask=ok)
            tl.store(at + COUNT * N, count, mask=ok)
            tl.store(at + EXISTING * N, existing, mask=ok)


@triton.jit
def _log_sum_exp(top, total):
    return tl.where(total == 0, ABSENT_2 * LN_2, (top + tl.log2(tl.where(total == 0, 1.0, total))) * LN_2)


@triton.jit
def _merged_parts(top, total, top_of_part, total_of_part):
    new = tl.maximum(top, top_of_part)
    grown = total_of_part * tl.exp2(floored(top_of_part - new))
    return new, total * tl.exp2(floored(top - new)) + grown


@triton.jit
def merge_statistics(PARTS, TARGETS, TARGET_MEAN, AMONG, REST, MEAN, EXISTING_OUT, N, C, parts,
                     SINGLE: tl.constexpr, SOFT: tl.constexpr, FIELDS: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    """The statistics of whole rows from those of their parts."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    ok = n < N
    target, total = tl.zeros((BN,), tl.float32), tl.zeros((BN,), tl.float32)
    rest, rest_sum = tl.full((BN,), ABSENT_2, tl.float32), tl.zeros((BN,), tl.float32)
    among, among_sum = tl.full((BN,), ABSENT_2, tl.float32), tl.zeros((BN,), tl.float32)
    count, existing = tl.zeros((BN,), tl.float32), tl.zeros((BN,), tl.float32)
    for part in range(parts):
        at = PARTS + part * FIELDS * N + n
        target += tl.load(at + TARGET * N, mask=ok, other=0.0)
        total += tl.load(at + TOTAL * N, mask=ok, other=0.0)
        if not SOFT:
            rest, rest_sum = _merged_parts(rest, rest_sum, tl.load(at + REST_TOP * N, mask=ok, other=ABSENT_2),
                                           tl.load(at + REST_SUM * N, mask=ok, other=0.0))  # fmt: skip
        if SOFT and not SINGLE:
            among_sum += tl.load(at + SOFT_AMONG * N, mask=ok, other=0.0)
            count += tl.load(at + SOFT_COUNT * N, mask=ok, other=0.0)
        elif not SINGLE:
            among, among_sum = _merged_parts(among, among_sum, tl.load(at + AMONG_TOP * N, mask=ok, other=ABSENT_2),
                                             tl.load(at + AMONG_SUM * N, mask=ok, other=0.0))  # fmt: skip
            count += tl.load(at + COUNT * N, mask=ok, other=0.0)
            existing += tl.load(at + EXISTING * N, mask=ok, other=0.0)
    if SINGLE:
        count, existing = tl.full((BN,), 1.0, tl.float32), tl.zeros((BN,), tl.float32) + C
    target = target / tl.maximum(count, 1.0)
    if SOFT:
        of_targets = softplus(target) if SINGLE else among_sum
        of_rest, mean = total, tl.zeros((BN,), tl.float32)
    else:
        of_targets = target * LN_2 if SINGLE else _log_sum_exp(among, among_sum)
        of_rest, mean = _log_sum_exp(rest, rest_sum), total * LN_2 / tl.maximum(existing, 1.0)
    tl.store(TARGETS + n, count, mask=ok)
    tl.store(TARGET_MEAN + n, target * LN_2, mask=ok)
    tl.store(AMONG + n, of_targets, mask=ok)
    tl.store(REST + n, of_rest, mask=ok)
    tl.store(MEAN + n, mean, mask=ok)
    tl.store(EXISTING_OUT + n, existing, mask=ok)


@triton.jit
def _of_log_sum_exp(lse):
    """In units of log 2; if there is none, so large that every score's share is 0."""
    return tl.where(lse < 0.25 * ABSENT_2, -ABSENT_2, lse * LOG2_E)


@triton.jit
def _slope(S, n, ok):
    """The gradient by a statistic, 0 if the loss does not depend on it."""
    if S is None:
        return 0.0
    return tl.load(S + n, mask=ok, other=0.0).to(tl.float32)


@triton.jit
def row_factors(TARGETS, AMONG, REST, EXISTING_OF, SLOPE_TARGET, SLOPE_AMONG, SLOPE_REST, SLOPE_MEAN, OUT,
                N, existing, scale, BN: tl.constexpr):  # fmt: skip
    """The factors from which each row's gradients by its scores are made, into OUT (6, N)."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    ok = n < N
    zero = tl.zeros((BN,), tl.float32)
    count = tl.maximum(tl.load(TARGETS + n, mask=ok, other=1.0), 1.0)
    columns = zero + existing
    if EXISTING_OF is not None:
        columns = tl.load(EXISTING_OF + n, mask=ok, other=1.0)
    tl.store(OUT + BY_TARGET * N + n, zero + _slope(SLOPE_TARGET, n, ok) * scale / count, mask=ok)
    tl.store(OUT + BY_AMONG * N + n, zero + _slope(SLOPE_AMONG, n, ok) * scale, mask=ok)
    tl.store(OUT + BY_REST * N + n, zero + _slope(SLOPE_REST, n, ok), mask=ok)
    tl.store(OUT + BY_MEAN * N + n, zero + _slope(SLOPE_MEAN, n, ok) / tl.maximum(columns, 1.0), mask=ok)
    tl.store(OUT + OF_AMONG * N + n, _of_log_sum_exp(tl.load(AMONG + n, mask=ok, other=0.0)), mask=ok)
    tl.store(OUT + OF_REST * N + n, _of_log_sum_exp(tl.load(REST + n, mask=ok, other=0.0)), mask=ok)


@triton.jit
def _pulled(FACTORS, of, ok, stride, s, is_target, is_rest, scale, AXIS: tl.constexpr, SINGLE: tl.constexpr,
            SOFT: tl.constexpr, MEAN: tl.constexpr):  # fmt: skip
    """A tile's gradient through its rows' statistics (AXIS = 1) or its columns' (AXIS = 0)."""
    by_target = tl.expand_dims(tl.load(FACTORS + BY_TARGET * stride + of, mask=ok, other=0.0), AXIS)
    by_rest = tl.expand_dims(tl.load(FACTORS + BY_REST * stride + of, mask=ok, other=0.0), AXIS)
    by_among = tl.expand_dims(tl.load(FACTORS + BY_AMONG * stride + of, mask=ok, other=0.0), AXIS)
    if SOFT:
        wrong = sigmoid(tl.where(is_target, s * scale, s))
        return tl.where(is_target, by_target + by_among * wrong, tl.where(is_rest, by_rest * wrong, 0.0))
    of_rest = tl.expand_dims(tl.load(FACTORS + OF_REST * stride + of, mask=ok, other=0.0), AXIS)
    share = tl.exp2(bounded(s - of_rest))
    g = tl.where(is_rest, by_rest * share, 0.0)
    if SINGLE:
        g = tl.where(is_target, by_target + by_among, g)
    else:
        of_among = tl.expand_dims(tl.load(FACTORS + OF_AMONG * stride + of, mask=ok, other=0.0), AXIS)
        share = tl.exp2(bounded(s * scale - of_among))
        g = tl.where(is_target, by_target + by_among * share, g)
    if MEAN:
        by_mean = tl.expand_dims(tl.load(FACTORS + BY_MEAN * stride + of, mask=ok, other=0.0), AXIS)
        g += tl.where(is_target | is_rest, by_mean, 0.0)
    return g


@triton.jit
def slopes(X, W, B, BY_ROW, BY_COLUMN, ROW_LABELS, COLUMN_LABELS, ROW_GROUPS, COLUMN_GROUPS, READY,
           OF_ROWS, OF_COLUMNS, OUT, BY_B,
           N, D, first, width, stride, scale, number,
           OWN: tl.constexpr, SINGLE: tl.constexpr, SOFT: tl.constexpr, MEAN: tl.constexpr,
           DOT: tl.constexpr, WIDE: tl.constexpr,
           BN: tl.constexpr, BC: tl.constexpr, BD: tl.constexpr):  # fmt: skip
    """The gradient by the scores with ``width`` columns from ``first`` on, times the factors, into OUT (N, width).

    READY are the products with these columns, if they exist already; OUT may be the same memory.

    OF_ROWS are the rows' factors, and OF_COLUMNS the columns', if these are rows too; a factor's fields are ``stride``
    apart. BY_B, (tiles of rows, width), gets each tile's gradient by the columns' bias.
    """
    tiles = tl.cdiv(N, BN)
    tile = tl.program_id(0) % tiles
    n = tile * BN + tl.arange(0, BN)
    place = tl.program_id(0) // tiles * BC + tl.arange(0, BC)
    c = first + place
    end = first + width
    s = _scores(X, W, B, BY_ROW, BY_COLUMN, READY, n, c, first, N, end, D, DOT, WIDE, BN, BC, BD)
    is_target, is_rest = _kinds(ROW_LABELS, COLUMN_LABELS, ROW_GROUPS, COLUMN_GROUPS, n, c, N, end, number, OWN)
    g = _pulled(OF_ROWS, n, n < N, stride, s, is_target, is_rest, scale, 1, SINGLE, SOFT, MEAN)
    if OF_COLUMNS is not None:
        g += _pulled(OF_COLUMNS, c, c < end, stride, s, is_target, is_rest, scale, 0, SINGLE, SOFT, MEAN)
    if BY_B is not None:
        tl.store(BY_B + tile.to(tl.int64) * width + place, tl.sum(g, 0), mask=place < width)
    if BY_COLUMN is not None:
        g *= tl.load(BY_COLUMN + c, mask=c < end, other=0.0)[None, :]
    if BY_ROW is not None:
        g *= tl.load(BY_ROW + n, mask=n < N, other=0.0)[:, None]
    at = OUT + n.to(tl.int64)[:, None] * width + place[None, :]
    tl.store(at, g.to(OUT.dtype.element_ty), mask=(n[:, None] < N) & (place[None, :] < width))
