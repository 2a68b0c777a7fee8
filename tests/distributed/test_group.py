"""Real processes with a part of the batch each give what one process gives with all of it.

Data-parallel training averages the gradients of the ranks, and so does this comparison: the mean of the ranks'
losses is the loss of the whole batch, the mean of their gradients is its gradient.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

import samples
from distributed.counting import traffic
from distributed.launch import launch
from lossary.catalogue import CATALOGUE, find
from lossary.compose.tokens import kto_reference_point
from lossary.core.reduce import reduce
from lossary.distributed.ways import exchange_by
from lossary.testing import Call
from lossary.testing.laws.subject import Subject, as_function, assert_close, is_per_item, items, select
from usual import one_of_each

#: Uneven parts, one a rank: only the global count makes the mean right. A rank may have nothing.
PARTS = {
    "two": (slice(0, 2), slice(2, None)),
    "three": (slice(0, 1), slice(1, 3), slice(3, None)),
    "four": (slice(0, 1), slice(1, 3), slice(3, 4), slice(4, None)),
    "one-without-items": (slice(0, 0), slice(0, None)),
}
VALUES = torch.tensor([0.5, -2.0, 3.0, 8.0, 1.25], dtype=torch.float64)
WEIGHTS = torch.tensor([1.0, 0.25, 0.0, 2.0, 1.5], dtype=torch.float64)
MASK = torch.tensor([True, False, True, True, True])

Result = tuple[Tensor, list[Tensor]]


def calls() -> dict[str, tuple[Subject, Call]]:
    """Every card that takes ``group`` at every variant, and the calls that its draw does not show."""
    subjects = [
        Subject(card, variant, samples.of(card))
        for card in CATALOGUE
        if "group" in card.at_call
        for variant in samples.of(card).variants
    ]
    found = {subject.id: (subject, subject.draw()) for subject in subjects}
    x, y, own = (
        torch.randn(9, *shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
        for shape in ((4,), (4,), (3, 4))
    )
    labels = torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 2])
    several = torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0], [1, 0], [1, 0], [0, 1], [1, 1], [0, 1]])
    more = {
        "ids": torch.tensor([4, 1, 2, 4, 5, 6, 7, 8, 4]),
        "mask": torch.tensor([True, True, False, True, True, True, True, False, True]),
    }
    weight = {"sample_weight": torch.linspace(0, 2, 9, dtype=torch.float64)}
    for name, args, kwargs in (
        ("rmse_loss", (x, y), {"mask": more["mask"], **weight}),
        ("supcon_loss", (x, labels), {**more, **weight}),
        ("supcon_loss", (x, several), more),
        ("multi_similarity_loss", (x, labels), {**more, **weight}),
        ("multi_similarity_loss", (x, several), more),
        ("nt_xent_loss", (x, labels), {**more, **weight}),
        ("nt_xent_loss", (x, y), more),
        ("contrastive_loss", (x, labels), {"margin": 3.0}),
        ("contrastive_loss", (x, labels), {"margin": 3.0, **more}),
        ("contrastive_loss", (x, several), {"margin": 3.0, **more}),
        ("triplet_loss", (x, labels), {**more, **weight}),
        ("triplet_loss", (x, labels), {"margin": 0.5, "mining": "semihard", **more}),
        ("triplet_loss", (x, several), {"margin": 0.5, "mining": "all", **more}),
        ("info_nce_loss", (x, y), {**more, **weight}),
        ("info_nce_loss", (x, y, own), {"mask": more["mask"], **weight}),
        ("multiple_negatives_ranking_loss", (x, y, own[:, 0]), {"symmetric": True, **more, **weight}),
        ("n_pair_loss", (x, y), {"l2_reg": 0.1, **more, **weight}),
        ("dcl_loss", (x, labels), {"weighting": "von_mises_fisher", **more, **weight}),
        ("dcl_loss", (x, y), {"weighting": "von_mises_fisher", "gradient": "exact", "sigma": 0.2, **more}),
        ("hard_negative_contrastive_loss", (x, y), more),
        ("nca_loss", (x, labels), {"scale": 4.0, **more, **weight}),
        ("smooth_ap_loss", (x, labels), {"temperature": 0.2, **more, **weight}),
        ("smooth_ap_loss", (x, several), {"temperature": 0.2, **more}),
        ("gist_embed_loss", (x, y), {"temperature": 0.5, "guide_anchor": y, "guide_positive": x, **more, **weight}),
        ("gist_embed_loss", (x, y, own[:, 0]), {"temperature": 0.5, **more}),
        ("sampled_softmax_loss", (x, y, own[:, 0]), {"log_q": y[:, 0], "negatives_log_q": own[:, 1, 1], **more}),
        ("sampled_softmax_loss", (x, y), {"log_q": y[:, 0], **weight}),
        ("cosent_loss", (x, y, labels), {"mask": more["mask"], **weight}),
        ("angle_loss", (x, y, labels), {"mask": more["mask"]}),
        ("barlow_twins_loss", (x, y), {"mask": more["mask"], **weight}),
        ("vicreg_loss", (x, y), {"mask": more["mask"], **weight}),
        ("swav_loss", (0.2 * x, 0.1 * y), {"mask": more["mask"], "hold_teacher": False, **weight}),
        ("koleo_loss", (x,), {"mask": more["mask"], **weight}),
        ("flops_loss", (x,), {"mask": more["mask"], **weight}),
        ("sigreg_loss", (x, own[0]), {"mask": more["mask"], **weight}),
        ("mmd_loss", (x, y), {"kernel": "energy", "mask": more["mask"], **weight}),
        ("colbert_loss", (own, own[:, :1] + y[:, None]), {"positive_mask": own[:, :1, 0] > -0.5, **more, **weight}),
        ("colbert_loss", (own, y[:, None], own + 1), {"negatives_mask": own[..., 0] > -0.5, **more, **weight}),
        ("rkd_distance_loss", (x, own[:, 0]), {"mask": more["mask"], **weight}),
        ("rkd_angle_loss", (x, own[:, 0]), {"mask": more["mask"], **weight}),
        ("auc_margin_loss", (x, y > 0), {"mask": more["mask"], **weight}),
        ("ge2e_loss", (own,), {"w": 3.0}),
        ("ge2e_loss", (own,), {"w": 3.0, "kind": "contrast", "ids": more["ids"]}),
        ("ge2e_loss", (x, labels), {"ids": labels // 2, "mask": more["mask"], **weight}),
        ("grpo_loss", (x, y, own[:, 0, 0]), {"average": "token", "ref_logps": y, "mask": x > 0.3, **weight}),
        ("grpo_loss", (x, y, own[:, 0, 0]), {"divisor": torch.tensor(20.0), "mask": more["mask"]}),
        ("ppo_clip_loss", (x, y, own[:, 0]), {"divisor": torch.tensor(50.0), "mask": own[:, 1] > 0}),
    ):
        extra = ", ".join(n for n, v in kwargs.items() if isinstance(v, Tensor))
        shapes = ", ".join(str(tuple(a.shape)) for a in args)
        found[f"{name} of {shapes} with {extra} {kwargs.get('mining', '')}"] = (
            Subject(find(name), {}, samples.of(find(name))),
            Call(args, kwargs),
        )
    return found


CALLS = calls()
#: Of each loss one call in a usual run: at one of its variants, or one of those above.
TAKEN = one_of_each(CALLS, lambda name: CALLS[name][0].card.name)
#: Losses of which a row of scores says everything: the others' embeddings may pass by.
BY_ROWS = (
    "supcon",
    "nt_xent",
    "multi_similarity",
    "circle",
    "info_nce",
    "clip",
    "multiple_neg",
    "dcl",
    "hard_neg",
    "nca_",
)


def passes_by(name: str) -> bool:
    """Several labels an item, or negatives that are given, are no rows of scores that pass by."""
    return name.startswith(BY_ROWS) and not any(
        other in name for other in ("(9, 2)", "(9, 3, 4)", "(9, 4), (9, 4), (9, 4)")
    )


def has_sum(subject: Subject) -> bool:
    """Whether a rank's sum is of its own items: some losses are of the whole batch."""
    per_image = {**subject.card.module.fields, **subject.variant}.get("per_image", True)
    return subject.card.item != "batch" and subject.variant.get("aggregate") != "batch" and per_image


