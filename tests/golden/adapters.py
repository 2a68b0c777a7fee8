"""Which code answers a golden loss: the cards' adapters, and a few plain ones for what has no card."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from golden.reader import Case
from lossary.cards import Call, Card
from lossary.catalogue import CATALOGUE

#: A case's inputs -> the value, or None where the case is somebody else's.
Answerer = Callable[[Case, dict[str, Tensor]], Tensor | None]

#: Losses of the committed file that nothing answers yet. A new gap, or one that was closed, fails the tests.
NOT_YET: frozenset[str] = frozenset(
    {
        "a_softmax",
        "act_sigmoid",
        "balanced_bce",
        "bce",
        "bce_with_logits",
        "binary_svm_objective",
        "center_loss",
        "crammer_singer",
        "cross_entropy",
        "elastic_net",
        "focal_sigmoid",
        "focal_softmax",
        "ge2e_contrast",
        "ge2e_softmax",
        "hinge",
        "huber",
        "info_nce",
        "kl_div",
        "l1_reg",
        "l2_reg",
        "log_cosh",
        "mae",
        "margin_ranking",
        "mean_bias_error",
        "mnr",
        "mse",
        "multiclass_svm",
        "n_pair",
        "poly1_ce",
        "poly1_focal",
        "quantile",
        "smooth_l1",
        "softmax",
        "squared_hinge",
        "std_normalization",
    }
)

#: What has no card: activations and penalties.
PLAIN: dict[str, Callable[..., Tensor]] = {}


def by_card(card: Card, key: str) -> Answerer:
    def answer(case: Case, inputs: dict[str, Tensor]) -> Tensor | None:
        call: Call | None = card.golden[key](inputs, case.params)
        return None if call is None else card.fn(*call.args, **call.kwargs)

    return answer


def plainly(function: Callable[..., Tensor]) -> Answerer:
    def answer(case: Case, inputs: dict[str, Tensor]) -> Tensor:
        params: dict[str, Any] = case.params
        return function(**inputs, **params)

    return answer


def answerers(loss: str) -> dict[str, Answerer]:
    """By the name of the function that answers."""
    found = {card.name: by_card(card, loss) for card in CATALOGUE if loss in card.golden}
    if loss in PLAIN:
        found[PLAIN[loss].__name__] = plainly(PLAIN[loss])
    return found


def answers(case: Case, dtype: torch.dtype) -> Iterator[tuple[str, Tensor, dict[str, Tensor | None]]]:
    """By each function that answers the case: its name, the value, and the gradients of the value's sum."""
    for name, answer in answerers(case.loss).items():
        inputs = case.tensors(dtype)
        value = answer(case, inputs)
        if value is not None:
            leaves = [inputs[leaf] for leaf in case.grad_of]
            grads = torch.autograd.grad(value.sum(), leaves, allow_unused=True) if leaves else ()
            yield name, value, dict(zip(case.grad_of, grads, strict=True))
