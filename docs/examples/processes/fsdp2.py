"""FSDP2 (fully_shard): the encoder's weights are spread over the ranks, and so are the classes of the head.

torchrun --nproc-per-node 2 fsdp2.py
"""

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import lossary

distributed.init_process_group("gloo")  # "nccl" on GPUs
rank, ranks = distributed.get_rank(), distributed.get_world_size()
mesh = init_device_mesh("cpu", (ranks,))  # "cuda" on GPUs

torch.manual_seed(0)
labels = torch.arange(64) % 8
points = torch.randn(8, 16)[labels] + 0.5 * torch.randn(64, 16)
own = slice(rank, None, ranks)

encoder = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
head = lossary.ArcFaceLoss(num_classes=8, embedding_size=8, scale=16.0)
fully_shard(encoder, mesh=mesh)
lossary.shard_classes(head, mesh.get_group())  # not fully_shard: its weight would be made whole in each call
optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=1e-2)
for _ in range(20):
    value = head(encoder(points[own]), labels[own])
    optimizer.zero_grad()
    value.backward()
    optimizer.step()

total = value.detach()
distributed.all_reduce(total)
if rank == 0:
    print("loss", total.item() / ranks)
distributed.destroy_process_group()
