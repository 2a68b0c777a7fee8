"""Which losses fit which task, and how one is attached to a network's output."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lossary._loss import HeadLoss
from lossary.cards import Card
from lossary.catalogue import CATALOGUE
from lossary.lab.metrics import Kind

#: No loss to train a network with: a diagnostic without a minimum, two that want (log-)probabilities; and two of
#: several labels an item, which would take a batch of yes-or-no answers for one item.
EXCEPT = frozenset(
    {"mean_bias_error", "nll_loss", "binary_cross_entropy", "multilabel_margin_loss", "multilabel_soft_margin_loss"}
)


#: What a card's loss may be given for it to fit.
DATA: dict[Kind, tuple[str, ...]] = {
    "zero-shot": ("classes", "identities", "pairs", "triplets", "views"),
    "classification": ("classes",),
    "binary": ("binary",),
    "regression": ("values",),
}


def fits(card: Card, kind: Kind) -> bool:
    """Whether a network can be trained with this loss alone on such a task."""
    if issubclass(card.module, HeadLoss):
        return kind in ("zero-shot", "classification")
    if card.data not in DATA[kind] or card.name in EXCEPT:
        return False
    # Some losses of pairs and of views take labels instead, some of values want more than one: told by trying.
    labels = torch.tensor([0, 0, 1, 1])
    given = {"regression": (torch.zeros(4), torch.zeros(4)), "binary": (torch.zeros(4), labels.bool())}
    try:
        card.module()(*given.get(kind, (torch.eye(4), labels)))
    except (TypeError, ValueError, IndexError):
        return False
    return True


def fitting(kind: Kind) -> list[str]:
    return [card.name for card in CATALOGUE if fits(card, kind)]


class Criterion(nn.Module):
    """A loss with the weights that it needs, over a network's output; also what that output predicts."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(outputs, targets)

    def predict(self, outputs: Tensor) -> Tensor:
        """Embeddings and values are predictions as they are."""
        return outputs


class YesOrNo(Criterion):
    """A loss of one logit an item, whose sign is the answer."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(outputs, targets.bool())  # booleans mean the same to losses of 0 and 1 and of -1 and +1

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()


class OverLinear(Criterion):
    """A loss of class scores, over a linear classifier of its own."""

    def __init__(self, loss: nn.Module, embedding_size: int, num_classes: int) -> None:
        super().__init__(loss)
        self.linear = nn.Linear(embedding_size, num_classes)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(self.linear(outputs), targets)


class LinearProbabilities(OverLinear):
    def predict(self, outputs: Tensor) -> Tensor:
        return self.linear(outputs).softmax(dim=1)


class HeadProbabilities(Criterion):
    loss: HeadLoss

    def predict(self, outputs: Tensor) -> Tensor:
        # Without the margin, and at the scale that the loss was trained with.
        scale = getattr(self.loss, "scale", None)
        scale = torch.as_tensor(1.0 if scale is None else scale)
        return (scale * self.loss.get_logits(outputs)).softmax(dim=1)


def attach(card: Card, params: Mapping[str, Any], kind: Kind, embedding_size: int, num_classes: int) -> Criterion:
    """The loss at these hyperparameters, with fresh weights where it needs any.

    Raises:
        ValueError: if the loss does not fit the task.
    """
    if not fits(card, kind):
        raise ValueError(f"{card.name} does not fit {kind} data; {', '.join(fitting(kind))} do")
    if issubclass(card.module, HeadLoss):
        head = card.module(num_classes=num_classes, embedding_size=embedding_size, **params)
        return HeadProbabilities(head) if kind == "classification" else Criterion(head)
    loss = card.module(**params)
    if kind == "binary":
        return YesOrNo(loss)
    if card.data != "classes":
        return Criterion(loss)
    over = LinearProbabilities if kind == "classification" else OverLinear
    return over(loss, embedding_size, num_classes)


def defaults(card: Card) -> dict[str, Any]:
    """The library's own values of what the lab would search, less what is off by default: None is no number."""
    own = {name: card.module.fields[name] for name in card.search}
    return {name: value for name, value in own.items() if value is not None}


def owns_weights(card: Card, kind: Kind) -> bool:
    """Whether the loss trains weights beside the network's, which then want a learning rate of their own."""
    return kind in ("zero-shot", "classification") and (card.data == "classes" or issubclass(card.module, HeadLoss))
