"""Lightning: the adapter's training step gives the loss the group.

torchrun --nproc-per-node 2 with_lightning.py, or python with_lightning.py, where Lightning starts the processes itself
"""

import lightning
import torch
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

import lossary
from lossary.adapters.lightning import Training


class Together(Training):
    def compute_loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        points, labels = batch
        group = distributed.group.WORLD if self.trainer.world_size > 1 else None
        return self.loss(self(points), labels, group=group)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        own = range(self.trainer.global_rank, len(data), self.trainer.world_size)
        return DataLoader(Subset(data, own), batch_size=len(own))


torch.manual_seed(0)
labels = torch.arange(64) % 8
points = torch.randn(8, 16)[labels] + 0.5 * torch.randn(64, 16)
data = TensorDataset(points, labels)

network = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
training = Together(network, lossary.SupConLoss(), lr=1e-2)
trainer = lightning.Trainer(
    max_epochs=20,
    accelerator="cpu",
    devices=2,
    strategy="ddp",
    use_distributed_sampler=False,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
)
trainer.fit(training)

total = trainer.strategy.reduce(trainer.callback_metrics["train_loss"], reduce_op="mean")
if trainer.is_global_zero:
    print("loss", float(total))
