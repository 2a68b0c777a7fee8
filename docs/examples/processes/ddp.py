"""DistributedDataParallel: the ranks' items are one batch.

torchrun --nproc-per-node 2 ddp.py
"""

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import lossary

distributed.init_process_group("gloo")  # "nccl" on GPUs
rank, ranks = distributed.get_rank(), distributed.get_world_size()

torch.manual_seed(0)
labels = torch.arange(64) % 8
points = torch.randn(8, 16)[labels] + 0.5 * torch.randn(64, 16)
own = slice(rank, None, ranks)

encoder = DistributedDataParallel(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)))
loss = lossary.SupConLoss()
optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-2)
for _ in range(20):
    value = loss(encoder(points[own]), labels[own], group=distributed.group.WORLD)
    optimizer.zero_grad()
    value.backward()  # DDP averages the gradients, which makes them those of one process
    optimizer.step()

total = value.detach()
distributed.all_reduce(total)
if rank == 0:
    print("loss", total.item() / ranks)
distributed.destroy_process_group()
