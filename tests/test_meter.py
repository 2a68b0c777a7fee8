"""The meter counts what is there: programs counted by hand, and losses beside their naive form."""

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.meter import __main__, costs, naive, page, workloads
from benchmarks.meter.counter import META, Meter, count
from torch import Tensor

import lossary
from lossary.catalogue import CATALOGUE
from lossary.core.card import Card
from lossary.testing import draw


def numbers(*shape: int) -> Tensor:
    return torch.empty(*shape, device=META)


def kernels(meter: Meter) -> int:
    return sum(cost.kernels for cost in meter.costs)


def test_a_product_and_a_softmax_are_six_kernels_forward_and_backward() -> None:
    meter = count(lambda a, b: (a @ b).softmax(1).sum(), numbers(64, 32), numbers(32, 16))
    # product, softmax, sum; the sum's gradient is a view; softmax' gradient, two products
    assert [c.name for c in meter.costs] == ["mm", "_softmax", "sum", "_softmax_backward_data", "mm", "mm"]
    assert kernels(meter) == 6
    assert sum(c.flops for c in meter.costs) == 3 * 2 * 64 * 32 * 16
    assert meter.costs[0].bytes == 4 * (64 * 32 + 32 * 16 + 64 * 16)
    assert meter.costs[1].bytes == 4 * 2 * 64 * 16
    assert not meter.reads


def test_memory_is_what_is_held_at_once_beyond_the_inputs() -> None:
    def two_then_three(x: Tensor) -> Tensor:
        y = x.exp()  # kept for backward
        return (y + 1).sum()  # a second one, for a moment

    # in backward the exponentials and the gradient; 512 bytes for scalars
    assert 2 * 4096 <= count(two_then_three, numbers(1024)).memory.peak <= 2 * 4096 + 512


def test_what_the_host_reads_is_counted_by_place_and_true_of_labels() -> None:
    def longest(x: Tensor, labels: Tensor) -> Tensor:
        runs = labels.sort().values.unique_consecutive(return_counts=True)[1]
        return x[: int(runs.max())].sum() if bool((x > 0).all()) else x.sum() * 0

    meter = count(longest, numbers(100), torch.tensor([3, 1, 3, 3, 2]))
    assert meter.reads == {"unique_consecutive in the caller": 1, "number in the caller": 2}
    assert [c.bytes for c in meter.costs if c.name == "sum"] == [4 * 3 + 4]  # there are three labels 3
    meter = count(lambda x, y: x.sum() * y.tolist()[1], numbers(9), torch.tensor([5, 7]))
    assert meter.reads == {"copy to the host in the caller": 1}
    meter = count(lambda x: x[x > 0].sum(), numbers(9))
    assert meter.reads == {"nonzero in the caller": 2}  # in backward again
    meter = count(lambda x: x.sum() * torch.tensor(2.0, device=x.device), numbers(9))
    assert meter.reads == {"copy to the device in the caller": 1}


def test_values_of_labels_follow_views_and_changes_in_place() -> None:
    def inverse(x: Tensor, order: Tensor) -> Tensor:
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device)
        place[1:].add_(10)
        assert place.tolist() == [2, 10, 11]
        return x[place.clamp_max(2)].sum()

    count(inverse, numbers(3), torch.tensor([1, 2, 0]))


def test_operations_in_place_are_one_kernel_and_need_no_memory() -> None:
    @torch.no_grad()
    def in_place(x: Tensor) -> None:
        x.mul_(2).add_(1).relu_()

    meter = count(lambda x: (in_place(x.detach()), x.sum())[1], numbers(1024))
    assert [c.name for c in meter.costs[:3]] == ["mul_", "add_", "relu_"]
    assert kernels(meter) == 4  # and the sum, whose gradient is a view
    assert meter.memory.peak <= 512


def test_operators_of_our_own_are_counted_inside() -> None:
    n = 40_000
    meter = count(lossary.supcon_loss, numbers(n, 8), torch.arange(n) // 2)
    products = [c for c in meter.costs if c.flops]
    assert len(products) > 30  # by tiles, not one call
    assert meter.memory.peak < n * n * 4 / 5
    assert not meter.reads


def test_an_estimate_is_the_longest_of_launches_bytes_and_products() -> None:
    machine = costs.Machine(bandwidth=1e9, launch=1e-3, operator=2e-3, read=5e-3, float32=1e12, tf32=4e12)
    work = [
        costs.Cost("launches", 4, 1e3, 0, "float32"),  # 4 ms
        costs.Cost("bytes", 1, 8e6, 0, "float32"),  # 8 ms
        costs.Cost("products", 1, 0, 32e9, "float32"),  # 32 ms, with TF32 8
    ]
    assert costs.milliseconds(work, 2, on=machine) == pytest.approx((44, 16))
    assert costs.milliseconds(work, 2, tf32=True, on=machine)[0] == pytest.approx(20)


def known() -> list[Card]:
    return [card for card in CATALOGUE if naive.naive(card.name) is not None]


@pytest.mark.parametrize("card", known(), ids=lambda card: card.name)
def test_the_naive_form_is_the_same_loss(card: Card) -> None:
    call = draw(card, torch.Generator().manual_seed(0), torch.float64)
    form = naive.naive(card.name)
    assert form is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about its kl_div's mean
        wanted = form(*call.args)
    torch.testing.assert_close(card.fn(*call.args, **call.kwargs), wanted, rtol=1e-6, atol=1e-9)


def test_every_naive_form_belongs_to_a_card() -> None:
    assert set(naive.NAIVE) <= {card.name for card in CATALOGUE}


def test_every_card_has_large_inputs() -> None:
    for card, workload in zip(CATALOGUE, workloads.cards(), strict=True):
        shape = workload.inputs[0].shape
        assert math.prod(shape) >= 2**16, f"{card.name} {shape}: its draw has sizes that SIZES does not know"


def test_some_losses_are_metered_stored_and_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "STORED", tmp_path / "meter.json")
    monkeypatch.setattr("sys.argv", ["meter", "--only", "cosface"])
    __main__.main()
    monkeypatch.setattr("sys.argv", ["meter", "--only", "hinge_embedding"])
    __main__.main()
    stored = json.loads(page.STORED.read_text())
    assert [name.partition(":")[0] for name in stored["losses"]] == ["cosface_loss", "hinge_embedding_loss"]
    ours = stored["losses"]["cosface_loss: 4,096 x 512, 100,000 x 512, 4,096"][workloads.OURS]
    assert ours["kernels"] > 50
    assert ours["teraflops"]["float32"] == pytest.approx(3 * 2 * 4096 * 512 * 1e5 / 1e12, rel=0.01)
    assert "cosface_loss: 4,096" in page.page()
    assert "no time on this page was measured" in " ".join(page.page().split())


