"""Embeddings against one point per class, towards their own and away from the others'."""

from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_dim, check_float, check_labels, check_range, check_shape, values_visible
from lossary.core.loss import HeadLoss, Loss
from lossary.core.reduce import Reduction, align, one_weight, reduce
from lossary.core.rules import POSITIVE, Positive, checked
from lossary.core.torch_internals import first_largest
from lossary.distributed import Ranks, across_ranks, gathered, numbered
from lossary.distributed.gather import with_gradient
from lossary.distributed.shards import shard
from lossary.kernels.products import product
from lossary.kernels.rows.formula import row_loss
from lossary.kernels.rows.scores import Bilinear, Rows, Targets
from lossary.kernels.stable import ABSENT, accumulate, parameters, softplus, sphere, unit
from lossary.kernels.tuples import apart, first_of_class
from lossary.losses._pointwise import hide
from lossary.losses.identities._shared import check_head

__all__ = [
    "GE2ELoss",
    "ProxyAnchorLoss",
    "ge2e_loss",
    "proxy_anchor_loss",
]


@across_ranks
@checked
def ge2e_loss(
    embeddings: Tensor,
    labels: Tensor | None = None,
    /,
    *,
    w: Positive = 10.0,
    b: float | Tensor = -5.0,
    kind: Literal["softmax", "contrast"] = "softmax",
    normalize: bool = True,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each utterance must be nearer to its speaker's centroid than to the other speakers'.

    .. math:: S_k = w \cos(e, c_k) + b, \qquad
        -S_y + \log \sum_k e^{S_k} \quad\text{(softmax)}, \qquad
        1 - \sigma(S_y) + \max_{k \ne y} \sigma(S_k) \quad\text{(contrast)}

    where ``c_k`` is the mean of speaker k's utterances in the batch, without the utterance itself for its own speaker.

    Args:
        embeddings: (S, U, D) with U utterances of each of S speakers; or (N, D) with ``labels``.
        labels: (N,) integers, each utterance's speaker; None for (S, U, D).
        w: Above 0; a tensor learns. :class:`GE2ELoss` learns it and cannot make it negative.
        b: Cancels in the softmax kind.
        kind: ``"softmax"`` or ``"contrast"``.
        normalize: Normalises the embeddings before computing centroids.
        ids: Integers, (S,) or (N,), the same for all utterances of a speaker: speakers that share one, such as two
            accounts of one person, are never each other's negatives.
        sample_weight: Weights of the utterances, (S, U) or (N,).
        mask: Boolean, (S, U) or (N,); an utterance that does not count is in no centroid, and may be NaN.
        reduction: ``"none"`` (S, U) or (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' utterances form one batch. Labels and ids must mean the same on every rank;
            without labels no speaker is on two ranks. The average of the ranks' means is the mean of that batch, and
            likewise for gradients; ``"none"`` and ``"sum"`` cover the rank's own utterances.

    Returns:
        A scalar, or one loss per utterance. A speaker's only utterance has a loss of 0, outside the mean, but is a
        centroid for the others; if every speaker has only one, the loss is 0.0 with zero gradients.

    Raises:
        ValueError: Wrong shapes, fewer than two utterances per speaker, ``w`` not above 0, an unknown option.
        TypeError: Labels that are not integers.

    Example:
        >>> import torch
        >>> speakers = torch.eye(2)[:, None].expand(2, 3, 2)
        >>> ge2e_loss(speakers, w=1.0)
        tensor(0.3133)

    Source:
        Wan et al., Generalized End-to-End Loss for Speaker Verification, arXiv:1710.10467, eq. 5-9, which sums; the
        mean is the default here. w = 10 and b = -5 are its initial values. Much code clamps w without keeping the
        result, and clamps cosines above 0, which silences dissimilar pairs.
    """
    check_float("embeddings", embeddings)
    if isinstance(w, Tensor) and values_visible(w) and not (w > 0).all():
        raise ValueError(f"w: wanted a number above 0; got {w.item()}")
    shape = embeddings.shape[:-1]
    u = _utterances(embeddings, labels, ids, sample_weight, mask, group)
    everyone, ours = unit(u.x) if normalize else u.x, slice(0, shape.numel())
    x, column = everyone[ours], u.column[ours]
    direction = x if normalize else unit(x)
    sums = x.new_zeros(u.columns, x.shape[1]).index_add(0, u.column, everyone)
    count = x.new_zeros(u.columns).index_add(0, u.column, u.counted.to(x.dtype))
    # Cosines ignore length, so sums stand for means. The own one leaves the utterance itself out.
    own = w * (direction * unit(sums[column] - x)).sum(1) + b
    shift = torch.where(count > 0, torch.zeros_like(count), torch.full_like(count, ABSENT)) + b
    weight = ((count[column] > 1) & u.counted[ours]).to(x.dtype)
    if sample_weight is not None:
        weight = weight * sample_weight.flatten().to(x.dtype)
    targets = Targets(
        column,
        torch.arange(u.columns, device=x.device),
        row_groups=None if u.column_ids is None else u.column_ids[column],
        column_groups=u.column_ids,
    )
    if kind == "softmax":
        source = Bilinear(w * direction, sums, shift, unit=True)
        loss = row_loss(_softmax_kind, source, targets, own, weight=weight, reduction=reduction, group=group)
    else:
        scores = w * (product(direction, unit(sums))) + shift
        loss = reduce(_contrast_kind(scores, targets, own), weight=weight, reduction=reduction, group=group)
    return loss.reshape(shape) if reduction == "none" else loss


class _Utterances(NamedTuple):
    """The utterances of all ranks, flat, this rank's first."""

    x: Tensor  # (N, D), accumulated, 0 where an utterance does not count
    column: Tensor  # (N,) the column of its speaker's centroid
    columns: int  # how many there are; some may belong to nobody
    counted: Tensor  # (N,) boolean
    column_ids: Tensor | None  # (columns,)


def _utterances(
    embeddings: Tensor,
    labels: Tensor | None,
    ids: Tensor | None,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    group: ProcessGroup | None,
) -> _Utterances:
    if labels is None:
        check_dim("embeddings", embeddings, 3, "(S, U, D) without labels")
        if embeddings.shape[1] < 2:
            came = f"got shape {tuple(embeddings.shape)}"
            raise ValueError(f"embeddings: wanted at least 2 utterances per speaker; {came}")
        labels = numbered(embeddings, group).repeat_interleave(embeddings.shape[1])
    else:
        check_dim("embeddings", embeddings, 2, "(N, D)")
        labels = check_labels("labels", labels, embeddings.shape[0])
    shape, speakers = embeddings.shape[:-1], embeddings.shape[0]
    if ids is not None:
        ids = check_labels("ids", ids, speakers).repeat_interleave(shape.numel() // max(speakers, 1))
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(shape))
    _, mask = align(None, mask, shape)
    x = accumulate(embeddings).flatten(0, -2)
    counted = x.new_ones(len(x), dtype=torch.bool) if mask is None else mask.expand(shape).flatten()
    x = x if mask is None else hide(x, counted[:, None])
    x, speaker, ids, counted = gathered(group, embeddings.dtype, embeddings=x, labels=labels, ids=ids, mask=counted)
    if embeddings.dim() == 3 and group is None:
        # Speakers are numbered: every column belongs to one.
        return _Utterances(x, speaker, speakers, counted, None if ids is None else ids[:: shape[1]])
    # A speaker's column is that of its first utterance; the other columns belong to nobody.
    column = first_of_class(speaker if mask is None else apart(speaker, counted))
    return _Utterances(x, column, len(x), counted, ids)


def _softmax_kind(rows: Rows, own: Tensor) -> Tensor:
    return softplus(rows.rest - own)


def _contrast_kind(scores: Tensor, targets: Targets, own: Tensor) -> Tensor:
    if scores.shape[1] == 0:
        return own
    others = scores.scatter(1, targets.rows[:, None], -torch.inf)
    if targets.row_groups is not None:
        others = others.masked_fill(targets.row_groups[:, None] == targets.column_groups, -torch.inf)
    # By index: if speakers tie, the gradient goes to the first.
    nearest = others.gather(1, first_largest(others))[:, 0]
    return torch.sigmoid(-own) + torch.sigmoid(nearest)


class GE2ELoss(Loss):
    """:func:`ge2e_loss` with learned w and b, starting at the given ones.

    w is learned as a logarithm, so no optimiser step can take it to 0 or below.
    """

    fn = staticmethod(ge2e_loss)
    w: Annotated[float, POSITIVE] = 10.0
    b: float = -5.0
    kind: Literal["softmax", "contrast"] = "softmax"
    normalize: bool = True
    reduction: Reduction = "mean"

    def setup(self) -> None:
        self.log_gain = nn.Parameter(torch.zeros(()))
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, *inputs: Tensor, **extra: Any) -> Tensor:
        learned = {"w": self.w * self.log_gain.exp(), "b": self.b + self.shift}
        return super().forward(*inputs, **{**learned, **extra})


def _own_side(rows: Rows, offset: float | Tensor) -> Tensor:
    return softplus(rows.among + offset)


def _other_side(rows: Rows, offset: float | Tensor) -> Tensor:
    return softplus(rows.rest + offset)


@across_ranks
@checked
def proxy_anchor_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    scale: Positive = 32.0,
    margin: float | Tensor = 0.1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each class's proxy pulls the batch's items of its class, the furthest ones most, and pushes the others away.

    .. math::
        \frac{1}{|P^+|} \sum_{p \in P^+} \log \Big( 1 + \sum_{x \in X_p^+} e^{-\alpha (s(x, p) - \delta)} \Big) +
        \frac{1}{|P|} \sum_{p \in P} \log \Big( 1 + \sum_{x \in X_p^-} e^{\alpha (s(x, p) + \delta)} \Big)

    Args:
        embeddings: (N, D), any length; normalised here.
        weight: (C, D), the proxies, any length.
        labels: (N,) class indices of any integer dtype.
        scale: alpha, above 0; a Parameter is learned.
        margin: delta: cosines with the own class's proxy should exceed it, those with others should be below -delta.
        sample_weight: (N,) factors of the items' exponentials: an item of weight 2 counts as two.
        mask: (N,) boolean; an item that does not count may be NaN.
        group: Process group whose ranks' items form one batch. Classes sharded over ranks bring their own.

    Returns:
        A scalar: the first sum averaged over the batch's classes plus the second averaged over all classes. It is
        defined only for a whole batch, so there is no ``reduction``. An empty batch gives 0.0 with zero gradients.

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, a hyperparameter that is not finite.
        TypeError: Labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> proxy_anchor_loss(torch.eye(2), torch.eye(2), torch.tensor([0, 1]), scale=1.0, margin=0.0)
        tensor(1.0064)

    Source:
        Kim et al., Proxy Anchor Loss for Deep Metric Learning, arXiv:2003.13911, eq. 4; 32 and 0.1 are from its
        section 4.2. Dividing both sums by one number, as some code does, is a different loss.
    """
    labels = check_head(embeddings, weight, labels)
    sample_weight, mask = align(sample_weight, mask, labels.shape)
    if mask is not None:
        embeddings, labels = hide(embeddings, mask[:, None]), hide(labels, mask)
    check_range("labels", labels, weight.shape[0])
    x, (w, shards) = accumulate(embeddings), shard(weight)
    scale, margin = parameters((scale, margin), x)
    share = one_weight(sample_weight, mask, labels.shape, x.dtype)
    own, over = slice(None), None
    if shards is not None:  # each rank computes the losses of its own proxies
        own, group, over = shards.own, shards.group, shards.group
        w = with_gradient(w, 1 / len(shards.sizes))
    if group is not None:
        ranks = Ranks.of(group, embeddings=x, labels=labels, sample_weight=share)
        x, labels = ranks.in_order(x, embeddings.dtype), ranks.in_order(labels)
        share = None if share is None else ranks.in_order(share.to(x.dtype))
    bias = None if share is None else share.to(x.dtype).log().clamp_min(ABSENT)
    counts = x.new_ones(labels.shape) if share is None else (share > 0).to(x.dtype)
    targets = Targets(torch.arange(weight.shape[0], device=labels.device)[own], labels)
    here = x.new_zeros(weight.shape[0]).index_add(0, labels, counts).clamp_max(1)[own]
    proxies = sphere(accumulate(w), 1.0)
    sides = ((_own_side, -scale, here), (_other_side, scale, torch.ones_like(here)))
    near, far = (
        row_loss(side, Bilinear(proxies * slope, x, bias, unit=True), targets, scale * margin, weight=each, group=over)
        for side, slope, each in sides
    )
    return near + far


class ProxyAnchorLoss(HeadLoss):
    """:func:`proxy_anchor_loss` with its own proxies; they need a learning rate about 100 times the network's."""

    fn = staticmethod(proxy_anchor_loss)
    scale: Positive = 32.0
    margin: float | Tensor = 0.1


CARDS = (
    Card(
        fn=ge2e_loss,
        module=GE2ELoss,
        takes=("embeddings-labels",),
        input="embeddings",
        data="identities",
        formula=r"-S_y + \log \sum_k e^{S_k}, \qquad S_k = w \cos(x, c_k) + b",
        symbols={
            r"S_y": "the score of an utterance and its own speaker",
            r"y": "the utterance's speaker, from `labels` or its place in `embeddings`",
            r"k": "every speaker of the batch",
            r"S_k": "the score of the utterance and speaker k",
            r"w": "`w`, the scale of the cosine, above 0",
            r"x": "the utterance: an item of `embeddings`",
            r"c_k": (
                "the centroid of speaker k's utterances in the batch, without the utterance itself for its own speaker"
            ),
            r"b": "`b`, added to every score; cancels in this kind",
        },
        kernel="rows",
        item="anchor",
        paper="arXiv:1710.10467",
        equation="6",
        defaults="the paper's initial values",
        search={"w": Range(3.0, 30.0, log=True), "kind": Choice(("softmax", "contrast"))},
        batch="m-per-class",
        separable=False,
        mean_is_plain=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "group"}),
        when="Speakers, or other identities with several samples per batch, compared by cosine with a centroid.",
        pitfalls=(
            "w must stay above 0: clamping a copy of it does nothing.",
            "The own centroid must leave the utterance out, or a batch of two is easy for the wrong reason.",
        ),
        relatives=("supcon_loss", "normalized_softmax_loss"),
        aliases=("generalized_end_to_end_loss",),
    ),
    Card(
        fn=proxy_anchor_loss,
        module=ProxyAnchorLoss,
        formula=(
            r"\frac{1}{|P^+|} \sum_{p \in P^+} \log \Big( 1 + \sum_{x \in X_p^+} e^{-\alpha (s(x, p) - \delta)} \Big) "
            r"+ \frac{1}{|P|} \sum_{p \in P} \log \Big( 1 + \sum_{x \in X_p^-} e^{\alpha (s(x, p) + \delta)} \Big)"
        ),
        symbols={
            r"P^+": "the proxies of the classes that occur in `labels`",
            r"p": "a proxy: a row of `weight`, one per class",
            r"x": "an item of `embeddings`",
            r"X_p^+": "the items of the proxy's class in the batch",
            r"\alpha": "`scale`, above 0",
            r"s(x, p)": "the cosine of an item and a proxy",
            r"\delta": "`margin`: cosines should exceed it for the own class and be below its negative for others",
            r"P": "all proxies",
            r"X_p^-": "the items of the other classes",
        },
        data="identities",
        takes=("embeddings-weight-labels",),
        input="embeddings",
        kernel="rows",
        item="batch",
        paper="arXiv:2003.13911",
        equation="4",
        defaults="the paper",
        search={"scale": Range(8.0, 64.0, log=True), "margin": Range(0.0, 0.4)},
        separable=False,
        mean_is_plain=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="Embeddings for classes never seen in training, from random batches; stores one vector per class.",
        pitfalls=(
            "The proxies need a learning rate about 100 times the network's: give them their own parameter group.",
            "Proxies of classes missing from a batch are pushed away from all its items, and count in the second mean.",
            "In half precision exp(alpha (s + delta)) overflows; log-sum-exps do not.",
        ),
        relatives=("normalized_softmax_loss", "ge2e_loss"),
    ),
)
