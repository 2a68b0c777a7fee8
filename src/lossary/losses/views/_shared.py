"""What the losses of two views share: checked pairs across ranks, and their scaled similarities."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.check import check_dim, check_float, check_labels, check_same_shape, check_shape, check_tensor
from lossary.core.reduce import align, reduce
from lossary.distributed import Ranks, gathered, numbered
from lossary.kernels.products import multiplied_in
from lossary.kernels.rows.directions import by_kernels, rows_of_length
from lossary.kernels.rows.formula import fits_densely, two_way_statistics
from lossary.kernels.rows.scores import Bilinear, Dense, Rows, Targets
from lossary.kernels.rows.softmax import mean_of_both_ways, softmax_loss
from lossary.kernels.stable import accumulate, accumulator, common, softplus, sphere, sphere_apart, unit
from lossary.losses._batch import Compared, absence, check_same_precision, compare
from lossary.losses._pointwise import hide


class Pairs(NamedTuple):
    """N queries and their answers."""

    query: Tensor  # (N, D), in the accumulator's dtype or as given, 0 where a pair does not count
    answer: Tensor  # likewise
    name: str  # the answers' argument
    ids: Tensor | None  # (N,)
    weight: Tensor | None  # (N,)
    counted: Tensor | None  # (N,) boolean
    group: ProcessGroup | None
    half: torch.dtype | None  # from multiplied_in
    sent: torch.dtype  # the dtype in which both travel without loss

    def labels(self) -> Tensor:
        """(N,) the ids, or the pairs' numbers."""
        return numbers(self.query) if self.ids is None else self.ids

    def accumulated(self) -> "Pairs":
        """The same in the accumulator's dtype. Not by _replace(), which torch 2.6 does not compile."""
        query, answer, name, ids, weight, counted, group, half, sent = self
        return Pairs(accumulate(query), accumulate(answer), name, ids, weight, counted, group, half, sent)

    def candidates(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, Ranks | None]:
        """As :meth:`columns`, and the ring that passes the rows around, if any: then the rows are only this rank's."""
        if self.group is None:
            return x, self.ids, absence(self.counted, x), None
        ranks = Ranks.of(self.group, **{self.name: x}, ids=self.ids, mask=self.counted)
        ids, counted = (None if t is None else ranks.gather(t) for t in (self.ids, self.counted))
        ring = ranks if ranks.pass_by(x) else None
        return x if ring else ranks.gather(x, self.sent), ids, absence(counted, x), ring

    def columns(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """``x``, one row per pair, as candidates from all ranks, with their ids and what is added to their scores."""
        x, ids, counted = gathered(self.group, self.sent, **{self.name: x}, ids=self.ids, mask=self.counted)
        return x, ids, absence(counted, x)


def numbers(x: Tensor) -> Tensor:
    return torch.arange(x.shape[0], device=x.device)


def paired(
    names: tuple[str, str],
    query: Tensor,
    answer: Tensor,
    ids: Tensor | None,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    group: ProcessGroup | None,
    *,
    once: bool = False,
) -> Pairs:
    """Checked and laid out.

    ``once`` says that the loss looks at each vector once, by its direction. Then kernels that take norms themselves get
    the vectors as they are: gradients from two places would be rounded before they are added up.
    """
    check_dim(names[0], query, 2, "(N, D)")
    check_float(names[0], query)
    check_same_shape(names[1], answer, names[0], query)
    check_same_precision(names[1], answer, names[0], query)
    half, sent = multiplied_in(query, answer), common(query.dtype, answer.dtype)
    count, alone = query.shape[:1], group is None and ids is None and mask is None
    if not (once and alone and by_kernels(query, half)):
        query, answer = accumulate(query), accumulate(answer)
    if ids is not None:
        ids = check_labels("ids", ids, count[0])
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(count))
    _, mask = align(None, mask, count)
    if mask is not None:
        mask = mask.expand(count)
        query, answer = hide(query, mask[:, None]), hide(answer, mask[:, None])
        sample_weight = mask if sample_weight is None else hide(sample_weight, mask)
    weight = None if sample_weight is None else sample_weight.to(accumulator(query))
    return Pairs(query, answer, names[1], ids, weight, mask, group, half, sent)


class Similarity(NamedTuple):
    """Scaled cosines, or scaled products."""

    scale: float | Tensor
    cosine: bool
    half: torch.dtype | None

    def scaled(self, x: Tensor) -> Tensor:
        return sphere(x, self.scale) if self.cosine else x * self.scale

    def plain(self, x: Tensor) -> Tensor:
        return unit(x) if self.cosine else x

    def apart(self, x: Tensor) -> tuple[Tensor, Tensor | None, float | None]:
        """Rows as they enter the product, the factor, if any, that is applied after it, and a cosine's radius."""
        if self.cosine:
            return rows_of_length(x, self.scale, self.half)
        if self.half is None:
            return x * self.scale, None, None
        return x, torch.ones_like(x[:, 0]) * self.scale, None

    @property
    def bound(self) -> float | None:
        return self.scale if self.cosine and not isinstance(self.scale, Tensor) else None

    def source(self, query: Tensor, candidates: Tensor, shift: Tensor | None, ring: Ranks | None = None) -> Bilinear:
        x, by_row, radius = self.apart(query)
        half, bound = self.half, self.bound
        return Bilinear(x, candidates, shift, self.cosine, 1, by_row, None, half, bound, None, ring, radius)

    def two_way(self, query: Tensor, answer: Tensor) -> Bilinear:
        """The same for as many answers as queries; the answers are normalised too."""
        x, by_row, radius = self.apart(query)
        y, by_column, unit = answer, None, radius is not None
        if self.cosine and not unit:
            y, by_column = sphere_apart(answer, 1.0, self.half)
        return Bilinear(x, y, None, unit, 1, by_row, by_column, self.half, self.bound, radius=radius)


