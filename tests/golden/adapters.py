"""Which code answers a golden loss: the cards' adapters, and a few plain ones for what has no card."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import samples
from golden.reader import Case
from lossary.catalogue import CATALOGUE
from lossary.compose import activations, regularizers
from lossary.core.card import Card
from lossary.losses.answers import margin
from lossary.testing import Call

#: A case's inputs -> the value, or None where the case is somebody else's.
Answerer = Callable[[Case, dict[str, Tensor]], Tensor | None]

#: Losses of the committed file that nothing answers yet. A new gap, or one that was closed, fails the tests.
NOT_YET: frozenset[str] = frozenset()

#: What has no card: activations and penalties.
PLAIN: dict[str, Callable[..., Tensor]] = {
    "softmax": activations.softmax,
    "act_sigmoid": activations.sigmoid,
    "std_normalization": activations.sum_normalize,
    "l1_reg": lambda weight, lam: regularizers.l1_penalty(weight, strength=lam),
    "l2_reg": lambda weight, lam: regularizers.l2_penalty(weight, strength=lam),
    "elastic_net": lambda weight, l1, l2: regularizers.elastic_net_penalty(weight, l1=l1, l2=l2),
    "binary_svm_objective": lambda x, target, w, b, lam: (
        margin.hinge_loss(x @ w - b, target) + regularizers.l2_penalty(w, strength=lam)
    ),
}


def by_card(card: Card, key: str) -> Answerer:
    def answer(case: Case, inputs: dict[str, Tensor]) -> Tensor | None:
        call: Call | None = samples.of(card).golden[key](inputs, case.params)
        return None if call is None else card.fn(*call.args, **call.kwargs)

    return answer


def plainly(function: Callable[..., Tensor]) -> Answerer:
    def answer(case: Case, inputs: dict[str, Tensor]) -> Tensor:
        params: dict[str, Any] = case.params
        return function(**inputs, **params)

    return answer


def answerers(loss: str) -> dict[str, Answerer]:
    """By the name of the function that answers."""
    found = {card.name: by_card(card, loss) for card in CATALOGUE if loss in samples.of(card).golden}
    if loss in PLAIN:
        found[PLAIN[loss].__name__] = plainly(PLAIN[loss])
    return found


def evaluate(
    answer: Answerer, case: Case, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, dict[str, Tensor | None]] | None:
    """The value, and the gradients of its sum by the name of the input; None where the case is somebody else's."""
    inputs = case.tensors(dtype)
    value = answer(case, inputs)
    if value is None:
        return None
    leaves = [inputs[leaf] for leaf in case.grad_of]
    grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True) if leaves else ()
    return value, dict(zip(case.grad_of, grads, strict=True))


def answers(case: Case, dtype: torch.dtype) -> Iterator[tuple[str, Tensor, dict[str, Tensor | None]]]:
    """By each function that answers the case: its name, the value and the gradients."""
    for name, answer in answerers(case.loss).items():
        found = evaluate(answer, case, dtype)
        if found is not None:
            yield name, *found
