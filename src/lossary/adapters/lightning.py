"""Lossary's losses in Lightning: a network and a loss as one LightningModule."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn


class Training(LightningModule):
    """Trains ``network`` with ``loss`` on batches of (input, target), and logs ``train_loss`` and ``val_loss``.

    A loss with weights of its own (a margin head, a learned temperature) is trained with the network and saved in the
    checkpoint. For other kinds of batches, such as two views of the same items, override :meth:`compute_loss`.

    Args:
        network: Maps inputs to what the loss takes: logits, embeddings.
        loss: A loss Module.
        lr: The learning rate.
        loss_lr: The learning rate of the loss's own weights, if different: margin heads often need a larger one.
        optimizer: Creates the optimiser from parameter groups.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        *,
        lr: float = 1e-3,
        loss_lr: float | None = None,
        optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer] = torch.optim.AdamW,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.lr = lr
        self.loss_lr = lr if loss_lr is None else loss_lr
        self.optimizer = optimizer

    def forward(self, input: Tensor) -> Tensor:
        return self.network(input)

    def compute_loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The loss of one batch."""
        input, target = batch
        return self.loss(self(input), target)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.compute_loss(batch)
        self.log("train_loss", loss, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.compute_loss(batch), batch_size=len(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        groups = [{"params": list(self.network.parameters()), "lr": self.lr}]
        owned = list(self.loss.parameters())
        return self.optimizer([*groups, {"params": owned, "lr": self.loss_lr}] if owned else groups)
