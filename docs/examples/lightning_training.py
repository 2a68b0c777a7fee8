"""A margin head with Lightning: the head's class weights train at a learning rate of their own."""

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lossary
from lossary.adapters.lightning import Training

centres = torch.randn(5, 16)
labels = torch.arange(500) % 5
points = centres[labels] + 0.5 * torch.randn(500, 16)
data = DataLoader(TensorDataset(points, labels), batch_size=50, shuffle=True)

network = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
head = lossary.ArcFaceLoss(num_classes=5, embedding_size=8, scale=16.0)
training = Training(network, head, lr=1e-3, loss_lr=1e-2)

trainer = lightning.Trainer(
    max_epochs=10, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
)
trainer.fit(training, data)

with torch.no_grad():
    predicted = head.get_logits(network(points)).argmax(1)
print("accuracy", (predicted == labels).float().mean().item())
