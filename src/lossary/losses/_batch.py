"""Shared by the losses within a batch: which items an anchor is compared with, and how they relate to it.

The items are the batch itself, the batches of all ranks of a group, or references (a memory bank, another tower). An
item is an anchor's positive, its negative, or neither.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.check import (
    check_among,
    check_dim,
    check_float,
    check_labels,
    check_shape,
    check_tensor,
    values_visible,
)
from lossary.core.reduce import align
from lossary.distributed import Ranks
from lossary.kernels.products import multiplied_in
from lossary.kernels.rows.directions import by_kernels, rows_of_length
from lossary.kernels.rows.scores import Bilinear, Given, Targets
from lossary.kernels.rows.softmax import softmax_loss
from lossary.kernels.stable import ABSENT, accumulate, accumulator, parameters, sphere_apart
from lossary.kernels.tuples import apart
from lossary.losses._pointwise import hide


class Items(NamedTuple):
    """Embeddings and what is known about them, one entry per item."""

    x: Tensor  # (N, D), accumulated or as given, 0 where an item does not count
    labels: Tensor | None  # (N,) integers, or (N, L) of 0 and 1
    ids: Tensor | None  # (N,) integers
    counted: Tensor | None  # (N,) boolean


class Compared(NamedTuple):
    """Anchors, and the M items they are compared with: references, or the batch with the anchors first."""

    anchors: Items
    others: Items
    targets: Targets | Given  # an anchor's targets are its positives, the rest its negatives
    later: int | None  # how many of the batch's items are this rank's or later ranks'; None for references
    half: torch.dtype | None = None  # from multiplied_in
    ring: Ranks | None = None  # then the others hold this rank's embeddings, and all ranks' pass by

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Every pair of an anchor and an item, once over all ranks: indices of anchors and of items."""
        x, count = self.anchors.x, self.anchors.x.shape[0]
        if self.later is not None:
            i, j = torch.triu_indices(count, self.later, 1, device=x.device)
            return i, j
        items = self.others.x.shape[0]
        each = torch.arange(count * items, device=x.device)
        return each // max(items, 1), each % max(items, 1)


def compare(
    embeddings: Tensor,
    labels: Tensor | None,
    *,
    positives: Tensor | None = None,
    ids: Tensor | None = None,
    ref_embeddings: Tensor | None = None,
    ref_labels: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
    by_rows: bool = False,
) -> Compared:
    """Check and lay out the arguments of a loss within a batch; ``sample_weight``, one per anchor, is checked.

    With ``by_rows`` the loss needs only an anchor's :func:`cosines` with the items, so that they may pass by, or stay
    as they are given.
    """
    if (labels is None) == (positives is None):
        raise ValueError(f"labels: wanted either labels or positives; got {'neither' if labels is None else 'both'}")
    alone = positives is None and ref_embeddings is None and group is None and ids is None and mask is None
    anchors = _anchors(embeddings, labels, ids, mask, once=by_rows and alone)
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, (anchors.x.shape[0],))
    if ref_embeddings is not None:
        others, later, ring = _references(anchors, ref_embeddings, ref_labels), None, None
    else:
        check_absent("embeddings alone", ref_labels=ref_labels)
        by_rows = by_rows and labels is not None and labels.dim() == 1  # others are held as a mask
        others, later, ring = _batch(anchors, group, embeddings.dtype, by_rows)
    labels, count = anchors.labels, embeddings.shape[0]
    own, half = ref_embeddings is None, multiplied_in(embeddings, *(t for t in (ref_embeddings,) if t is not None))
    if labels is not None and labels.dim() == 1:
        return Compared(anchors, others, _by_label(anchors, others, own, ring), later, half, ring)
    if positives is None:
        assert labels is not None
        assert others.labels is not None
        # In float32: products of integers are slow, and sums of ones are exact.
        positives = labels.float() @ others.labels.float().T > 0
    elif own and group is not None:
        check_absent("group, which gathers labels", positives=positives)
    check_tensor("positives", positives)
    check_shape("positives", positives, (count, others.x.shape[0]))
    if positives.dtype != torch.bool:
        raise TypeError(f"positives: wanted booleans; got {positives.dtype}")
    return Compared(anchors, others, _given(positives, anchors, others, own), later, half)