def found_apart(rows: Rows, own: Tensor) -> Tensor:
    # The row's own answer is not among the columns, or is one of several that are not its negatives.
    return softplus(rows.rest - own)


def find(pairs: Pairs, source: Bilinear, ids: Tensor | None, candidate_ids: Tensor | None, reduction: str) -> Tensor:
    """Softmax of each query over the candidates; the answers come first."""
    targets = Targets(numbers(source.x), paired=True, means=False, row_groups=ids, column_groups=candidate_ids)
    return softmax_loss(source, targets, weight=pairs.weight, reduction=reduction, group=pairs.group)


def find_in_batch(pairs: Pairs, alike: Similarity, query: Tensor, answer: Tensor, reduction: str) -> Tensor:
    """As :func:`find`, with the pairs' answers as candidates."""
    candidates, ids, shift, ring = pairs.candidates(answer)
    return find(pairs, alike.source(query, candidates, shift, ring), pairs.ids, ids, reduction)


def find_each_other(pairs: Pairs, alike: Similarity, reduction: str) -> Tensor:
    """The mean of both directions; where they share their scores, these are computed once."""
    if pairs.group is not None and pairs.counted is None:
        return _find_across(pairs, alike, pairs.group, reduction)
    if pairs.counted is not None:
        return _find_both(pairs, alike, reduction)
    source = alike.two_way(pairs.query, pairs.answer)
    if fits_densely(source):
        return _both_ways(pairs, source.dense(), reduction)
    targets = Targets(pairs.labels(), pairs.ids, paired=pairs.ids is None)
    if reduction == "mean" and pairs.weight is None:
        loss = mean_of_both_ways(source, targets)
        if loss is not None:
            return loss
    there, back = two_way_statistics(source, targets)
    own = there.target if pairs.ids is None else source.paired()
    each = (found_apart(there, own) + found_apart(back, own)) / 2
    return reduce(each, weight=pairs.weight, reduction=reduction)


def _find_both(pairs: Pairs, alike: Similarity, reduction: str) -> Tensor:
    """Both directions, one after the other."""
    there = find_in_batch(pairs, alike, pairs.query, pairs.answer, reduction)
    return (there + find_in_batch(pairs, alike, pairs.answer, pairs.query, reduction)) / 2


def _find_across(pairs: Pairs, alike: Similarity, group: ProcessGroup, reduction: str) -> Tensor:
    """Both directions from the scores of this rank's queries with all ranks' answers; no query is sent.

    An answer's statistics are merged on the rank that has it.
    """
    ranks = Ranks.of(group, **{pairs.name: pairs.answer}, ids=pairs.ids)
    if ranks.pass_by(pairs.answer):
        return _find_both(pairs, alike, reduction)
    answers, count = ranks.gather(pairs.answer, pairs.sent), len(pairs.query)
    ids = numbers(answers) if pairs.ids is None else ranks.gather(pairs.ids)
    there, back = two_way_statistics(alike.two_way(pairs.query, answers), Targets(pairs.labels(), ids))
    rest = ranks.deal(back.rest.roll(ranks.first, 0)).logsumexp(0)
    own = alike.two_way(pairs.query, answers[:count]).paired()
    each = (found_apart(there, own) + softplus(rest - own)) / 2
    return reduce(each, weight=pairs.weight, reduction=reduction, group=group)


def _both_ways(pairs: Pairs, scores: Tensor, reduction: str) -> Tensor:
    """The mean of both directions, from scores already computed."""
    targets = Targets(numbers(scores), row_groups=pairs.ids, column_groups=pairs.ids)
    there, back = (
        softmax_loss(Dense(s), targets, weight=pairs.weight, reduction=reduction) for s in (scores, scores.T)
    )
    return (there + back) / 2


def compare_views(
    embeddings: Tensor,
    other: Tensor,
    ids: Tensor | None,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    group: ProcessGroup | None,
) -> Compared:
    """All views of a batch, first views first; ``other`` holds the second views, or the labels of the views given."""
    check_tensor("other", other)
    labels = other
    if other.dtype.is_floating_point:
        check_dim("embeddings", embeddings, 2, "(N, D)")
        check_same_shape("other", other, "embeddings", embeddings)
        check_same_precision("other", other, "embeddings", embeddings)
        labels = numbered(embeddings, group).repeat(2)
        if ids is not None:
            ids = check_labels("ids", ids, embeddings.shape[0]).repeat(2)
        if mask is not None:
            check_shape("mask", mask, (embeddings.shape[0],))
            mask = mask.repeat(2)
        embeddings = torch.cat([embeddings, other])
    return compare(embeddings, labels, ids=ids, sample_weight=sample_weight, mask=mask, group=group, by_rows=True)


def check_negatives(negatives: Tensor, name: str, query: Tensor) -> None:
    """(M, D) candidates for all queries, or (N, M, D), each query's own."""
    check_dim("negatives", negatives, (2, 3), "(M, D) or (N, M, D)")
    check_float("negatives", negatives)
    check_same_precision("negatives", negatives, name, query)
    items, size = query.shape
    if negatives.shape[-1] != size or (negatives.dim() == 3 and negatives.shape[0] != items):
        raise ValueError(f"negatives: wanted (M, {size}) or ({items}, M, {size}); got {tuple(negatives.shape)}")
