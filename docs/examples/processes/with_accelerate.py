"""Accelerate: it wraps the encoder and hands out batches; the loss takes the group.

accelerate launch --cpu --num_processes 2 with_accelerate.py, or torchrun --nproc-per-node 2 with_accelerate.py
"""

import torch
from accelerate import Accelerator
from torch import distributed, nn

import lossary

accelerator = Accelerator(cpu=not torch.cuda.is_available())
rank, ranks = accelerator.process_index, accelerator.num_processes

torch.manual_seed(0)
labels = torch.arange(64) % 8
points = torch.randn(8, 16)[labels] + 0.5 * torch.randn(64, 16)
own = slice(rank, None, ranks)

network = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
encoder, optimizer = accelerator.prepare(network, torch.optim.AdamW(network.parameters(), lr=1e-2))
loss = lossary.SupConLoss()
group = distributed.group.WORLD if ranks > 1 else None
for _ in range(20):
    value = loss(encoder(points[own]), labels[own], group=group)
    optimizer.zero_grad()
    accelerator.backward(value)
    optimizer.step()

mean = accelerator.reduce(value.detach(), "mean").item()
if accelerator.is_main_process:
    print("loss", mean)
accelerator.end_training()