def compared_items(embeddings: Tensor, ref_embeddings: Tensor | None, mask: Tensor | None) -> tuple[Items, Items]:
    """Anchors and the items they are compared with, for relations that are given by index."""
    anchors = _anchors(embeddings, None, None, mask)
    return anchors, anchors if ref_embeddings is None else _references(anchors, ref_embeddings, None)


def _anchors(
    embeddings: Tensor, labels: Tensor | None, ids: Tensor | None, mask: Tensor | None, *, once: bool = False
) -> Items:
    """Checked and laid out; ``once`` says that the loss looks at each item once, by its direction.

    Then kernels that take norms themselves get the items as they are: gradients from two places would be rounded before
    they are added up.
    """
    check_dim("embeddings", embeddings, 2, "(N, D)")
    check_float("embeddings", embeddings)
    count = embeddings.shape[0]
    labels = None if labels is None else _labels("labels", labels, count)
    if ids is not None:
        ids = check_labels("ids", ids, count)
    _, mask = align(None, mask, embeddings.shape[:1])
    mask = None if mask is None else mask.expand(count)
    x = embeddings if once and by_kernels(embeddings, multiplied_in(embeddings)) else accumulate(embeddings)
    x = x if mask is None else hide(x, mask[:, None])
    return Items(x, labels, ids, mask)


def _batch(
    anchors: Items, group: ProcessGroup | None, sent: torch.dtype, by_rows: bool
) -> tuple[Items, int, Ranks | None]:
    if group is None:
        return anchors, anchors.x.shape[0], None
    ranks = Ranks.of(group, embeddings=anchors.x, labels=anchors.labels, ids=anchors.ids, mask=anchors.counted)
    rest = (None if t is None else ranks.gather(t) for t in anchors[1:])
    ring = ranks if by_rows and ranks.pass_by(anchors.x) else None
    x = anchors.x if ring is not None else ranks.gather(anchors.x, sent)
    return Items(x, *rest), sum(ranks.sizes[ranks.rank :]), ring


def _references(anchors: Items, embeddings: Tensor, labels: Tensor | None) -> Items:
    check_dim("ref_embeddings", embeddings, 2, "(M, D)")
    check_float("ref_embeddings", embeddings)
    check_same_precision("ref_embeddings", embeddings, "embeddings", anchors.x)
    count, size = embeddings.shape
    if size != anchors.x.shape[1]:
        wanted = f"wanted (M, {anchors.x.shape[1]}) to match embeddings"
        raise ValueError(f"ref_embeddings: {wanted}; got {tuple(embeddings.shape)}")
    check_absent("ref_embeddings, which have none", ids=anchors.ids)
    if anchors.labels is None:
        check_absent("positives", ref_labels=labels)
        return Items(accumulate(embeddings), None, None, None)
    labels = _labels("ref_labels", labels, count)
    if labels.shape[1:] != anchors.labels.shape[1:]:
        wanted = f"wanted {(count, *anchors.labels.shape[1:])}, like labels"
        raise ValueError(f"ref_labels: {wanted}; got {tuple(labels.shape)}")
    return Items(accumulate(embeddings), labels, None, None)


def _by_label(anchors: Items, others: Items, own: bool, ring: Ranks | None) -> Targets:
    rows, columns = anchors.labels, others.labels
    assert rows is not None
    assert columns is not None
    if anchors.counted is not None:
        # An item that does not count gets a label that nobody else has.
        both, counted = (columns, others.counted) if own else (torch.cat([rows, columns]), anchors.counted)
        assert counted is not None
        both = apart(both, counted if own else torch.cat([counted, torch.ones_like(columns, dtype=torch.bool)]))
        rows, columns = both[: rows.shape[0]], both if own else both[rows.shape[0] :]
    if (
        own and ring is None and others.x is anchors.x
    ):  # compares x, not the tuples: torch 2.6 would compile an ``==`` for those
        rows = columns  # one tensor: so the kernel sees that the scores are symmetric
    return Targets(rows, columns, own=own, row_groups=anchors.ids, column_groups=others.ids, means=False)


