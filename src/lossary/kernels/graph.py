"""What the kernels need from autograd: gradients by some inputs, distinct nodes, and a check that none is missed."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor


def gradients_by(total: Tensor, inputs: Sequence[Any], along: Tensor | None = None) -> tuple[Tensor | None, ...]:
    """``torch.autograd.grad`` by those inputs that are learned; None for the others and for unused ones.

    Under grad mode the result can be differentiated again.
    """
    asked = [i for i in inputs if learns(i)]
    graph = torch.is_grad_enabled()
    found = iter(torch.autograd.grad(total, asked, along, create_graph=graph, allow_unused=True) if asked else ())
    return tuple(next(found) if learns(i) else None for i in inputs)


def learns(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def distinct(values: Iterable[Any]) -> list[Any]:
    """The same tensors as distinct nodes: if two of them are one tensor, each gets its own share of the gradient."""
    return [v.view_as(v) if isinstance(v, Tensor) else v for v in values]


def check_closed(total: Tensor, inputs: Iterable[Tensor]) -> None:
    """A formula that captures a learned tensor would silently lose its gradient."""
    known, seen = {id(i) for i in inputs}, set[Any]()
    nodes: list[Any] = [total.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None and id(variable) not in known:
            raise ValueError(
                "formula: wanted every tensor that learns among row_loss's parameters; "
                f"got one of shape {tuple(variable.shape)} captured by the formula"
            )
        nodes.extend(next_node for next_node, _ in node.next_functions)