def reduced(part: slice, **kwargs: Any) -> Result:
    values = VALUES[part].clone().requires_grad_()
    loss = reduce(values.square(), weight=WEIGHTS[part], mask=MASK[part], **kwargs)
    return loss.detach(), list(torch.autograd.grad(loss, [values]))


def by_temperature(part: slice, **kwargs: Any) -> Result:
    x, labels = CALLS["supcon_loss-defaults"][1].args
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    loss = find("supcon_loss").fn(x[part], labels[part], temperature=temperature, **kwargs)
    return loss.detach(), list(torch.autograd.grad(loss, [temperature]))


def of_a_reference(part: slice, **kwargs: Any) -> Result:
    """What every rank has alike: a number of all answers, without a gradient."""
    gains = VALUES[part] + 1
    return kto_reference_point(gains, torch.zeros_like(gains), mask=MASK[part], **kwargs), []


def twice(part: slice, **kwargs: Any) -> Result:
    """The gradient of the gradient's square."""
    subject, call = CALLS["supcon_loss-defaults"]
    leaves, run = as_function(subject, select(call, part), **kwargs)
    (first,) = torch.autograd.grad(run(*leaves), leaves, create_graph=True)
    penalty = first.square().sum()
    return penalty.detach(), list(torch.autograd.grad(penalty, leaves))


