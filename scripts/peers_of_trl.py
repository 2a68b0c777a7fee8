"""TRL's losses as functions of log-probabilities: its trainers' own methods, with a model that answers with those.

A trainer's loss is in the middle of what it logs. Here a method is called of a stand-in for the trainer, which has the
options that the loss asks for and shrugs at the rest, so that the formula that runs is TRL's own.
"""

from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor

Loss = Callable[..., Tensor]


def _trainer(**fields: Any) -> Any:
    same: Any = SimpleNamespace(device="cpu", gather_for_metrics=_same, gather=_same, reduce=_same, num_processes=1)
    logged: Any = defaultdict(lambda: defaultdict(list))
    given = {"model": SimpleNamespace(training=True), "_total_train_tokens": 0, "_tp_size": 1, "_metrics": logged}
    return MagicMock(accelerator=same, aux_loss_enabled=False, **given, **fields)


def _same(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def _model(logps: Tensor) -> Callable[..., Any]:
    still = logps.detach()
    return lambda **_: SimpleNamespace(log_probs=logps, entropy=-still, mean_logits=still, is_top1=still > 0)


def _tokens(mask: Tensor) -> dict[str, Tensor]:
    """A batch of prompts of one token and answers where ``mask`` is 1."""
    whole = torch.cat([torch.zeros_like(mask[:, :1]), mask], 1)
    return {"completion_mask": whole, "input_ids": torch.zeros_like(whole), "attention_mask": torch.ones_like(whole)}


def dpo(loss_type: str, beta: float = 0.1, label_smoothing: float = 0.0) -> Loss:
    """Of (2N, T) log-probabilities of tokens, chosen answers first, those of the reference model, and a mask."""
    from trl import DPOTrainer

    fields: dict[str, Any] = {"loss_types": [loss_type], "loss_weights": [1.0], "f_divergence_type": "reverse_kl"}
    options: dict[str, Any] = {"ld_alpha": None, "precompute_ref_logps": True, "use_weighting": False}
    trainer = _trainer(beta=beta, label_smoothing=label_smoothing, **fields, **options)

    def loss(logps: Tensor, ref: Tensor, mask: Tensor) -> Tensor:
        chosen, rejected = (ref * mask).sum(1).chunk(2)
        inputs = {**_tokens(mask), "ref_chosen_logps": chosen, "ref_rejected_logps": rejected}
        return DPOTrainer._compute_loss(trainer, _model(logps * mask), inputs, False)  # pyright: ignore[reportPrivateUsage]

    return loss


def kto(beta: float = 0.1, desirable_weight: float = 1.0, undesirable_weight: float = 1.0, kl: float = 0.0) -> Loss:
    """Of (N,) log-probabilities of answers, those of the reference model, and which answers are liked."""
    from trl import KTOTrainer

    weights = {"desirable_weight": desirable_weight, "undesirable_weight": undesirable_weight}
    trainer = _trainer(beta=beta, loss_type="kto", calculate_KL=True, precompute_ref_logps=True, **weights)

    def loss(logps: Tensor, ref: Tensor, liked: Tensor) -> Tensor:
        trainer._compute_kl_logps = lambda *_: torch.full_like(ref, kl)
        inputs = {**_tokens(torch.ones_like(liked)[:, None]), "label": liked, "ref_logps": ref}
        inputs["ref_KL_logps"] = torch.zeros_like(ref)
        return KTOTrainer._compute_loss(trainer, _model(logps[:, None]), inputs, False)  # pyright: ignore[reportPrivateUsage]

    return loss


def orpo(beta: float = 0.1) -> Loss:
    """Of (N,) mean log-probabilities of the chosen and the rejected answers; the first part is the chosen ones'."""
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    trainer = _trainer(beta=beta)
    return lambda w, l: -w.mean() - ORPOTrainer.odds_ratio_loss(trainer, w, l)[0].mean()


def cpo(loss_type: str) -> Loss:
    """Of (N,) log-probabilities of the chosen and the rejected answers."""
    from trl.experimental.cpo.cpo_trainer import CPOTrainer

    trainer = _trainer(alpha=0.0, beta=0.3, label_smoothing=0.2, simpo_gamma=0.5, loss_type=loss_type)
    return lambda chosen, rejected: CPOTrainer.cpo_loss(trainer, chosen, rejected)[0].mean()


def reward(center: float | None = None) -> Loss:
    """Of (N,) rewards of the chosen and the rejected answers."""
    from trl import RewardTrainer

    trainer = _trainer(args=SimpleNamespace(center_rewards_coefficient=center))

    def loss(chosen: Tensor, rejected: Tensor) -> Tensor:
        model = lambda **_: SimpleNamespace(logits=torch.cat([chosen, rejected])[:, None])  # noqa: E731
        return RewardTrainer.compute_loss(trainer, model, {"attention_mask": torch.ones(1)})

    return loss


def grpo(
    loss_type: str,
    beta: float = 0.04,
    epsilon_high: float = 0.2,
    delta: float | None = None,
    level: str = "token",
    length: int = 7,
) -> Loss:
    """Of (B, T) log-probabilities by the policy, by the one that drew, by the reference; advantages and a mask."""
    from trl import GRPOTrainer

    args = SimpleNamespace(delta=delta, use_bias_correction_kl=False, steps_per_generation=1)
    steps: dict[str, Any] = {"current_gradient_accumulation_steps": 1, "max_completion_length": length}
    without: dict[str, Any] = {"top_entropy_quantile": 1.0, "off_policy_mask_threshold": None, "use_vllm": False}
    bounds: dict[str, Any] = {"epsilon_low": 0.2, "epsilon_high": epsilon_high, "importance_sampling_level": level}
    options = {"beta": beta, "loss_type": loss_type, "_entropy_bonus_enabled": False}
    trainer = _trainer(args=args, **steps, **without, **bounds, **options)

    def loss(logps: Tensor, old: Tensor, ref: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
        trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logps, -logps.detach(), None)
        inputs = {"prompt_ids": mask[:, :1], "prompt_mask": mask[:, :1], "completion_ids": mask}
        given = {"old_per_token_logps": old, "ref_per_token_logps": ref, "advantages": advantages}
        inputs = {**inputs, **given, "completion_mask": mask, "num_items_in_batch": mask.sum()}
        return GRPOTrainer._compute_loss(trainer, None, inputs)  # pyright: ignore[reportPrivateUsage]

    return loss
