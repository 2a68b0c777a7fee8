"""The clipped losses of rewarded policies against the trainers that people know them from, and over a whole step."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import lossary

F64 = torch.float64
B, T = 6, 9
LENGTHS = torch.tensor([9, 4, 7, 1, 6, 3])


def batch(spread: float = 0.3, seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    new = -3 * torch.rand(B, T, generator=g, dtype=F64)
    near = [new + spread * torch.randn(B, T, generator=g, dtype=F64) for _ in range(2)]
    advantages = torch.randn(B, generator=g, dtype=F64)
    mask = torch.arange(T) < LENGTHS[:, None]
    return {"new": new, "old": near[0], "ref": near[1], "advantages": advantages, "mask": mask}


def as_trl(b: dict[str, Tensor], loss_type: str, low: float, high: float, beta: float, level: str = "token") -> Tensor:
    """TRL's loss, as its trainer writes it, for one process and one batch a step."""
    mask = b["mask"].to(F64)
    log_ratio = b["new"] - b["old"]
    if level == "sequence":
        log_ratio = ((log_ratio * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).unsqueeze(-1)
    coef_1, gain = log_ratio.exp(), b["advantages"].unsqueeze(1)
    coef_2 = coef_1.clamp(1 - low, 1 + high)
    each = -torch.min(coef_1 * gain, coef_2 * gain)
    each = each + beta * ((b["ref"] - b["new"]).exp() - (b["ref"] - b["new"]) - 1)
    if loss_type == "grpo":
        return ((each * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).mean()
    if loss_type in ("bnpo", "dapo"):
        return (each * mask).sum() / mask.sum().clamp(min=1.0)
    return (each * mask).sum() / (each.size(0) * 16)


OURS: dict[str, dict[str, Any]] = {
    "grpo": {"average": "sequence"},
    "bnpo": {"average": "token"},
    "dapo": {"average": "token"},
    "dr_grpo": {"average": "constant", "max_length": 16},
}


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("loss_type", OURS)
@pytest.mark.parametrize(("low", "high", "beta"), [(0.2, 0.2, 0.04), (0.2, 0.28, 0.0), (0.05, 0.02, 1.0)])
def test_grpo_is_trl_s_by_loss_type(loss_type: str, level: Any, low: float, high: float, beta: float) -> None:
    for seed in range(3):
        b = batch(seed=seed)
        b["new"].requires_grad_()
        ours = lossary.grpo_loss(
            b["new"],
            b["old"],
            b["advantages"],
            ref_logps=b["ref"],
            mask=b["mask"],
            beta=beta,
            epsilon_low=low,
            epsilon_high=high,
            ratio=level,
            **OURS[loss_type],
        )
        theirs = as_trl(b, loss_type, low, high, beta, level)
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(*(torch.autograd.grad(f, b["new"])[0] for f in (ours, theirs)))


@pytest.mark.parametrize("options", OURS.values(), ids=OURS)
def test_batches_of_a_step_add_up_to_its_mean(options: dict[str, Any]) -> None:
    """A mean of the batches' means is another loss, in which a token's weight depends on its batch."""
    b = batch()
    leaf = b["new"].requires_grad_()

    def loss(rows: slice, **given: Any) -> Tensor:
        part = {n: t[rows] for n, t in b.items()}
        return lossary.grpo_loss(
            part["new"], part["old"], part["advantages"], ref_logps=part["ref"], mask=part["mask"], **options, **given
        )

    parts = (slice(0, 1), slice(1, 3), slice(3, 6))
    whole = loss(slice(None))
    count = b["mask"].sum().item() if options["average"] == "token" else B
    for divisor in (count, torch.tensor(count)):
        summed = torch.stack([loss(rows, divisor=divisor) for rows in parts]).sum()
        torch.testing.assert_close(summed, whole)
        torch.testing.assert_close(*(torch.autograd.grad(f, leaf, retain_graph=True)[0] for f in (summed, whole)))
    means = torch.stack([loss(rows) for rows in parts]).mean()
    assert abs(means - whole) > 1e-3


def test_ppo_over_a_step_and_grpo_by_token_are_one() -> None:
    b = batch()
    given = {"mask": b["mask"], "divisor": 100.0}
    gain = b["advantages"][:, None].expand(B, T)
    ppo = lossary.ppo_clip_loss(b["new"], b["old"], gain, **given)  # pyright: ignore[reportArgumentType]
    grpo = lossary.grpo_loss(b["new"], b["old"], b["advantages"], average="token", **given)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(ppo, grpo)
    torch.testing.assert_close(lossary.grpo_loss(b["new"], b["old"], gain, average="token", **given), grpo)  # pyright: ignore[reportArgumentType]


def test_the_first_step_on_what_was_just_drawn_is_the_plain_policy_gradient() -> None:
    b = batch()
    leaf = b["new"].requires_grad_()
    gain = b["advantages"][:, None].expand(B, T)
    for loss in (
        lossary.ppo_clip_loss(leaf, None, gain, reduction="sum"),
        lossary.grpo_loss(leaf, None, b["advantages"], average="token", reduction="sum"),
    ):
        torch.testing.assert_close(loss, -gain.sum())
        torch.testing.assert_close(torch.autograd.grad(loss, leaf)[0], -gain)


def test_a_sequence_s_ratio_is_the_geometric_mean_of_its_tokens() -> None:
    b = batch()
    ratio = (b["new"] - b["old"]).exp().prod(1) ** (1 / T)
    found = lossary.grpo_loss(b["new"], b["old"], b["advantages"], ratio="sequence", epsilon_low=1.0, reduction="none")
    right = -torch.where(b["advantages"] > 0, ratio.clamp_max(1.2), ratio) * b["advantages"]
    torch.testing.assert_close(found, right)


def test_bounds_stop_what_succeeded_above_and_what_failed_below() -> None:
    logs = torch.tensor([math.log(0.5), math.log1p(-0.2), 0.0, math.log1p(0.2), math.log(3)], dtype=F64)
    ratio = logs.exp()
    for advantage, slope in ((1.0, [-0.5, -0.8, -1.0, 0.0, 0.0]), (-1.0, [0.0, 0.0, 1.0, 1.2, 3.0])):
        leaf = logs.clone().requires_grad_()
        loss = lossary.ppo_clip_loss(
            leaf, torch.zeros(5).double(), torch.full((5,), advantage).double(), reduction="sum"
        )
        found = torch.autograd.grad(loss, leaf)[0]
        torch.testing.assert_close(found, torch.tensor(slope, dtype=F64))
    bounded = lossary.ppo_clip_loss(ratio.log(), None, -ratio, largest_ratio=2.0, reduction="none")
    torch.testing.assert_close(bounded, ratio)
    given = lossary.ppo_clip_loss(ratio.log(), ratio * 0, -torch.ones_like(ratio), largest_ratio=2.0, reduction="none")
    torch.testing.assert_close(given, ratio.clamp(0.8, 2.0))
    with pytest.raises(ValueError, match="largest_ratio: wanted a number above 1 \\+ epsilon_high"):
        lossary.ppo_clip_loss(ratio, ratio, ratio, largest_ratio=1.1)


def test_ratios_that_float32_cannot_hold_leave_finite_gradients() -> None:
    """exp first gives inf, and inf times the 0 of a clamp a NaN."""
    new, old = torch.tensor([-1.0, -200.0, -0.5, -1e5], requires_grad=True), torch.tensor([-200.0, -1.0, -1e5, -0.5])
    naive = torch.min((new - old).exp(), (new - old).exp().clamp(0.8, 1.2)).sum()
    assert torch.autograd.grad(naive, new)[0].isnan().any()
    for gain in (torch.ones(4), -torch.ones(4)):
        loss = lossary.ppo_clip_loss(new, old, gain)
        assert loss.isfinite()
        assert torch.autograd.grad(loss, new)[0].isfinite().all()
        loss = lossary.grpo_loss(new[None], old[None], gain[:1], ref_logps=old[None])
        assert torch.autograd.grad(loss, new)[0].isfinite().all()


def test_k3_is_exact_where_the_reference_is_near() -> None:
    """exp(d) - 1 - d as it stands has no digit left at 1e-4 in float32."""
    d = torch.tensor([0.0, 1e-6, -1e-4, 3e-3, -0.0999, 0.1001, -2.0, 5.0])
    new, nothing = torch.zeros(8, 1), torch.zeros(8)
    found = lossary.grpo_loss(new, None, nothing, ref_logps=d[:, None], beta=1.0, reduction="none").double()
    series = torch.stack([d.double() ** k / float(math.factorial(k)) for k in range(2, 40)]).sum(0)
    torch.testing.assert_close(found, series, rtol=3e-6, atol=0)
    assert ((torch.expm1(d) - d).double() / series - 1).nan_to_num().abs().max() > 1e-3


def test_an_answer_without_tokens_is_not_there() -> None:
    b = batch()
    b["mask"][2] = False
    kept = torch.tensor([0, 1, 3, 4, 5])
    for options in OURS.values():
        whole, rest = (
            lossary.grpo_loss(p["new"], p["old"], p["advantages"], mask=p["mask"], **options)
            for p in (b, {n: t[kept] for n, t in b.items()})
        )
        torch.testing.assert_close(whole, rest)


def test_what_must_not_learn_is_refused_by_name() -> None:
    b = batch()
    learning = {n: t.clone().requires_grad_() for n, t in b.items() if n != "mask"}
    for name, args, given in (
        ("old_logps", (b["new"], learning["old"], b["advantages"]), {}),
        ("advantages", (b["new"], b["old"], learning["advantages"]), {}),
        ("ref_logps", (b["new"], b["old"], b["advantages"]), {"ref_logps": learning["ref"]}),
    ):
        with pytest.raises(ValueError, match=f"^{name}: wanted a tensor without requires_grad"):
            lossary.grpo_loss(*args, **given)
    with pytest.raises(ValueError, match="returns: wanted a tensor without requires_grad"):
        lossary.ppo_value_loss(b["new"], b["old"], learning["ref"])
    with pytest.raises(ValueError, match="max_length: wanted the longest possible answer"):
        lossary.grpo_loss(b["new"], b["old"], b["advantages"], average="constant")
    with pytest.raises(ValueError, match="divisor: wanted a finite number"):
        lossary.grpo_loss(b["new"], b["old"], b["advantages"], divisor=0.0)


def test_a_value_that_moved_too_far_stops_unless_it_moved_away() -> None:
    old, came = torch.zeros(4, dtype=F64), torch.tensor([1.0, 1.0, 1.0, 0.1], dtype=F64)
    leaf = torch.tensor([0.1, 0.5, -0.5, 0.15], dtype=F64, requires_grad=True)
    loss = lossary.ppo_value_loss(leaf, old, came, reduction="sum")
    torch.testing.assert_close(torch.autograd.grad(loss, leaf)[0], torch.tensor([-0.9, 0.0, -1.5, 0.05], dtype=F64))
    wide = lossary.ppo_value_loss(leaf, old, came, epsilon=10.0)
    torch.testing.assert_close(wide, lossary.mse_loss(leaf, came) / 2)
