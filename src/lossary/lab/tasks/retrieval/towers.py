"""A network for pairs of texts, with a tower for the queries and one for the documents.

An answer is no paraphrase of its question, so each side has weights of its own behind what both share: measured on
the lab's questions and answers, one tower for both finds less.
"""

import torch
from torch import Tensor, nn

STEP = 0.2  # of an adapter: its weights move as fast as any at the lab's learning rates, and the embeddings slower


class Adapters(nn.Module):
    """Frozen embeddings (N, 2, D) to (N, 2, D), each side plus a small linear correction of its own.

    A projection from scratch would have to learn anew what the encoder knows, from as few pairs as there are.

    >>> Adapters(8)(torch.zeros(5, 2, 8)).shape
    torch.Size([5, 2, 8])
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.query, self.document = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        return x + STEP * torch.stack([self.query(x[:, 0]), self.document(x[:, 1])], dim=1)


class Towers(nn.Module):
    """Queries and documents (N, 2, ...) to embeddings (N, 2, D), by one network for both or by one for each side.

    >>> Towers(nn.Linear(8, 3))(torch.zeros(5, 2, 8)).shape
    torch.Size([5, 2, 3])
    """

    def __init__(self, query: nn.Module, document: nn.Module | None = None) -> None:
        super().__init__()
        self.query, self.document = query, document or query

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.query(x[:, 0]), self.document(x[:, 1])], dim=1)