def by_index(part: slice, **kwargs: Any) -> Result:
    """Pairs and triplets of neighbours, from within the part."""
    x, labels = CALLS["supcon_loss-defaults"][1].args
    x, labels = x[part].clone().requires_grad_(), labels[part]
    i, j = torch.arange(len(x))[:-1], torch.arange(len(x))[1:]
    loss = find("contrastive_loss").fn(x, labels, pairs=(i, j), margin=3.0, **kwargs)
    loss = loss + find("triplet_loss").fn(x, None, triplets=(i, j, i), **kwargs)
    return loss.detach(), list(torch.autograd.grad(loss, [x]))


def of_a_network(part: slice, group: distributed.ProcessGroup | None = None) -> Result:
    """The gradient of weights before the loss, which data-parallel training averages itself."""
    x, labels = CALLS["supcon_loss-defaults"][1].args
    torch.manual_seed(0)
    network: nn.Module = nn.Linear(4, 3, bias=False, dtype=torch.float64)
    if group is not None:
        network = nn.parallel.DistributedDataParallel(network)
    loss = find("supcon_loss").fn(network(x[part]), labels[part], group=group)
    loss.backward()
    return loss.detach(), [p.grad for p in network.parameters() if p.grad is not None]


def of_a_rank(rank: int, world: str, folder: Path) -> None:
    """What one rank finds, saved as a file."""
    torch.set_num_threads(1)
    store = f"file://{folder / 'rendezvous'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=len(PARTS[world]))
    group, part = distributed.group.WORLD, PARTS[world][rank]
    found = {"reduce": reduced(part, group=group), "temperature": by_temperature(part, group=group)}
    found["by index"] = by_index(part, group=group)
    found["reference"] = of_a_reference(part, group=group)
    found |= {"twice": twice(part, group=group), "network": of_a_network(part, group)}
    for name in TAKEN:
        subject, call = CALLS[name]
        found[name] = subject.grads(select(call, part), group=group)
        if has_sum(subject):
            found[f"{name}, sum"] = subject.grads(select(call, part), group=group, reduction="sum")
        if passes_by(name):
            with exchange_by("ring"):
                counted = traffic(lambda s=subject, c=call: found.update(ring=s.grads(select(c, part), group=group)))
            found[f"{name}, ring"] = (*found.pop("ring"), counted.calls, counted.shapes)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module", params=PARTS)
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Result]]:
    folder = tmp_path_factory.mktemp("ranks")
    size = len(PARTS[request.param])
    launch(of_a_rank, size, request.param, folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(size)]


