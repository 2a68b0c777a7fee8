"""DTensor: a weight that is Shard(0) is a head whose classes are spread over the ranks.

torchrun --nproc-per-node 2 dtensor.py
"""

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

import lossary.functional as L

distributed.init_process_group("gloo")  # "nccl" on GPUs
rank, ranks = distributed.get_rank(), distributed.get_world_size()
mesh = init_device_mesh("cpu", (ranks,))  # "cuda" on GPUs

torch.manual_seed(0)
labels = torch.arange(64) % 8
points = torch.randn(8, 16)[labels] + 0.5 * torch.randn(64, 16)
own = slice(rank, None, ranks)

encoder = DistributedDataParallel(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)))
weight = nn.Parameter(distribute_tensor(torch.randn(8, 8), mesh, [Shard(0)]))
optimizer = torch.optim.AdamW([*encoder.parameters(), weight], lr=1e-2)
for _ in range(20):
    value = L.cosface_loss(encoder(points[own]), weight, labels[own], scale=16.0)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()

total = value.detach()
distributed.all_reduce(total)
if rank == 0:
    print("loss", total.item() / ranks)
distributed.destroy_process_group()
