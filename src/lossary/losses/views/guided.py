"""Queries and answers among corrected candidates: filtered by a guide, or adjusted for how often they are drawn."""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_dim, check_float, check_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import NOT_NEGATIVE, Positive, checked
from lossary.distributed import across_ranks, gathered
from lossary.kernels.rows.exponentials import LN_2, PieceSums
from lossary.kernels.rows.formula import row_loss
from lossary.kernels.rows.losses import read_loss
from lossary.kernels.rows.readings import ItemBlock
from lossary.kernels.rows.scores import Bilinear, Targets
from lossary.kernels.rows.swept import Pulled, in_pieces, of_pieces, with_targets
from lossary.kernels.stable import ABSENT, LOG2_E, accumulate, parameters, softplus, unit
from lossary.losses._batch import check_absent
from lossary.losses._pointwise import hide
from lossary.losses.views._shared import Pairs, Similarity, check_negatives, found_apart, numbers, paired

__all__ = [
    "GISTEmbedLoss",
    "SampledSoftmaxLoss",
    "gist_embed_loss",
    "sampled_softmax_loss",
]


@across_ranks
@checked
def gist_embed_loss(
    anchor: Tensor,
    positive: Tensor,
    negatives: Tensor | None = None,
    *,
    guide_anchor: Tensor | None = None,
    guide_positive: Tensor | None = None,
    guide_negatives: Tensor | None = None,
    temperature: Positive = 0.01,
    margin: Annotated[float, NOT_NEGATIVE] = 0.0,
    margin_strategy: Literal["absolute", "relative"] = "absolute",
    contrast_anchors: bool = True,
    contrast_positives: bool = True,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each anchor must find its positive among candidates that a guide model does not take for answers (GISTEmbed).

    .. math:: -\log \frac{e^{a_i p_i / \tau}}{e^{a_i p_i / \tau} + \sum_{j \ne i} \big(
        [g(a_i, p_j) \le b_i]\, e^{a_i p_j / \tau} + [g(a_i, a_j) \le b_i]\, e^{a_i a_j / \tau}
        + [g(p_i, p_j) \le b_i]\, e^{p_i p_j / \tau} \big)}, \qquad b_i = g(a_i, p_i) - m

    where g is the guide's cosine: whatever it finds nearer than the pair itself is not a negative.

    Args:
        anchor: (N, D), any length; normalised here.
        positive: (N, D).
        negatives: (M, D) further candidates for every anchor, such as hard negatives; M need not be N.
        guide_anchor: (N, E), the guide's embeddings of the anchors. None keeps all candidates. No gradient flows to the
            guide.
        guide_positive: (N, E), those of the positives.
        guide_negatives: (M, E), those of the negatives.
        temperature: tau, above 0; a Parameter is learned.
        margin: m, how much farther than the pair itself a candidate may be and still be left out.
        margin_strategy: ``"absolute"`` subtracts m from the guide's cosine of the pair, ``"relative"`` that share.
        contrast_anchors: Whether the other anchors are candidates.
        contrast_positives: Whether the positives are scored against the other positives too.
        ids: (N,) integers; pairs that share one are never each other's negatives.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; a pair that does not count enters no loss and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' pairs and negatives are one batch, in which ids mean the same on every rank.
            The average of the ranks' means is the mean of that batch, and likewise for gradients; ``"none"`` and
            ``"sum"`` cover the rank's own anchors.

    Returns:
        A scalar, or (N,); 0 for an anchor without a negative.

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0, ``margin`` below 0, guide embeddings of only one side.
        TypeError: Embeddings in different precisions.

    Example:
        >>> import torch
        >>> x, guide = torch.eye(3), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> gist_embed_loss(x, x, temperature=1.0, reduction="none")
        tensor([1.1654, 1.1654, 1.1654])
        >>> opinion = {"guide_anchor": guide, "guide_positive": guide, "margin": 0.1}
        >>> gist_embed_loss(x, x, **opinion, temperature=1.0, reduction="none")
        tensor([0.7437, 0.7437, 1.1654])

    Source:
        Solatorio, GISTEmbed, arXiv:2402.16829, section 3; tau = 0.01 is the paper's, the margins are Sentence
        Transformers'. There, an anchor whose guide embedding equals its positive's is its own negative; here it never
        is. Scores are computed in blocks; ``torch.compile``, ``torch.func`` and second derivatives hold them whole.
    """
    pairs = paired(("anchor", "positive"), anchor, positive, ids, sample_weight, mask, group)
    guides = _guides(pairs, guide_anchor, guide_positive, guide_negatives, negatives)
    if negatives is not None:
        check_dim("negatives", negatives, 2, "(M, D)")
        check_negatives(negatives, "anchor", anchor)
    (temperature,) = parameters((temperature,), pairs.query)
    a, p = unit(pairs.query), unit(pairs.answer)
    ours = {"anchor": a, "positive": p, "guide_anchor": guides[0], "guide_positive": guides[1]}
    *everyone, their_ids, counted = gathered(group, None, **ours, ids=pairs.ids, mask=pairs.counted)
    further = their_guide = None
    if negatives is not None:
        further = unit(accumulate(negatives))
        further, their_guide = gathered(group, negatives=further, guide_negatives=guides[2])
    sides = _columns(everyone[:2], further, contrast_anchors, contrast_positives)
    sources = [Bilinear(x / temperature, w) for x, w in zip((a, p), sides, strict=False)]
    if guides[0] is not None and guides[1] is not None:
        seen = _columns(everyone[2:4], their_guide, contrast_anchors, contrast_positives)
        sources += [Bilinear(x, w) for x, w in zip(guides[:2], seen, strict=False) if x is not None]
    near = _Near(
        len(sides),
        len(everyone[0]),
        1 + contrast_anchors,
        pairs.ids,
        their_ids,
        counted,
        margin,
        margin_strategy == "relative",
    )
    units = (LOG2_E,) * len(sides) + (1.0,) * (len(sources) - len(sides))
    weight = pairs.weight
    return read_loss(near.read, near.pull, *sources, weight=weight, reduction=reduction, group=group, units=units)


def _columns(batch: Sequence[Tensor], further: Tensor | None, anchors: bool, positives: bool) -> list[Tensor]:
    """What anchors are scored against, positives first, and, if asked for, what positives are scored against."""
    a, p = batch
    own = [p, a if anchors else None, further]
    return [torch.cat([t for t in own if t is not None]), *([p] if positives else [])]


class _Near(NamedTuple):
    """Scores of some anchors, of their positives too if ``sides`` is 2, and as many of a guide, or none."""

    sides: int
    batch: int  # the pairs of all ranks
    of_batch: int  # how many columns an anchor has for each pair
    ids: Tensor | None
    their_ids: Tensor | None
    counted: Tensor | None
    margin: float
    relative: bool

    def read(self, rows: slice, *scores: Tensor) -> tuple[Tensor]:
        """The definition, in plain differentiable torch."""
        own = self._own(rows, scores[0])
        masked = self._masked(rows, own, *scores)
        return (softplus(torch.cat(masked, 1).logsumexp(1) - scores[0].gather(1, own)[:, 0]),)

    def pull(self, rows: slice, by_loss: Tensor, *blocks: ItemBlock) -> tuple[Tensor, tuple[Pulled | None, ...]]:
        """The same, and its gradient; the blocks are in units of log 2, the guide's are not."""
        scores = [block.whole() for block in blocks]
        own = self._own(rows, scores[0])
        target = scores[0].gather(1, own) * LN_2
        sums = PieceSums()
        sides = [in_pieces(side) for side in self._masked(rows, own, *scores, in_place=True)]
        for part in chain(*sides):
            sums.add(part)
        rest, shares = sums.end()
        gap = rest[:, None] - target
        by_rest = gap.sigmoid() * by_loss[:, None]
        each = of_pieces(by_rest * shares, sum(map(len, sides)))
        first = with_targets(map(Tensor.mul_, sides[0], each), own[:, 0], -by_rest[:, 0], scores[0])
        slopes = [first, *(map(Tensor.mul_, side, each[len(sides[0]) :]) for side in sides[1:])]
        return softplus(gap)[:, 0], (*map(Pulled, slopes), *[None] * (len(scores) - self.sides))

    def _own(self, rows: slice, like: Tensor) -> Tensor:
        return torch.arange(rows.start, rows.stop, device=like.device)[:, None]

    def _masked(self, rows: slice, own: Tensor, *scores: Tensor, in_place: bool = False) -> list[Tensor]:
        """The negatives' scores; absent are the pair's own, and those left out by ids, masks or the guide."""
        fill = Tensor.masked_fill_ if in_place else Tensor.masked_fill
        hidden = _hidden_ if in_place else _hidden
        put = Tensor.scatter_ if in_place else Tensor.scatter
        guides = scores[self.sides :]
        if guides:
            bar = guides[0].gather(1, own)
            bar = bar * (1 - self.margin) if self.relative else bar - self.margin
            found = [hidden(s, guide, bar) for s, guide in zip(scores[: self.sides], guides, strict=True)]
        else:
            found = list(scores[: self.sides])
        out = self._left_out(rows, own)
        for side, times in enumerate((self.of_batch, 1)[: self.sides]):
            for start in (copy * self.batch for copy in range(times)):
                if out is not None:
                    no = F.pad(out, (start, found[side].shape[1] - start - self.batch))
                    found[side] = fill(found[side], no, ABSENT)
                found[side] = put(found[side], 1, own + start, ABSENT)
        return found

    def _left_out(self, rows: slice, own: Tensor) -> Tensor | None:
        """(R, batch) which pairs ids or masks exclude as negatives; None if they exclude none."""
        out = None if self.counted is None else (~self.counted).expand(len(own), -1)
        if self.ids is None or self.their_ids is None:
            return out
        alike = self.ids[rows, None] == self.their_ids
        return alike if out is None else out | alike


def _hidden(scores: Tensor, guide: Tensor, bar: Tensor) -> Tensor:
    """Scores, absent where the guide's is above the bar."""
    return scores.masked_fill(guide > bar, ABSENT)


def _hidden_(scores: Tensor, guide: Tensor, bar: Tensor) -> Tensor:
    """The same in place, overwriting the guide's scores; numeric, because a mask costs a CPU ten passes."""
    for s, g in zip(in_pieces(scores), in_pieces(guide), strict=True):
        s.add_(g.gt_(bar), alpha=ABSENT)
    return scores


def _guides(
    pairs: Pairs,
    anchor: Tensor | None,
    positive: Tensor | None,
    negatives: Tensor | None,
    beside: Tensor | None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The guide's embeddings of both sides and of further negatives, normalised and without a gradient."""
    if anchor is None or positive is None:
        check_absent("a guide of only one side", guide_anchor=anchor, guide_positive=positive)
        check_absent("no guide of anchors and positives", guide_negatives=negatives)
        return None, None, None
    count, size = pairs.query.shape[0], anchor.shape[-1]
    named = {"guide_anchor": (anchor, count), "guide_positive": (positive, count)}
    if beside is not None:
        if negatives is None:
            raise ValueError("guide_negatives: wanted the guide's embeddings of the negatives; got None")
        named["guide_negatives"] = negatives, beside.shape[0]
    else:
        check_absent("no negatives", guide_negatives=negatives)
    for name, (guide, rows) in named.items():
        check_float(name, guide)
        check_shape(name, guide, (rows, size))
    there = None if pairs.counted is None else pairs.counted[:, None]
    anchor, positive = (unit(hide(accumulate(g.detach()), there)) for g in (anchor, positive))
    return anchor, positive, None if negatives is None else unit(accumulate(negatives.detach()))


class GISTEmbedLoss(Loss):
    """:func:`gist_embed_loss` as a Module."""

    fn = staticmethod(gist_embed_loss)
    temperature: Positive = 0.01
    margin: Annotated[float, NOT_NEGATIVE] = 0.0
    margin_strategy: Literal["absolute", "relative"] = "absolute"
    contrast_anchors: bool = True
    contrast_positives: bool = True
    reduction: Reduction = "mean"


@across_ranks
@checked
def sampled_softmax_loss(
    query: Tensor,
    positive: Tensor,
    negatives: Tensor | None = None,
    *,
    log_q: Tensor | None = None,
    negatives_log_q: Tensor | None = None,
    temperature: Positive = 0.05,
    normalize: bool = True,
    correct_positive: bool = True,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Softmax over all answers, estimated from the batch: each score minus the logarithm of its frequency.

    .. math:: -\log \frac{e^{z_{ii}}}{e^{z_{ii}} + \sum_{j \ne i} e^{z_{ij}}}, \qquad
        z_{ij} = \frac{q_i p_j}{\tau} - \log Q_j

    Without the correction, an answer that is in many batches is a negative too often and ends up ranked too low.

    Args:
        query: (N, D), such as users.
        positive: (N, D), such as the items that they took; each is a candidate for the others.
        negatives: (M, D) further candidates for every query; M need not be N.
        log_q: (N,) log probability of each positive being a candidate, up to a constant, such as the logarithm of its
            share of all interactions. None means the same for all.
        negatives_log_q: (M,) the same for the negatives.
        temperature: tau, above 0; a Parameter is learned.
        normalize: Cosines (True) or plain dot products.
        correct_positive: Whether the score of the query's own answer is corrected too, as in the formula.
        ids: (N,) integers, such as item numbers: pairs that share one are never each other's negatives.
        sample_weight: (N,) weights of the queries.
        mask: (N,) boolean; a pair that does not count enters no loss and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' pairs and negatives are one batch, in which ids mean the same on every rank.
            The average of the ranks' means is the mean of that batch, and likewise for gradients; ``"none"`` and
            ``"sum"`` cover the rank's own queries.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0, ``negatives_log_q`` without negatives, or, with
            negatives, only one of it and ``log_q``.
        TypeError: Embeddings in different precisions.

    Example:
        >>> import torch
        >>> x, share = torch.eye(3), torch.tensor([0.8, 0.1, 0.1])
        >>> sampled_softmax_loss(x, x, log_q=share.log(), temperature=1.0, reduction="none")
        tensor([1.9295, 0.3463, 0.3463])

    Source:
        Bengio and Senecal, IEEE Trans. Neural Networks 19(4), 2008, and Jean et al., arXiv:1412.2007, for sampled
        negatives; Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations, RecSys
        2019, section 3, for negatives from the batch; tau = 0.05 is among its values. A query's own answer that is
        given, not drawn, needs no correction: ``correct_positive=False``.
    """
    pairs = paired(("query", "positive"), query, positive, ids, sample_weight, mask, group)
    n = None
    if negatives is not None:
        check_dim("negatives", negatives, 2, "(M, D)")
        check_negatives(negatives, "query", query)
        n = accumulate(negatives)
    own_q, further_q = _log_q(pairs, log_q, n, negatives_log_q)
    (temperature,) = parameters((temperature,), pairs.query)
    alike = Similarity(1 / temperature, normalize, pairs.half)
    candidates, their_ids, shift = pairs.columns(pairs.answer)
    if own_q is not None:
        (q,) = gathered(group, log_q=own_q)
        shift = -q if shift is None else shift - q
    ids = numbers(candidates) if their_ids is None else their_ids
    if n is not None:
        (n, further_q) = gathered(group, negatives=n, negatives_log_q=further_q)
        more = n.new_zeros(len(n)) if further_q is None else -further_q
        shift = torch.cat([candidates.new_zeros(len(candidates)) if shift is None else shift, more])
        candidates, ids = torch.cat([candidates, n]), torch.cat([2 * ids, ids.new_ones(len(n))])
    own = (alike.scaled(pairs.query) * alike.plain(pairs.answer)).sum(-1)
    if own_q is not None and correct_positive:
        own = own - own_q
    # A query's own answer, and those with its id, are not negatives: they become targets whose scores are not used.
    rows = numbers(pairs.query) if pairs.ids is None else pairs.ids
    targets = Targets(rows if n is None else 2 * rows, ids, means=False)
    source = alike.source(pairs.query, candidates, shift)
    return row_loss(found_apart, source, targets, own, weight=pairs.weight, reduction=reduction, group=group)


def _log_q(
    pairs: Pairs, log_q: Tensor | None, negatives: Tensor | None, further: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Checked, in the dtype of the scores; 0 where a pair does not count."""
    if negatives is None:
        check_absent("no negatives", negatives_log_q=further)
    elif (log_q is None) != (further is None):
        name = "log_q" if log_q is None else "negatives_log_q"
        raise ValueError(f"{name}: wanted for both the positives and the negatives, or for neither; got None")
    for name, q, of in (("log_q", log_q, pairs.query), ("negatives_log_q", further, negatives)):
        if q is not None and of is not None:
            check_float(name, q)
            check_shape(name, q, (of.shape[0],))
    dtype = pairs.query.dtype
    own = None if log_q is None else hide(log_q.to(dtype), pairs.counted)
    return own, None if further is None else further.to(dtype)


class SampledSoftmaxLoss(Loss):
    """:func:`sampled_softmax_loss` as a Module."""

    fn = staticmethod(sampled_softmax_loss)
    temperature: Positive = 0.05
    normalize: bool = True
    correct_positive: bool = True
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=gist_embed_loss,
        module=GISTEmbedLoss,
        takes=("anchor-positive",),
        input="embeddings",
        data="views",
        formula=(
            r"-\log \frac{e^{a_i p_i / \tau}}{e^{a_i p_i / \tau} + \sum_{j \ne i} \big( "
            r"[g(a_i, p_j) \le b_i]\, e^{a_i p_j / \tau} + [g(a_i, a_j) \le b_i]\, e^{a_i a_j / \tau} "
            r"+ [g(p_i, p_j) \le b_i]\, e^{p_i p_j / \tau} \big)}, \qquad b_i = g(a_i, p_i) - m"
        ),
        symbols={
            r"a_i": "row i of `anchor`, of length 1",
            r"p_i": "row i of `positive`, likewise",
            r"\tau": "`temperature`, above 0",
            r"j": "every other pair",
            r"g": "the guide's cosine, of `guide_anchor` and `guide_positive`; a bracket is 1 where it holds, else 0",
            r"p_j": "the positive of pair j",
            r"a_j": "its anchor",
            r"b_i": "how near the guide may find a negative",
            r"m": "`margin`: by how much a negative must be farther than the pair itself",
            r"i": "one pair",
        },
        kernel="none",
        item="anchor",
        paper="arXiv:2402.16829",
        equation="section 3",
        defaults="the paper",
        search={"temperature": Range(0.005, 0.1, log=True), "margin": Range(0.0, 0.2)},
        separable=False,
        at_call=frozenset(
            {
                "sample_weight",
                "mask",
                "ids",
                "negatives",
                "guide_anchor",
                "guide_positive",
                "guide_negatives",
                "group",
            }
        ),
        when="Pairs of texts with many near-duplicates, and a trained embedding model that can recognise them.",
        pitfalls=(
            "A copy of the positive is as near to the guide as the positive and stays: pass `ids` or a small `margin`.",
            "A weak guide keeps real answers as negatives and leaves out what the student should learn.",
            "Under data-parallel training a rank only has its own items as negatives: pass `group`.",
        ),
        relatives=("multiple_negatives_ranking_loss", "info_nce_loss"),
    ),
    Card(
        fn=sampled_softmax_loss,
        module=SampledSoftmaxLoss,
        takes=("anchor-positive",),
        input="embeddings",
        data="views",
        formula=(
            r"-\log \frac{e^{z_{ii}}}{e^{z_{ii}} + \sum_{j \ne i} e^{z_{ij}}}, \qquad "
            r"z_{ij} = \frac{q_i p_j}{\tau} - \log Q_j"
        ),
        symbols={
            r"z_{ii}": "the score of query i and its own answer",
            r"i": "one query",
            r"j": "every other pair; a row of `negatives` too",
            r"z_{ij}": "the score of query i and the answer of pair j",
            r"q_i": "row i of `query`, of length 1 unless `normalize` is off",
            r"p_j": "row j of `positive`, likewise",
            r"\tau": "`temperature`, above 0",
            r"Q_j": "the probability of answer j being a candidate; its logarithm is `log_q`",
        },
        kernel="rows",
        item="anchor",
        paper="arXiv:1412.2007",
        equation="section 3",
        defaults="Yi et al., RecSys 2019",
        search={"temperature": Range(0.02, 0.5, log=True), "correct_positive": Choice((False, True))},
        separable=False,
        at_call=frozenset(
            {"sample_weight", "mask", "ids", "negatives", "log_q", "negatives_log_q", "group"},
        ),
        when="Recommendation: users and the items they took, when each batch holds only a few of all items.",
        pitfalls=(
            "Without `log_q`, popular items are negatives too often and are ranked too low.",
            "An item that is in a batch twice is its own negative: pass `ids`.",
            "At inference, scores are not corrected: popular items stay popular.",
        ),
        relatives=("info_nce_loss", "multiple_negatives_ranking_loss", "bpr_loss"),
    ),
)