#: Counted at each run, the whole list with ``-m slow``: a loss or problem of each way through the kernels.
SAMPLE = (
    "cross_entropy:",
    "focal_loss:",
    "mse_loss:",
    "sigmoid_focal_loss:",
    "dice_loss:",
    "lovasz_softmax_loss:",
    "triplet_loss:",
    "cosface_loss:",
    "info_nce_loss:",
    "ctc",
    "cross-entropy 16,384 x 131,072, bfloat16",
    "sigmoid focal of 100 million, bfloat16",
)


def budgets() -> list[Any]:
    """Every loss and problem; quick ones at each run."""
    kinds = {"losses": workloads.cards(), "problems": workloads.problems()}
    return [
        pytest.param(kind, w, id=w.name, marks=() if w.name.startswith(SAMPLE) else pytest.mark.slow)
        for kind, found in kinds.items()
        for w in found
    ]


@pytest.mark.parametrize(("kind", "workload"), budgets())
def test_no_loss_costs_more_than_is_stored(kind: str, workload: workloads.Workload) -> None:
    """A launch, a read or a pass more is a choice, seen in the diff of the stored counts: ``make meter``."""
    counted_with = page.stored()["torch"]
    if torch.__version__.partition("+")[0] != counted_with:
        pytest.skip(f"torch {counted_with} was counted; another one's own derivatives take other operations")
    stored = page.stored()[kind][workload.name][workloads.OURS]
    found = __main__.counted(replace(workload, programs={workloads.OURS: workload.programs[workloads.OURS]}))
    now = found[workloads.OURS]
    assert now["kernels"] <= stored["kernels"]
    assert now["reads"] == stored["reads"]
    assert now["gigabytes"] <= stored["gigabytes"] * 1.001
    assert now["peak_gib"] <= stored["peak_gib"] * 1.001 + 1e-6


#: What torch has in one operator, or plain torch in a few, and is no worse off the CPU.
NO_WORSE = ("cross-entropy ", "cross_entropy:", "softmax focal", "mse_loss:", "l1_loss:", "Dice ", "Lovasz ")


def test_losses_that_go_through_memory_go_no_longer_than_plain_torch() -> None:
    stored = page.stored()
    found = [case for kind in page.KINDS for case in stored[kind].items() if case[0].startswith(NO_WORSE)]
    assert len(found) == 12
    for name, contenders in found:
        ours, theirs = (contenders[who] for who in (workloads.OURS, workloads.DENSE))
        assert ours["gigabytes"] <= 1.001 * theirs["gigabytes"], name
        assert not ours["reads"], name


#: What was reached where it was hard: launches, GB and GiB at most. More is a step back.
REACHED = {
    "Dice 16 x 19 x 512 x 512, float32": (24, 2.75, 0.9),
    "Lovasz 16 x 19 x 512 x 512, float32": (41, 13.5, 2.3),
    "cl_dice_loss:": (17_500, 670, 4),
    "curricularface_loss:": (280, 58, 2),
    "gist_embed_loss:": (100, 25, 3.7),
    "hard_negative_contrastive_loss:": (330, 38, 1.5),
    "negative_binomial_nll_loss:": (310, 84, 5.5),
    "rmse_loss:": (25, 1.2, 0.3),
    "smooth_ap_loss:": (250, 19, 1.2),
    "soft_triple_loss:": (260, 132, 5),
}


@pytest.mark.parametrize("name", REACHED)
def test_what_was_reached_stays(name: str) -> None:
    stored = page.stored()
    (found,) = [case for kind in page.KINDS for n, case in stored[kind].items() if n.startswith(name)]
    ours = found[workloads.OURS]
    assert all(
        ours[what] <= most for what, most in zip(("kernels", "gigabytes", "peak_gib"), REACHED[name], strict=True)
    )


def test_the_stored_counts_have_every_loss() -> None:
    names = {name.partition(":")[0] for name in page.stored()["losses"]}
    assert names == {card.name for card in CATALOGUE}
