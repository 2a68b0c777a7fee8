"""Lossary's losses in Hugging Face's Trainer, as its ``compute_loss_func``."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

#: The label that the Trainer does not count, whatever the loss ignores.
_NO_LABEL = -100

ComputeLoss = Callable[..., Tensor]


def compute_loss_func(loss: Callable[..., Tensor], output: str = "logits") -> ComputeLoss:
    """``Trainer(..., compute_loss_func=compute_loss_func(loss))`` with any loss of (output, labels).

    With accumulated gradients, the Trainer passes the number of labels in all micro-batches, and each micro-batch's
    mean counts by its share of them. If the loss's mean is over labels, the sum is then the mean over the whole batch.
    A loss that compares items of a batch (SupCon, Dice) still sees only micro-batches, and class weights are divided
    out of each micro-batch separately.

    If the model's ``forward`` takes no labels, the Trainer drops them unless its TrainingArguments have
    ``label_names=["labels"]``.

    Args:
        loss: A loss, or a Module whose reduction is a mean. Make a Module with weights of its own (a margin head, a
            learned temperature) an attribute of the model, ``model.head = loss``, before you create the Trainer: it
            optimises, moves and saves only the model.
        output: The model's output that the loss takes: ``"logits"``, ``"pooler_output"``, ...

    Example:
        >>> import torch, lossary
        >>> compute = compute_loss_func(lossary.FocalLoss())
        >>> compute({"logits": torch.zeros(2, 4)}, torch.tensor([1, 3]), num_items_in_batch=4)
        tensor(0.3899)

    For (B, L, C) logits and (B, L) labels use ``lossary.CrossEntropyLoss(dim=-1)``; for a model that predicts the next
    token use :func:`causal_loss_func`.
    """

    def compute(
        outputs: Mapping[str, Any], labels: Tensor | None, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        known = _present(labels)
        return _share(loss(outputs[output], known), known, num_items_in_batch)

    return compute


def causal_loss_func(loss: Callable[..., Tensor]) -> ComputeLoss:
    """:func:`compute_loss_func` for a model that predicts the next token: logits at t belong to the label at t + 1.

    Args:
        loss: A loss of logits (N, C) and labels (N,), in which -100 is ignored.

    Example:
        >>> import torch, lossary
        >>> compute = causal_loss_func(lossary.CrossEntropyLoss())
        >>> compute({"logits": torch.zeros(1, 3, 4)}, torch.tensor([[2, 0, -100]]))
        tensor(1.3863)
    """

    def compute(
        outputs: Mapping[str, Any], labels: Tensor | None, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        answered = _present(labels)[:, 1:].flatten()
        return _share(loss(outputs["logits"][:, :-1].flatten(0, 1), answered), answered, num_items_in_batch)

    return compute


def _present(labels: Tensor | None) -> Tensor:
    if labels is None:
        raise ValueError("labels: wanted a column of labels; got None: give TrainingArguments label_names=['labels']")
    return labels


def _share(mean: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None) -> Tensor:
    if num_items_in_batch is None:
        return mean
    return mean * ((labels != _NO_LABEL).sum() / num_items_in_batch)
