"""Heads whose classes are spread over the ranks of a group, for more classes than one device holds."""

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from lossary.compose.linear import LinearHead
from lossary.core.loss import HeadLoss
from lossary.distributed.shards import Shards

__all__ = ["shard_classes"]


def shard_classes(head: nn.Module, group: ProcessGroup, *, device: torch.device | str = "cpu") -> None:
    r"""Spread a head's classes over the ranks of a group, exactly: each rank keeps and trains its share of the weight.

    .. math:: \log \sum_j e^{z_j} = \log \sum_r e^{\log \sum_{j \in C_r} e^{z_j}}

    Afterwards each rank calls the head with its own batch; all ranks must, forward and backward. The ranks' losses
    average to that of the batches together, and so do their gradients by the embeddings, as averaged by
    ``DistributedDataParallel`` around the encoder. Keep the head outside of that: the gradient of a shard is already
    the average, on the one rank that has it.

    Parameters with one row per class become a ``DTensor`` with ``Shard(0)``, torch's own form: optimisers train it, and
    ``torch.distributed.checkpoint`` saves it and loads it on a different number of ranks, or whole on one.

    Args:
        head: A head of cosines, such as ``ArcFaceLoss``, or a ``LinearHead``. One made under ``torch.device("meta")``
            is never whole: each rank draws its own classes from a normal distribution with expected unit length; biases
            are 0.
        group: The ranks, each with its own batch. The weight is taken from the first rank.
        device: Where the shards are placed.

    Raises:
        TypeError: Any other Module.

    Example:
        >>> import torch, lossary
        >>> from torch.distributed import HashStore, destroy_process_group, group, init_process_group
        >>> init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
        >>> head = lossary.ArcFaceLoss(num_classes=1000, embedding_size=8)
        >>> lossary.shard_classes(head, group.WORLD)
        >>> head(torch.randn(4, 8), torch.tensor([3, 0, 999, 7])).backward()
        >>> head.weight.grad.to_local().shape
        torch.Size([1000, 8])
        >>> destroy_process_group()

    Source:
        Deng et al., ArcFace, arXiv:1801.07698, section 3.2 ("parallel acceleration").
    """
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor, Shard, distribute_tensor

    if not isinstance(head, HeadLoss | LinearHead):
        raise TypeError(f"head: wanted a HeadLoss or a LinearHead; got {type(head).__name__}")
    classes = head.num_classes if isinstance(head, HeadLoss) else head.linear.out_features
    mesh = DeviceMesh.from_group(group, torch.device(device).type)
    seed = int(torch.randint(1 << 40, ()))
    for module in head.modules():
        for name, whole in [*module.named_parameters(recurse=False)]:
            if whole.dim() == 0 or whole.shape[0] != classes:
                continue
            if whole.is_meta:
                own = _drawn(whole, Shards(group, classes).own, seed + torch.distributed.get_rank(group), device)
                shape, stride = whole.shape, whole.stride()
                weight = DTensor.from_local(own, mesh, [Shard(0)], run_check=False, shape=shape, stride=stride)
            else:
                weight = distribute_tensor(whole.detach().to(device), mesh, [Shard(0)])
            setattr(module, name, nn.Parameter(weight, requires_grad=whole.requires_grad))


def _drawn(like: Tensor, rows: slice, seed: int, device: torch.device | str) -> Tensor:
    """Newly drawn rows of a weight, or zeros for biases."""
    own = torch.zeros(rows.stop - rows.start, *like.shape[1:], dtype=like.dtype, device=device)
    generator = torch.Generator(own.device).manual_seed(seed)
    return own if like.dim() == 1 else own.normal_(std=like.shape[-1] ** -0.5, generator=generator)
