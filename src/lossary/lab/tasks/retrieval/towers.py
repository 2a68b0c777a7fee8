"""A network for pairs of texts, with one tower for queries and one for documents.

An answer is not a paraphrase of its question, so each side has its own weights behind the shared part: measured on the
lab's questions and answers, a single tower finds less.
"""

import torch
from torch import Tensor, nn

STEP = 0.2  # of an adapter: its weights move as fast as any at the lab's learning rates, and the embeddings more slowly


class Adapters(nn.Module):
    """Frozen embeddings (N, 2, D) to (N, 2, D): each side plus its own small linear correction.

    A projection from scratch would have to relearn what the encoder knows, from the few pairs there are.

    >>> Adapters(8)(torch.zeros(5, 2, 8)).shape
    torch.Size([5, 2, 8])
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.query, self.document = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        return x + STEP * torch.stack([self.query(x[:, 0]), self.document(x[:, 1])], dim=1)


class Towers(nn.Module):
    """Queries and documents (N, 2, ...) to embeddings (N, 2, D), by one network for both or one for each side.

    >>> Towers(nn.Linear(8, 3))(torch.zeros(5, 2, 8)).shape
    torch.Size([5, 2, 3])
    """

    def __init__(self, query: nn.Module, document: nn.Module | None = None) -> None:
        super().__init__()
        self.query, self.document = query, document or query

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.query(x[:, 0]), self.document(x[:, 1])], dim=1)