def test_mean_divides_by_what_all_ranks_count(ranks: list[dict[str, Result]]) -> None:
    assert_average(ranks, "reduce", reduced(slice(None)), len(VALUES))


def test_a_temperature_learns_from_all_ranks(ranks: list[dict[str, Result]]) -> None:
    assert_average(ranks, "temperature", by_temperature(slice(None)), -1)


def test_a_reference_point_is_the_same_on_all_ranks(ranks: list[dict[str, Result]]) -> None:
    for rank in ranks:
        assert_close(rank["reference"][0], of_a_reference(slice(None))[0])


def test_a_network_in_data_parallel_training_gets_the_gradient_of_the_batch(ranks: list[dict[str, Result]]) -> None:
    loss, (weight,) = of_a_network(slice(None))
    assert_close(sum(rank["network"][0] for rank in ranks) / len(ranks), loss, 1e-10)
    for rank in ranks:
        assert_close(rank["network"][1][0], weight, 1e-10)


def test_pairs_and_triplets_by_index_stay_each_rank_s_own(
    ranks: list[dict[str, Result]], request: pytest.FixtureRequest
) -> None:
    parts = PARTS[request.node.callspec.params["ranks"]]
    sums = [by_index(part, reduction="sum") for part in parts]
    # A part of n items has n - 1 pairs of neighbours.
    count = sum(max(len(range(*part.indices(9))) - 1, 0) for part in parts)
    whole = sum(loss for loss, _ in sums) / count, [torch.cat([grads[0] for _, grads in sums]) / count]
    assert_average(ranks, "by index", whole, 9)


def test_second_derivatives_pass_through_the_ranks(ranks: list[dict[str, Result]]) -> None:
    penalty, (second,) = twice(slice(None))
    # The gradients on the ranks are as many times as large as there are ranks.
    squared = len(ranks) ** 2
    assert_close(sum(rank["twice"][0] for rank in ranks) / squared, penalty, 1e-10)
    assert_close(torch.cat([rank["twice"][1][0] for rank in ranks]) / squared, second, 1e-10)


@pytest.mark.parametrize("name", TAKEN)
def test_loss_of_the_ranks_is_the_loss_of_the_batch(name: str, ranks: list[dict[str, Result]]) -> None:
    subject, call = CALLS[name]
    assert_average(ranks, name, subject.grads(call), items(call))
    if not has_sum(subject):
        return
    total, grads = subject.grads(call, reduction="sum")
    assert_close(sum(rank[f"{name}, sum"][0] for rank in ranks), total, 1e-10)
    assert_average(ranks, f"{name}, sum", (total / len(ranks), [g / len(ranks) for g in grads]), items(call))


@pytest.mark.parametrize("name", [*filter(passes_by, TAKEN)])
def test_embeddings_that_pass_by_make_the_same_loss(name: str, ranks: list[dict[str, Any]]) -> None:
    subject, call = CALLS[name]
    ring = [{name: rank[f"{name}, ring"][:2]} for rank in ranks]
    assert_average(ring, name, subject.grads(call), items(call))
    count = len(call.args[0])
    brought = {len(rank[f"{name}, ring"][1][0]) for rank in ranks}
    for *_, exchanges, shapes in (rank[f"{name}, ring"] for rank in ranks):
        assert {"send", "receive"} & set(exchanges)
        # Nobody has all embeddings, unless one rank brings them.
        assert count in brought or not {(count, 4), (2 * count, 4)} & shapes


def assert_average(ranks: list[dict[str, Result]], name: str, whole: Result, count: int) -> None:
    """The average of the ranks' losses and gradients; an item's gradient is on the rank that has the item."""
    loss, grads = whole
    assert_close(sum(rank[name][0] for rank in ranks) / len(ranks), loss, 1e-10)
    for place, grad in enumerate(grads):
        parts = [rank[name][1][place] for rank in ranks]
        found = torch.cat(parts) if is_per_item(grad, count) else sum(parts)
        assert_close(found / len(ranks), grad, 1e-10, f"{name}: gradient {place}")