def _given(positives: Tensor, anchors: Items, others: Items, own: bool) -> Given:
    exists = torch.ones_like(positives)
    if own:
        exists = ~torch.eye(*positives.shape, dtype=torch.bool, device=positives.device)
    if anchors.counted is not None:
        exists = exists & anchors.counted[:, None]
    if others.counted is not None:
        exists = exists & others.counted
    negatives = ~positives
    if anchors.ids is not None and others.ids is not None:
        negatives = negatives & (anchors.ids[:, None] != others.ids)
    return Given(positives & exists, negatives & exists)


def _labels(name: str, labels: Tensor | None, count: int) -> Tensor:
    """(N,) integers as int64, or (N, L) of 0 and 1."""
    check_tensor(name, labels)
    assert labels is not None
    if labels.dim() == 2:
        check_shape(name, labels, (count, labels.shape[1]))
        check_among(name, labels, (0, 1))
        return labels
    return check_labels(name, labels, count)


def check_absent(beside: str, **values: object) -> None:
    """Refuse arguments that exclude each other."""
    for name, value in values.items():
        if value is not None:
            raise ValueError(f"{name}: wanted None with {beside}; got a {type(value).__name__}")


def check_indices(name: str, indices: tuple[Tensor, ...], sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """One (P,) tensor of indices for each of ``sizes``, as int64."""
    if not isinstance(indices, tuple) or len(indices) != len(sizes):  # pyright: ignore[reportUnnecessaryIsInstance]
        came = f"{type(indices).__name__} of {len(indices)}"
        raise ValueError(f"{name}: wanted a tuple of {len(sizes)} index tensors; got {came}")
    check_dim(name, indices[0], 1, "(P,)")
    wide = tuple(check_labels(name, index, indices[0].shape[0]) for index in indices)
    for index, size in zip(wide, sizes, strict=True):
        if values_visible(index) and ((index < 0) | (index >= size)).any():
            raise IndexError(f"{name}: wanted indices in [0, {size}); got {index.tolist()}")
    return wide


def check_same_precision(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Half precisions and float32 meet in float32; mixing them with float64 is a mistake somewhere."""
    if tensor.dtype != other.dtype and accumulator(tensor) != accumulator(other):
        raise TypeError(f"{name}: wanted the dtype of {other_name}, {other.dtype}; got {tensor.dtype}")


def cosines(compared: Compared, scale: float | Tensor) -> Bilinear:
    """Cosines of the anchors with the items, times ``scale``."""
    anchors, others, half = compared.anchors, compared.others, compared.half
    bound, ring = None if isinstance(scale, Tensor) else scale, compared.ring
    alone = compared.later is not None and others.x is anchors.x
    shift = absence(others.counted, anchors.x)
    # The root on either side keeps the scores symmetric, which halves the work.
    root = scale**0.5
    if ring is None and by_kernels(anchors.x, half):
        x, factor, radius = rows_of_length(anchors.x, root if alone and bound is None else scale, half)
        return Bilinear(x, others.x, shift, True, 1, factor, factor if alone else None, half, bound, radius=radius)
    z, by_row = sphere_apart(anchors.x, root, half)
    w, by_column = (z, by_row) if alone else sphere_apart(others.x, root, half)
    return Bilinear(z, w, shift, row_factor=by_row, column_factor=by_column, half=half, bound=bound, ring=ring)


def absence(counted: Tensor | None, like: Tensor) -> Tensor | None:
    """(M,) numbers to add to each column's scores: 0, or what makes the column absent for every row."""
    if counted is None:
        return None
    return torch.zeros(counted.shape, dtype=like.dtype, device=like.device).masked_fill(~counted, ABSENT)


def among_others(
    compared: Compared,
    temperature: float | Tensor,
    sample_weight: Tensor | None,
    reduction: str,
    group: ProcessGroup | None,
) -> Tensor:
    """Softmax of each anchor over all items, with its positives as targets; anchors without positives are skipped."""
    (temperature,) = parameters((temperature,), compared.anchors.x)
    source = cosines(compared, 1 / temperature)
    return softmax_loss(source, compared.targets, weight=sample_weight, reduction=reduction, group=group)
